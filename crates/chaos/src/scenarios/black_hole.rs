//! The network between the binaries and the database swallows everything and closes no socket. Then it lets new
//! connections through, while the old ones stay silent for ever: what a failed firewall or a moved address leaves.

use std::time::Duration;

use testkit::fault_proxy::{Fault, FaultProxy};
use tokio::time::Instant;

use crate::figure::Figure;
use crate::rig::Rig;
use crate::server::Server;
use crate::stage::Stage;

/// So long the fault lasts at least: longer than either binary waits for an answer of the database.
const AT_LEAST: Duration = Duration::from_secs(12);
/// And at most: the binaries must notice within it.
const AT_MOST: Duration = Duration::from_secs(40);

pub(super) async fn run(stage: &mut Stage) -> anyhow::Result<Vec<Figure>> {
    let mut server = Server::create(&stage.programs().await?, &stage.server_dir("black-hole")).await?;
    server.start().await?;
    let mut figures = Vec::new();
    for (name, fault) in [("black hole", Fault::BlackHole), ("half-open", Fault::SilentServer)] {
        let proxy = FaultProxy::for_database(&server.url("postgres")?).await;
        let url = format!("postgresql://app@{}", proxy.address());
        let rig = Rig::start(stage.installation_on(&server, Some(url)).await?).await?;
        let began = Instant::now();
        proxy.set(fault);
        rig.wait_until_not_ready(AT_MOST).await;
        tokio::time::sleep_until(began + AT_LEAST).await;
        proxy.abandon_all();
        proxy.set(Fault::None);
        let mut of_it = rig.recover(began).await?;
        of_it.extend(rig.finish(false).await?);
        figures.extend(of_it.into_iter().map(|figure| figure.of(name)));
    }
    server.stop().await?;
    Ok(figures)
}
