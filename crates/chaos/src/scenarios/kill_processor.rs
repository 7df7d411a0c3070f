//! The processor is killed every second and started again while 20,000 messages go out. Nothing is lost; what went
//! out twice was in flight at a kill, and an unknown outcome in `message_events` stands for each. Once with a provider
//! that never reports, once with receipts that race with the answers.

use std::collections::HashSet;
use std::time::Duration;

use provider_simulator::Fault;
use uuid::Uuid;

use crate::audit::Audit;
use crate::configuration::{IMPATIENT, twilio};
use crate::figure::Figure;
use crate::installation::Installation;
use crate::load::{nth_sms, send_all};
use crate::process::Process;
use crate::simulator::Simulator;
use crate::stage::Stage;
use crate::wait::until;

const CLIENTS: usize = 64;
const KILL_EVERY: Duration = Duration::from_secs(1);
const LIMIT: Duration = Duration::from_secs(300);
/// Between accept and answer, so that there always is something in flight.
const ANSWER_AFTER_S: f64 = 0.05;

/// A receipt about what a killed processor had in flight settles it, and there is no duplicate to see: hence both.
const WITHOUT_RECEIPTS: &[&str] = &["--no-receipts"];
/// Just before and just after the answer.
const WITH_RECEIPTS: &[&str] = &["--sent-after-ms=45", "--delivered-after-ms=55"];

pub(super) async fn run(stage: &mut Stage) -> anyhow::Result<Vec<Figure>> {
    let mut figures = with(stage, "no receipts", WITHOUT_RECEIPTS, "pending").await?;
    figures.extend(with(stage, "receipts", WITH_RECEIPTS, "delivered").await?);
    Ok(figures)
}

async fn with(
    stage: &mut Stage,
    name: &str,
    receipts: &[&str],
    delivery: &str,
) -> anyhow::Result<Vec<Figure>> {
    let count = stage.scaled(20_000, 400);
    let installation = stage.installation().await?;
    let simulator = installation.simulator(receipts).await?;
    simulator.fault(Fault::Hang { for_s: ANSWER_AFTER_S, accept_first: true }).await?;
    // Slow enough for some twenty kills.
    let rate_per_s = (count / 20).max(100);
    let more = format!("max_in_flight = 64\nrate_per_s = {rate_per_s}\non_unknown = \"retry\"");
    installation.configure(&format!("{IMPATIENT}{}", twilio("twilio-main", &simulator.url, &more)))?;
    let _apiserver = installation.apiserver().await?;
    let processor = installation.processor().await?;

    let servers = [installation.api()];
    let accepting = send_all(&servers, CLIENTS, count, nth_sms);
    let (accepted, killed) =
        tokio::join!(accepting, kill_again_and_again(&installation, &simulator, processor, count));
    let (accepted, killed) = (accepted?, killed?);
    installation.wait_until_settled(LIMIT).await?;

    let others =
        format!("select count(*) from messages where status_tag <> 'ok' or delivery_tag <> '{delivery}'");
    until(&format!("every message is ok and {delivery}"), LIMIT, async || {
        Ok((installation.count(&others).await? == 0).then_some(()))
    })
    .await?;

    let audit = Audit::of(&installation, &simulator, &accepted).await?;
    let ok = installation.count("select count(*) from messages where status_tag = 'ok'").await?;
    let mut figures = vec![
        Figure::at_least("kills", killed.kills, if count >= 20_000 { 15 } else { 3 }),
        Figure::exactly(format!("messages ok and {delivery}"), usize::try_from(ok)?, count),
        Figure::at_least("in flight at the kills", killed.in_flight.len(), 1),
        Figure::at_most("duplicates", audit.duplicates, killed.in_flight.len()),
    ];
    figures.extend(audit.figures());
    for figure in &mut figures {
        figure.what = format!("{name}: {}", figure.what);
    }
    Ok(figures)
}

struct Killed {
    kills: usize,
    /// Leases that a processor held when it was killed. One that lapses is seen by several kills.
    in_flight: HashSet<(Uuid, i32)>,
    _last: Process,
}

/// Until every message was sent at least once.
async fn kill_again_and_again(
    installation: &Installation,
    simulator: &Simulator,
    mut processor: Process,
    count: usize,
) -> anyhow::Result<Killed> {
    let mut in_flight = HashSet::new();
    let mut kills = 0;
    let deadline = tokio::time::Instant::now() + LIMIT;
    while simulator.summary().await?.distinct_message_ids < count {
        anyhow::ensure!(tokio::time::Instant::now() < deadline, "not all sent after {kills} kills");
        tokio::time::sleep(KILL_EVERY).await;
        processor.kill().await?;
        kills += 1;
        in_flight.extend(installation.leases().await?);
        processor.start_again().await?;
    }
    Ok(Killed { kills, in_flight, _last: processor })
}
