//! The synchronous standby is away: every commit waits. Requests are answered 503 instead of never, and everything goes
//! on when the standby is back.

use std::time::Duration;

use tokio::time::Instant;

use super::promotion::require_standby;
use crate::figure::Figure;
use crate::rig::Rig;
use crate::server::Server;
use crate::stage::Stage;

const AT_MOST: Duration = Duration::from_secs(40);

pub(super) async fn run(stage: &mut Stage) -> anyhow::Result<Vec<Figure>> {
    let mut primary = Server::create(&stage.programs().await?, &stage.server_dir("primary")).await?;
    primary.start().await?;
    let mut standby = primary.standby(&stage.server_dir("standby")).await?;
    standby.settings = vec!["synchronous_standby_names=".to_owned()];
    standby.start().await?;
    require_standby(&primary).await?;
    let rig = Rig::start(stage.installation_on(&primary, None).await?).await?;

    let began = Instant::now();
    standby.stop().await?;
    rig.wait_until_not_ready(AT_MOST).await;
    standby.start().await?;
    let mut figures = rig.recover(began).await?;
    figures.extend(rig.finish(false).await?);
    standby.stop().await?;
    primary.stop().await?;
    Ok(figures)
}
