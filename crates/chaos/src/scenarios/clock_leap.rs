//! The clocks of the database and of both binaries leap ahead by 36 days: beyond the weeks that were made. Messages are
//! accepted and sent within seconds all the same, and none is lost.

use std::os::unix::fs::PermissionsExt;

use service::Clock;
use tokio::time::Instant;

use crate::faketime::FakeClock;
use crate::figure::Figure;
use crate::rig::Rig;
use crate::server::Server;
use crate::stage::Stage;

const LEAP: &str = "+36d";

pub(super) async fn run(stage: &mut Stage) -> anyhow::Result<Vec<Figure>> {
    let dir = stage.server_dir("clock");
    std::fs::create_dir(&dir)?;
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o755))?;
    let clock = match FakeClock::new(&dir) {
        Ok(clock) => clock,
        Err(error) => return Ok(vec![Figure::told("SKIPPED", error)]),
    };
    let mut server = Server::create(&stage.programs().await?, &stage.server_dir("leaping")).await?;
    server.environment = clock.environment();
    server.start().await?;
    let mut installation = stage.installation_on(&server, None).await?;
    installation.environment = clock.environment();
    let rig = Rig::start(installation).await?;

    let began = Instant::now();
    let before = Clock::System.now();
    clock.set(LEAP)?;
    let leapt = format!("select extract(day from now() - '{before}'::timestamptz)::bigint");
    let mut figures =
        vec![Figure::exactly("days that the database leapt", rig.installation.count(&leapt).await?, 36)];
    // Whether they are not ready for a moment is not judged: they may make the week before a request needs it.
    let recovery = rig.recover(began).await?;
    figures.extend(recovery.into_iter().filter(|figure| !figure.what.ends_with("not ready meanwhile")));
    figures.extend(rig.finish(false).await?);
    server.stop().await?;
    Ok(figures)
}
