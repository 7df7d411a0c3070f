//! One provider hangs on every call, with work waiting for it; another is healthy. The healthy one's rate beside
//! its rate alone, both from the arrival times in its ledger, in one run.

use std::time::Duration;

use provider_simulator::Fault;

use crate::backlog::Backlog;
use crate::configuration::{sms_route, twilio};
use crate::figure::Figure;
use crate::installation::Installation;
use crate::simulator::Simulator;
use crate::stage::Stage;
use crate::wait::until;

const HANG_S: f64 = 30.0;
/// What the healthy one takes for an answer: its rate is then that of its slots, as with a provider far away.
const ANSWER_AFTER_S: f64 = 0.02;
const SLOTS: usize = 32;
const TRIALS: usize = 3;
const LIMIT: Duration = Duration::from_secs(120);
const BAR: f64 = 0.9;

pub(super) async fn run(stage: &mut Stage) -> anyhow::Result<Vec<Figure>> {
    let count = stage.scaled(6_000, 300);
    let installation = stage.installation().await?;
    let healthy = installation.simulator(&["--no-receipts"]).await?;
    healthy.fault(Fault::Hang { for_s: ANSWER_AFTER_S, accept_first: true }).await?;
    let hanging = installation.simulator(&["--no-receipts"]).await?;
    hanging.fault(Fault::Hang { for_s: HANG_S, accept_first: false }).await?;
    let more = format!("max_in_flight = {SLOTS}\ntimeout_s = 60");
    installation.configure(
        &[
            twilio("healthy", &healthy.url, &more),
            twilio("hanging", &hanging.url, &more),
            sms_route("+1", "healthy"),
            sms_route("+44", "hanging"),
        ]
        .concat(),
    )?;
    let _processor = installation.processor().await?;

    let mut first_number = 12_022_000_000;
    let mut alone = Vec::new();
    // The first is not counted: connections are made, files grow.
    for trial in 0..=TRIALS {
        let rate = healthy_rate(&installation, &healthy, first_number, count).await?;
        first_number += 10_000;
        if trial > 0 {
            alone.push(rate);
        }
    }
    let backlog = Backlog { route: "sms:+44", first_number: 447_700_900_000, count: 100 * SLOTS };
    installation.store(backlog).await?;
    until("all slots of the hanging provider hang", LIMIT, async || {
        Ok((hanging.summary().await?.calls >= SLOTS).then_some(()))
    })
    .await?;
    let mut beside = Vec::new();
    for _ in 0..TRIALS {
        beside.push(healthy_rate(&installation, &healthy, first_number, count).await?);
        first_number += 10_000;
    }
    let answered = hanging.summary().await?.count;
    let (alone, beside) = (median(alone), median(beside));
    Ok(vec![
        Figure::told("rate of the healthy one alone", format!("{alone:.0}/s")),
        Figure::told("beside one that hangs for 30 s", format!("{beside:.0}/s")),
        Figure::ratio_at_least("ratio", beside / alone, BAR),
        Figure::at_most("calls that the hanging one answered meanwhile", answered, 2 * SLOTS),
    ])
}

/// Messages a second between the first and the last of so many.
async fn healthy_rate(
    installation: &Installation,
    healthy: &Simulator,
    first_number: i64,
    count: usize,
) -> anyhow::Result<f64> {
    healthy.http.send(http::Method::DELETE, "/ledger", &[], bytes::Bytes::new()).await?.expect(204)?;
    installation.store(Backlog { route: "sms:+1", first_number, count }).await?;
    healthy.wait_count(count, LIMIT).await?;
    let ledger = healthy.ledger().await?;
    let times = ledger.iter().map(|entry| entry.received_at);
    let (Some(first), Some(last)) = (times.clone().min(), times.max()) else {
        anyhow::bail!("nothing arrived");
    };
    Ok((count as f64 - 1.0) / last.duration_since(first).as_secs_f64())
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}
