//! 500,000 messages wait for a provider that is down. Ten for a healthy one of the same channel come after them,
//! and leave within a second.

use std::time::Duration;

use anyhow::Context;
use provider_simulator::{Fault, OutageForm};
use service::Clock;

use crate::backlog::Backlog;
use crate::configuration::{sms_route, twilio};
use crate::figure::Figure;
use crate::load::{number, send, sms};
use crate::stage::Stage;
use crate::wait::until;

const TEN: usize = 10;
const BAR_S: f64 = 1.0;
const LIMIT: Duration = Duration::from_secs(60);
const OUTAGE_S: f64 = 3_600.0;

pub(super) async fn run(stage: &mut Stage) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (how, name) in [(OutageForm::Refuse, "refuses connections"), (OutageForm::Unavailable, "answers 503")]
    {
        figures.extend(with(stage, how, name).await?);
    }
    Ok(figures)
}

async fn with(stage: &mut Stage, how: OutageForm, name: &str) -> anyhow::Result<Vec<Figure>> {
    let count = stage.scaled(500_000, 5_000);
    let installation = stage.installation().await?;
    let healthy = installation.simulator(&["--no-receipts"]).await?;
    let mut down = installation.simulator(&["--no-receipts"]).await?;
    if how == OutageForm::Refuse {
        down.process.kill().await?;
    } else {
        down.fault(Fault::Outage { for_s: OUTAGE_S, how }).await?;
    }
    installation.configure(
        &[
            twilio("healthy", &healthy.url, ""),
            twilio("down", &down.url, ""),
            sms_route("+1", "healthy"),
            sms_route("+44", "down"),
        ]
        .concat(),
    )?;
    let _apiserver = installation.apiserver().await?;
    installation.store(Backlog { route: "sms:+44", first_number: 447_700_900_000, count }).await?;
    let processor = installation.processor().await?;
    until("the processor meets the provider that is down", LIMIT, async || {
        Ok((processor.metric("app_attempts_total", "provider_id=\"down\"").await? > 0.0).then_some(()))
    })
    .await?;

    let api = installation.api();
    let mut sent_at = Vec::new();
    for person in 0..TEN {
        let id = send(&api, &sms(&number(person), "past the queue")).await?;
        sent_at.push((id, Clock::System.now()));
    }
    healthy.wait_count(TEN, LIMIT).await?;
    let ledger = healthy.ledger().await?;
    let mut slowest_s = 0.0_f64;
    for (id, sent_at) in sent_at {
        let arrived = ledger.iter().find(|entry| entry.message_id == Some(id)).context("in the ledger")?;
        slowest_s = slowest_s.max(arrived.received_at.duration_since(sent_at).as_secs_f64());
    }
    let waiting = installation.count("select count(*) from outbox where route = 'sms:+44'").await?;
    let of = |what: &str| format!("{name}: {what}");
    let mut figures = vec![
        Figure::at_least(of("messages that wait for it"), usize::try_from(waiting)?, count),
        Figure::below(of("the last of ten left after"), slowest_s, BAR_S, "s"),
    ];
    if how == OutageForm::Unavailable {
        figures.push(Figure::told(of("calls in vain until then"), down.summary().await?.calls));
    }
    Ok(figures)
}
