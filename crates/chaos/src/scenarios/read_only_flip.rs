//! The database becomes read-only under the sessions that are open, as after a failover to a server that is still a
//! standby, and writable again. An operator does it with `default_transaction_read_only`, which no client overrides.

use std::time::Duration;

use tokio::time::Instant;

use crate::figure::Figure;
use crate::rig::Rig;
use crate::server::Server;
use crate::stage::Stage;

const AT_MOST: Duration = Duration::from_secs(20);

pub(super) async fn run(stage: &mut Stage) -> anyhow::Result<Vec<Figure>> {
    let mut server = Server::create(&stage.programs().await?, &stage.server_dir("read-only")).await?;
    server.start().await?;
    let rig = Rig::start(stage.installation_on(&server, None).await?).await?;
    let began = Instant::now();
    set_read_only(&server, "on").await?;
    rig.wait_until_not_ready(AT_MOST).await;
    set_read_only(&server, "off").await?;
    let mut figures = rig.recover(began).await?;
    figures.extend(rig.finish(false).await?);
    server.stop().await?;
    Ok(figures)
}

async fn set_read_only(server: &Server, value: &str) -> anyhow::Result<()> {
    // Each a command of its own: ALTER SYSTEM refuses a transaction.
    server.run("postgres", &format!("alter system set default_transaction_read_only = {value}")).await?;
    server.run("postgres", "select pg_reload_conf()").await
}
