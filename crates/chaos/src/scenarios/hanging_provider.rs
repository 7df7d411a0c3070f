//! One provider hangs on every call, with work waiting for it; another is healthy. The healthy one's rate beside
//! its rate alone, both from the arrival times in its ledger, in one run.

use std::time::Duration;

use provider_simulator::Fault;

use crate::backlog::Backlog;
use crate::configuration::{sms_route, twilio};
use crate::figure::Figure;
use crate::installation::Installation;
use crate::process::Process;
use crate::simulator::Simulator;
use crate::stage::Stage;
use crate::wait::until;

const HANG_S: f64 = 30.0;
/// What the healthy one takes for an answer: its rate is then that of its slots, as with a provider far away.
const ANSWER_AFTER_S: f64 = 0.02;
const SLOTS: usize = 32;
const TRIALS: usize = 5;
const LIMIT: Duration = Duration::from_secs(120);
const BAR: f64 = 0.9;

pub(super) async fn run(stage: &mut Stage) -> anyhow::Result<Vec<Figure>> {
    let count = stage.scaled(5_000, 300);
    let mut alone = Place::new(stage).await?;
    let mut beside = Place::new(stage).await?;
    let waiting = Backlog { route: "sms:+44", first_number: 447_700_900_000, count: 100 * SLOTS };
    beside.installation.store(waiting).await?;
    until("all slots of the hanging provider hang", LIMIT, async || {
        Ok((beside.hanging.summary().await?.calls >= SLOTS).then_some(()))
    })
    .await?;

    // In turns, so that what else the machine does meets both.
    let (mut rates_alone, mut rates_beside) = (Vec::new(), Vec::new());
    for trial in 0..=TRIALS {
        let (rate_alone, rate_beside) = (alone.healthy_rate(count).await?, beside.healthy_rate(count).await?);
        // The first is not counted: connections are made, files grow.
        if trial > 0 {
            rates_alone.push(rate_alone);
            rates_beside.push(rate_beside);
        }
    }
    let ratios = rates_alone.iter().zip(&rates_beside).map(|(alone, beside)| beside / alone).collect();
    let answered = beside.hanging.summary().await?.count;
    Ok(vec![
        Figure::told("rate of the healthy one alone", format!("{:.0}/s", median(rates_alone))),
        Figure::told("beside one that hangs for 30 s", format!("{:.0}/s", median(rates_beside))),
        Figure::ratio_at_least("ratio, median of trials", median(ratios), BAR),
        Figure::told("calls that the hanging one answered meanwhile", answered),
    ])
}

/// An installation with a healthy provider and one that hangs, and a processor.
struct Place {
    installation: Installation,
    healthy: Simulator,
    hanging: Simulator,
    next_number: i64,
    _processor: Process,
}

impl Place {
    async fn new(stage: &mut Stage) -> anyhow::Result<Self> {
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
        Ok(Self { installation, healthy, hanging, next_number: 12_022_000_000, _processor })
    }

    /// Messages a second between the first and the last of so many.
    async fn healthy_rate(&mut self, count: usize) -> anyhow::Result<f64> {
        let healthy = &self.healthy;
        healthy.http.send(http::Method::DELETE, "/ledger", &[], bytes::Bytes::new()).await?.expect(204)?;
        let backlog = Backlog { route: "sms:+1", first_number: self.next_number, count };
        self.next_number += 10_000;
        self.installation.store(backlog).await?;
        healthy.wait_count(count, LIMIT).await?;
        let ledger = healthy.ledger().await?;
        let times = ledger.iter().map(|entry| entry.received_at);
        let (Some(first), Some(last)) = (times.clone().min(), times.max()) else {
            anyhow::bail!("nothing arrived");
        };
        Ok((count as f64 - 1.0) / last.duration_since(first).as_secs_f64())
    }
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}
