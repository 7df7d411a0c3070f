//! Two processors, then four, share 20,000 messages. Nobody is killed, so nothing goes out twice.

use std::time::Duration;

use tokio::time::Instant;

use crate::backlog::Backlog;
use crate::configuration::twilio;
use crate::figure::Figure;
use crate::stage::Stage;

const LIMIT: Duration = Duration::from_secs(300);

pub(super) async fn run(stage: &mut Stage) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for processors in [2, 4] {
        figures.extend(with(stage, processors).await?);
    }
    Ok(figures)
}

async fn with(stage: &mut Stage, processors: usize) -> anyhow::Result<Vec<Figure>> {
    let count = stage.scaled(20_000, 1_000);
    let installation = stage.installation().await?;
    let simulator = installation.simulator(&["--no-receipts"]).await?;
    installation.configure(&twilio("twilio-main", &simulator.url, "max_in_flight = 64"))?;
    let mut running = Vec::new();
    for _ in 0..processors {
        running.push(installation.processor().await?);
    }
    let began = Instant::now();
    installation.store(Backlog { route: "sms", first_number: 12_022_000_000, count }).await?;
    installation.wait_until_settled(LIMIT).await?;
    let took = began.elapsed();

    let summary = simulator.summary().await?;
    let ok = installation.count("select count(*) from messages where status_tag = 'ok'").await?;
    let mut idle = 0;
    for processor in &running {
        if processor.metric("app_attempts_total", "outcome=\"accepted\"").await? == 0.0 {
            idle += 1;
        }
    }
    let of = |what: &str| format!("{processors} processors: {what}");
    Ok(vec![
        Figure::exactly(of("messages ok"), usize::try_from(ok)?, count),
        Figure::exactly(of("duplicates"), summary.duplicates, 0),
        Figure::exactly(of("unknown outcomes"), installation.unknown_outcomes().await?.len(), 0),
        Figure::exactly(of("processors that did nothing"), idle, 0),
        Figure::told(of("rate"), format!("{:.0}/s", count as f64 / took.as_secs_f64())),
    ])
}
