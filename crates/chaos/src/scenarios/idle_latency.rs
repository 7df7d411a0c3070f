//! One message at a time on an idle installation: from the moment that the client has its 202 to the provider's
//! accept, by the machine's clock. With NOTIFY, and with polling alone.

use std::time::Duration;

use anyhow::Context;
use service::Clock;

use crate::configuration::twilio;
use crate::figure::Figure;
use crate::latency::Latencies;
use crate::load::{number, send, sms};
use crate::stage::Stage;

const LIMIT: Duration = Duration::from_secs(30);
const POLL_INTERVAL_MS: u32 = 500;
/// A poll that finds something also claims and sends it.
const POLL_SLACK_MS: f64 = 50.0;

pub(super) async fn run(stage: &mut Stage) -> anyhow::Result<Vec<Figure>> {
    let with_notify = measure(stage, true, 500, 50).await?;
    let by_polling = measure(stage, false, 50, 5).await?;
    Ok(vec![
        Figure::below("with NOTIFY: p50", with_notify.percentile_ms(0.5), 10.0, "ms"),
        Figure::below("with NOTIFY: p99", with_notify.percentile_ms(0.99), 50.0, "ms"),
        Figure::told("polling every 500 ms: p50", format!("{:.0} ms", by_polling.percentile_ms(0.5))),
        Figure::below(
            "polling every 500 ms: slowest",
            by_polling.max_ms(),
            f64::from(POLL_INTERVAL_MS) + POLL_SLACK_MS,
            "ms",
        ),
    ])
}

/// From the client's 202 to the provider's accept, for so many messages.
///
/// # Errors
/// When a message does not arrive.
pub async fn measure(
    stage: &mut Stage,
    notify: bool,
    full: usize,
    least: usize,
) -> anyhow::Result<Latencies> {
    let count = stage.scaled(full, least);
    let installation = stage.installation().await?;
    let simulator = installation.simulator(&["--no-receipts"]).await?;
    installation.configure(&format!(
        "[processor]\nnotify = {notify}\npoll_interval_ms = {POLL_INTERVAL_MS}\n{}",
        twilio("twilio-main", &simulator.url, "")
    ))?;
    let _apiserver = installation.apiserver().await?;
    let _processor = installation.processor().await?;
    let api = installation.api();

    // Between messages, so that each finds everybody idle, and anywhere between two polls.
    let pause_ms = 5..if notify { 60 } else { u64::from(POLL_INTERVAL_MS) };
    // The first ones make connections and prepare statements.
    let warm_up = 10.min(count / 2);
    let mut times_ms = Vec::with_capacity(count);
    for n in 0..warm_up + count {
        let id = send(&api, &sms(&number(n), "how long")).await?;
        let told_at = Clock::System.now();
        simulator.wait_count(n + 1, LIMIT).await?;
        let entry = simulator.accepted(id).await?;
        let arrived = entry.first().context("in the ledger")?.received_at;
        if n >= warm_up {
            times_ms.push(arrived.duration_since(told_at).as_secs_f64() * 1e3);
        }
        tokio::time::sleep(Duration::from_millis(fastrand::u64(pause_ms.clone()))).await;
    }
    Ok(Latencies::new(times_ms))
}
