//! The database server is killed under load, and its standby is promoted: once a standby that follows asynchronously,
//! once a synchronous one. The binaries have both servers in their URL, the standby first, and are not restarted.

use tokio::time::Instant;

use testkit::fault_proxy::FaultProxy;

use crate::figure::Figure;
use crate::rig::{LIMIT, Rig};
use crate::server::Server;
use crate::stage::Stage;
use crate::wait::until;

pub(super) async fn run(stage: &mut Stage) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (name, synchronous) in [("async", false), ("sync", true)] {
        let of_it = promote(stage, synchronous).await?;
        figures.extend(of_it.into_iter().map(|figure| figure.of(name)));
    }
    Ok(figures)
}

async fn promote(stage: &mut Stage, synchronous: bool) -> anyhow::Result<Vec<Figure>> {
    let mut primary = Server::create(&stage.programs().await?, &stage.server_dir("primary")).await?;
    primary.start().await?;
    let mut standby = primary.standby(&stage.server_dir("standby")).await?;
    // The primary's setting came with its copy.
    standby.settings = vec!["synchronous_standby_names=".to_owned()];
    standby.start().await?;
    if synchronous {
        require_standby(&primary).await?;
    }
    let proxies = [
        FaultProxy::for_database(&standby.url("postgres")?).await,
        FaultProxy::for_database(&primary.url("postgres")?).await,
    ];
    let url = format!("postgresql://app@{},{}", proxies[0].address(), proxies[1].address());
    let rig = Rig::start(stage.installation_on(&primary, Some(url)).await?).await?;

    let began = Instant::now();
    primary.kill().await?;
    rig.wait_until_not_ready(std::time::Duration::from_secs(10)).await;
    standby.promote().await?;
    let mut rig = rig;
    rig.installation.pool = standby.pool(rig.installation.database())?;
    let mut figures = rig.recover(began).await?;
    let rest = rig.finish(!synchronous).await?;
    figures.extend(rest.into_iter().map(|figure| match synchronous {
        true => figure,
        // What the standby had not received yet is gone; PostgreSQL calls that asynchronous.
        false => figure.without_bar_for("accepted, but missing in app-db"),
    }));
    standby.stop().await?;
    Ok(figures)
}

/// Every commit waits for the standby, which follows already.
pub(super) async fn require_standby(primary: &Server) -> anyhow::Result<()> {
    primary.run("postgres", "alter system set synchronous_standby_names = '*'").await?;
    primary.run("postgres", "select pg_reload_conf()").await?;
    let query = "select count(*) from pg_stat_replication where sync_state = 'sync'";
    until("the standby is synchronous", LIMIT, async || {
        let count = primary.value("postgres", query).await?;
        Ok((count.as_deref() == Some("1")).then_some(()))
    })
    .await
}
