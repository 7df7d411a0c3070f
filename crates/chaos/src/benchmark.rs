//! A first benchmark: accepting over HTTP, draining, end to end, and latency, each beside single inserts by as many
//! connections in the same run, since absolute figures move with the machine's other work and ratios do not.

mod single_inserts;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::backlog::Backlog;
use crate::client::HttpClient;
use crate::configuration::twilio;
use crate::figure::Figure;
use crate::installation::Installation;
use crate::latency::Latencies;
use crate::load::{SMS, nth_sms};
use crate::scenarios::idle_latency;
use crate::simulator::Simulator;
use crate::stage::Stage;

const CONNECTIONS: usize = 64;
const LIMIT: Duration = Duration::from_secs(600);
/// Group commit must be worth its code, and a drain must keep up with what single inserts could bring.
const ACCEPT_BAR: f64 = 1.5;
const DRAIN_BAR: f64 = 1.5;

/// Runs it for about `time` in each phase.
///
/// # Errors
/// When a phase breaks off.
pub async fn run(stage: &mut Stage, time: Duration) -> anyhow::Result<Vec<Figure>> {
    let baseline = single_inserts::rate(&stage.installation().await?, CONNECTIONS, time).await?;
    let accept = accept(stage, time).await?;
    let drain = drain(stage).await?;
    let end_to_end = end_to_end(stage, time).await?;
    let idle = idle_latency::measure(stage, true, 300, 30).await?;
    let rate = |what: &str, rate: f64| Figure::told(what, format!("{rate:.0}/s"));
    let milliseconds = |what: &str, ms: f64| Figure::told(what, format!("{ms:.1} ms"));
    Ok(vec![
        rate("single inserts, 64 connections", baseline),
        rate("accepted over HTTP, 64 connections", accept.rate),
        Figure::ratio_at_least("  to single inserts", accept.rate / baseline, ACCEPT_BAR),
        milliseconds("  p50", accept.latencies.percentile_ms(0.5)),
        milliseconds("  p99", accept.latencies.percentile_ms(0.99)),
        rate("drained, one processor", drain),
        Figure::ratio_at_least("  to single inserts", drain / baseline, DRAIN_BAR),
        rate("end to end, accepted and sent at once", end_to_end),
        Figure::told("  to single inserts", format!("{:.2}", end_to_end / baseline)),
        milliseconds("idle, 202 to provider: p50", idle.percentile_ms(0.5)),
        milliseconds("idle, 202 to provider: p99", idle.percentile_ms(0.99)),
    ])
}

async fn installation(stage: &mut Stage) -> anyhow::Result<(Installation, Simulator)> {
    let installation = stage.installation().await?;
    let simulator = installation.simulator(&["--no-receipts"]).await?;
    installation.configure(&twilio("twilio-main", &simulator.url, "max_in_flight = 256"))?;
    Ok((installation, simulator))
}

struct Accepted {
    count: usize,
    rate: f64,
    latencies: Latencies,
}

/// Clients in a closed loop; every answer must be a 202.
async fn send_for(api: &HttpClient, time: Duration) -> anyhow::Result<Accepted> {
    let next = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (api, next) = (api.clone(), Arc::clone(&next));
        clients.spawn(async move {
            let mut times_ms = Vec::new();
            while began.elapsed() < time {
                let message = nth_sms(next.fetch_add(1, Ordering::Relaxed));
                let sent = Instant::now();
                api.post(SMS, &message).await?.expect(202)?;
                times_ms.push(sent.elapsed().as_secs_f64() * 1e3);
            }
            anyhow::Ok(times_ms)
        });
    }
    let mut times_ms = Vec::new();
    while let Some(client) = clients.join_next().await {
        times_ms.extend(client??);
    }
    let count = times_ms.len();
    let rate = count as f64 / began.elapsed().as_secs_f64();
    Ok(Accepted { count, rate, latencies: Latencies::new(times_ms) })
}

async fn accept(stage: &mut Stage, time: Duration) -> anyhow::Result<Accepted> {
    let (installation, _simulator) = installation(stage).await?;
    let _apiserver = installation.apiserver().await?;
    send_for(&installation.api(), time).await
}

/// From the first message's arrival at the provider to the last one's settle.
async fn drain(stage: &mut Stage) -> anyhow::Result<f64> {
    let count = stage.scaled(100_000, 2_000);
    let (installation, simulator) = installation(stage).await?;
    installation.store(Backlog { route: "sms", first_number: 12_022_000_000, count }).await?;
    let _processor = installation.processor().await?;
    simulator.wait_count(1, LIMIT).await?;
    let began = Instant::now();
    installation.wait_until_settled(LIMIT).await?;
    Ok(count as f64 / began.elapsed().as_secs_f64())
}

/// Accepting and sending share the machine; the rate is that of messages settled, with what was left to drain.
async fn end_to_end(stage: &mut Stage, time: Duration) -> anyhow::Result<f64> {
    let (installation, simulator) = installation(stage).await?;
    let _apiserver = installation.apiserver().await?;
    let _processor = installation.processor().await?;
    let began = Instant::now();
    let accepted = send_for(&installation.api(), time).await?;
    installation.wait_until_settled(LIMIT).await?;
    let took = began.elapsed();
    let sent = simulator.summary().await?.distinct_message_ids;
    let by_status: BTreeMap<_, _> = [("accepted", accepted.count), ("sent", sent)].into();
    anyhow::ensure!(accepted.count == sent, "not all were sent: {by_status:?}");
    Ok(accepted.count as f64 / took.as_secs_f64())
}
