//! The preferred provider answers 5xx for a while under steady load: the next one takes over, nothing fails, few
//! attempts are spent on the one that is down, and traffic comes back to it by itself and without a spike.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use provider_simulator::{Fault, OutageForm};
use service::Clock;
use uuid::Uuid;

use crate::configuration::twilio;
use crate::figure::Figure;
use crate::latency::Latencies;
use crate::load::Steady;
use crate::simulator::{Call, Simulator};
use crate::stage::Stage;

const RATE: usize = 500;
const SLOTS: usize = 64;
const BEFORE_S: usize = 5;
const AFTER_S: usize = 25;
/// Openings of the breaker in half a minute, and the calls of each probe, with some of them for a second verdict.
const PROBES_MAX: usize = 40;
const LIMIT: Duration = Duration::from_secs(60);

pub(super) async fn run(stage: &mut Stage) -> anyhow::Result<Vec<Figure>> {
    let outage_s = stage.scaled(30, 10);
    let installation = stage.installation().await?;
    let first = installation.simulator(&["--no-receipts"]).await?;
    let second = installation.simulator(&["--no-receipts"]).await?;
    let more = format!("max_in_flight = {SLOTS}");
    installation.configure(&format!(
        "{}{}[[routes]]\nchannel = \"sms\"\nproviders = [\"first\", \"second\"]\n",
        twilio("first", &first.url, &more),
        twilio("second", &second.url, &more)
    ))?;
    let _apiserver = installation.apiserver().await?;
    let _processor = installation.processor().await?;

    let load = Steady::start(&installation.api(), RATE, RATE * (BEFORE_S + outage_s + AFTER_S));
    tokio::time::sleep(Duration::from_secs(BEFORE_S as u64)).await;
    let began = Clock::System.now();
    first.fault(Fault::Outage { for_s: outage_s as f64, how: OutageForm::Unavailable }).await?;
    let accepted = load.finish().await?;
    installation.wait_until_settled(LIMIT).await?;
    let ended = began + Duration::from_secs(outage_s as u64);

    let arrived = arrivals(&[&first, &second]).await?;
    let during = accepted.iter().filter(|(_, at)| (began..ended).contains(at));
    let times = during.map(|(id, at)| {
        let arrived = arrived.get(id).with_context(|| format!("{id} did not arrive"))?;
        anyhow::Ok(arrived.duration_since(*at).as_secs_f64() * 1e3)
    });
    let times = Latencies::new(times.collect::<Result<_, _>>()?);
    let failed = installation.count("select count(*) from messages where status_tag <> 'ok'").await?;
    let calls = first.calls().await?;
    let (begin_ms, end_ms) = (began.as_millisecond(), ended.as_millisecond());
    let spent = calls.iter().filter(|call| (begin_ms..end_ms).contains(&call.at_ms)).count();
    let back = by_second(&calls, end_ms);
    let came_back = back.iter().position(|calls| *calls * 2 > RATE);
    Ok(vec![
        Figure::exactly("messages that are not ok", failed, 0),
        Figure::told("handed over during the outage, p50", format!("{:.0} ms", times.percentile_ms(0.5))),
        Figure::below("handed over during the outage, p99", times.percentile_ms(0.99), 2_000.0, "ms"),
        Figure::told("slowest", format!("{:.0} ms", times.max_ms())),
        Figure::at_most("attempts on the one that is down", spent, SLOTS + PROBES_MAX),
        Figure::told("calls a second on it afterwards", format!("{back:?}")),
        Figure::at_most(
            "half of the traffic is back after, s",
            came_back.map_or(usize::MAX, |s| s + 1),
            AFTER_S,
        ),
        Figure::at_most(
            "its busiest second afterwards",
            back.iter().copied().max().unwrap_or(0),
            RATE * 6 / 5,
        ),
        Figure::exactly("messages sent twice", duplicates(&[&first, &second]).await?, 0),
    ])
}

/// When each message was accepted by a provider for the first time.
async fn arrivals(simulators: &[&Simulator]) -> anyhow::Result<HashMap<Uuid, Timestamp>> {
    let mut arrived: HashMap<Uuid, Timestamp> = HashMap::new();
    for simulator in simulators {
        for entry in simulator.ledger().await? {
            let Some(id) = entry.message_id else { continue };
            let at = arrived.entry(id).or_insert(entry.received_at);
            *at = entry.received_at.min(*at);
        }
    }
    Ok(arrived)
}

async fn duplicates(simulators: &[&Simulator]) -> anyhow::Result<usize> {
    let mut count = 0;
    for simulator in simulators {
        count += simulator.summary().await?.count;
    }
    Ok(count - arrivals(simulators).await?.len())
}

/// Calls in each whole second from then on.
fn by_second(calls: &[Call], from_ms: i64) -> Vec<usize> {
    let mut seconds = vec![0; AFTER_S - 1];
    for call in calls.iter().filter(|call| call.at_ms >= from_ms) {
        let second = usize::try_from((call.at_ms - from_ms) / 1_000).unwrap_or(usize::MAX);
        if let Some(count) = seconds.get_mut(second) {
            *count += 1;
        }
    }
    seconds
}
