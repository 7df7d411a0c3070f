//! A processor and a server whose clocks are 60 days ahead run alongside correct ones, with a retention of a week. Nothing is
//! destroyed, the messages go out by the good ones, and those that are ahead say that they are not ready.

use std::time::Duration;

use crate::configuration::{IMPATIENT, twilio};
use crate::faketime::FakeClock;
use crate::figure::Figure;
use crate::installation::Installation;
use crate::invariants;
use crate::keyed_load::KeyedLoad;
use crate::rig::LIMIT;
use crate::stage::Stage;
use crate::wait::until;

const AHEAD: &str = "+60d";
const FURTHER: usize = 200;
/// Housekeeping of a processor runs at its start and every minute or less; what it would destroy is gone within seconds.
const HOUSEKEEPING: Duration = Duration::from_secs(20);

pub(super) async fn run(stage: &mut Stage) -> anyhow::Result<Vec<Figure>> {
    let mut installation = stage.installation().await?;
    let clock = match FakeClock::new(installation.dir()) {
        Ok(clock) => clock,
        Err(error) => return Ok(vec![Figure::told("SKIPPED", error)]),
    };
    clock.set(AHEAD)?;
    let simulator = installation.simulator(&["--no-receipts"]).await?;
    let retention = "[retention]\nmessages_days = 7\n";
    installation
        .configure(&format!("{IMPATIENT}{retention}{}", twilio("twilio-main", &simulator.url, "")))?;
    let mut apiserver = installation.apiserver().await?;
    let mut processor = installation.processor().await?;
    let load = KeyedLoad::start(&installation.api());
    load.wait_for_further(FURTHER, LIMIT).await?;
    let partitions = partitions(&installation).await?;

    installation.environment = clock.environment();
    let mut ahead = installation.processor().await?;
    let server_ahead = installation.start_further_apiserver().await?;
    let server_answer = until("the server that is ahead answers", LIMIT, async || {
        Ok(server_ahead.http().get("/readyz").await.ok().map(|answer| answer.status))
    })
    .await?;
    tokio::time::sleep(HOUSEKEEPING).await;
    load.wait_for_further(FURTHER, LIMIT).await?;
    let processor_answer = ahead.http().get("/readyz").await?.status;
    let claims = ahead.metric("app_dispatch_latency_seconds_count", "").await?;
    let sent = load.stop().await?;
    installation.wait_until_settled(LIMIT).await?;
    ahead.terminate().await?;
    processor.terminate().await?;
    apiserver.terminate().await?;

    let mut figures = vec![
        Figure::exactly("processor ahead: /readyz", processor_answer, 503),
        Figure::exactly("server ahead: /readyz", server_answer, 503),
        Figure::exactly("messages that the processor ahead sent", claims, 0.0),
        Figure::exactly(
            "weeks dropped",
            partitions - self::partitions(&installation).await?.min(partitions),
            0,
        ),
    ];
    figures.extend(sent.figures(&installation, &simulator, false).await?);
    figures.push(invariants::leases_left(&installation.pool).await?);
    Ok(figures)
}

async fn partitions(installation: &Installation) -> anyhow::Result<i64> {
    installation.count("select count(*) from pg_inherits where inhparent = 'messages'::regclass").await
}
