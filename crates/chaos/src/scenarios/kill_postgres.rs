//! PostgreSQL is killed under load. Whatever a client saw accepted is stored when it is back, and both binaries
//! work on by themselves.

use std::time::Duration;

use tokio::time::Instant;

use crate::audit::Audit;
use crate::configuration::{IMPATIENT, twilio};
use crate::figure::Figure;
use crate::load::{Pressure, nth_sms};
use crate::stage::Stage;
use crate::wait::until;

const CLIENTS: usize = 16;
const PAUSE: Duration = Duration::from_millis(10);
const LIMIT: Duration = Duration::from_secs(300);
const FURTHER: usize = 1_000;
/// How long PostgreSQL stays away at least, so that the binaries notice.
const AWAY: Duration = Duration::from_secs(1);
const RECOVERY_BAR_S: f64 = 10.0;

pub(super) async fn run(stage: &mut Stage) -> anyhow::Result<Vec<Figure>> {
    let kills = stage.scaled(3, 1);
    let installation = stage.installation().await?;
    let simulator = installation.simulator(&["--no-receipts"]).await?;
    installation.configure(&format!("{IMPATIENT}{}", twilio("twilio-main", &simulator.url, "")))?;
    let mut apiserver = installation.apiserver().await?;
    let mut processor = installation.processor().await?;

    let pressure = Pressure::start(&[installation.api()], CLIENTS, PAUSE, nth_sms);
    let (mut accepting_s, mut sending_s) = (0.0_f64, 0.0_f64);
    for _ in 0..kills {
        let before = pressure.accepted();
        until("the server accepts under load", LIMIT, async || {
            Ok((pressure.accepted() >= before + FURTHER).then_some(()))
        })
        .await?;
        stage.kill_postgres().await?;
        tokio::time::sleep(AWAY).await;
        let accepted = pressure.accepted();
        stage.restart_postgres().await?;
        let back = Instant::now();
        let back_at: String = until("the database takes connections", LIMIT, async || {
            let Ok(client) = installation.pool.get().await else { return Ok(None) };
            Ok(client.query_one("select now()::text", &[]).await.ok().map(|row| row.get(0)))
        })
        .await?;
        // Accepted and sent since: then both work again.
        let sent =
            format!("select count(*) from messages where status_tag = 'ok' and created_at > '{back_at}'");
        let (accepts, sends) = tokio::join!(
            until("the server accepts again", LIMIT, async || {
                Ok((pressure.accepted() > accepted).then(|| back.elapsed().as_secs_f64()))
            }),
            until("the processor sends again", LIMIT, async || {
                Ok((installation.count(&sent).await? > 0).then(|| back.elapsed().as_secs_f64()))
            }),
        );
        accepting_s = accepting_s.max(accepts?);
        sending_s = sending_s.max(sends?);
    }
    let seen = pressure.stop().await;
    installation.wait_until_settled(LIMIT).await?;

    let audit = Audit::of(&installation, &simulator, &seen.accepted).await?;
    let mut figures = vec![
        Figure::told("kills", kills),
        Figure::at_least("202s that clients saw", seen.accepted.len(), kills * FURTHER),
        Figure::below("the server accepts again after", accepting_s, RECOVERY_BAR_S, "s"),
        Figure::below("the processor sends again after", sending_s, RECOVERY_BAR_S, "s"),
        Figure::told("refusals meanwhile", format!("{:?}, {} unanswered", seen.refused, seen.unanswered)),
    ];
    figures.extend(audit.figures());
    // Neither was replaced: both are still the processes that saw the kills.
    apiserver.terminate().await?;
    processor.terminate().await?;
    Ok(figures)
}
