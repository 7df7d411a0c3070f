//! The server is killed under load, again and again. Whatever a client saw accepted is stored, and goes out.

use std::time::Duration;

use crate::audit::Audit;
use crate::configuration::{IMPATIENT, twilio};
use crate::figure::Figure;
use crate::load::{Pressure, nth_sms};
use crate::stage::Stage;
use crate::wait::until;

const CLIENTS: usize = 32;
const PAUSE: Duration = Duration::from_millis(5);
const LIMIT: Duration = Duration::from_secs(300);
const FURTHER: usize = 200;

pub(super) async fn run(stage: &mut Stage) -> anyhow::Result<Vec<Figure>> {
    let kills = stage.scaled(20, 5);
    let installation = stage.installation().await?;
    let simulator = installation.simulator(&["--no-receipts"]).await?;
    installation.configure(&format!("{IMPATIENT}{}", twilio("twilio-main", &simulator.url, "")))?;
    let mut apiserver = installation.apiserver().await?;
    let _processor = installation.processor().await?;

    let pressure = Pressure::start(&[installation.api()], CLIENTS, PAUSE, nth_sms);
    for _ in 0..kills {
        let before = pressure.accepted();
        until("the server accepts under load", LIMIT, async || {
            Ok((pressure.accepted() >= before + FURTHER).then_some(()))
        })
        .await?;
        apiserver.kill().await?;
        apiserver.start_again().await?;
    }
    let seen = pressure.stop().await;
    installation.wait_until_settled(LIMIT).await?;

    let audit = Audit::of(&installation, &simulator, &seen.accepted).await?;
    let mut figures = vec![
        Figure::told("kills", kills),
        Figure::at_least("202s that clients saw", seen.accepted.len(), kills * FURTHER),
        Figure::at_least("requests that the kills cut off", seen.unanswered, 1),
        // A server that starts says 503 until it has its database.
        Figure::exactly("refusals but 503", seen.refused() - seen.refused.get(&503).copied().unwrap_or(0), 0),
    ];
    figures.extend(audit.figures());
    Ok(figures)
}
