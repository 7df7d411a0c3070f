//! The database's disk runs full under load, and has room again. PostgreSQL may end itself meanwhile, as it does where
//! its log cannot grow; it is started again then, as a service manager would.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::ensure;
use tokio::time::Instant;

use crate::figure::Figure;
use crate::rig::Rig;
use crate::server::Server;
use crate::stage::Stage;

const SIZE: &str = "size=192m";
const AT_MOST: Duration = Duration::from_secs(20);

pub(super) async fn run(stage: &mut Stage) -> anyhow::Result<Vec<Figure>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(vec![Figure::told("SKIPPED", "a small filesystem is mounted by root only")]);
    }
    let disk = match SmallDisk::mount(stage.server_dir("disk")) {
        Ok(disk) => disk,
        Err(error) => return Ok(vec![Figure::told("SKIPPED", format!("{error:#}"))]),
    };
    let mut server = Server::create(&stage.programs().await?, &disk.0.join("server")).await?;
    server.settings =
        ["shared_buffers=16MB", "min_wal_size=32MB", "max_wal_size=48MB"].map(str::to_owned).into();
    server.start().await?;
    let rig = Rig::start(stage.installation_on(&server, None).await?).await?;

    let began = Instant::now();
    let ballast = disk.fill()?;
    rig.wait_until_not_ready(AT_MOST).await;
    let has_ended = server.has_ended()?;
    fs::remove_file(&ballast)?;
    if has_ended {
        server.start().await?;
    }
    let mut figures = vec![Figure::told("PostgreSQL ended itself", has_ended)];
    figures.extend(rig.recover(began).await?);
    figures.extend(rig.finish(false).await?);
    server.stop().await?;
    Ok(figures)
}

/// Unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(dir: PathBuf) -> anyhow::Result<Self> {
        fs::create_dir(&dir)?;
        let mut mount = Command::new("mount");
        let output = mount.args(["-t", "tmpfs", "-o", SIZE, "tmpfs"]).arg(&dir).output()?;
        ensure!(output.status.success(), "mount: {}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(Self(dir))
    }

    /// Takes all the room that is left.
    fn fill(&self) -> anyhow::Result<PathBuf> {
        let path = self.0.join("ballast");
        let mut file = fs::File::create(&path)?;
        let piece = vec![0_u8; 64 << 10];
        while write_some(&mut file, &piece, &path)? {}
        Ok(path)
    }
}

/// Whether there was room.
fn write_some(file: &mut fs::File, piece: &[u8], path: &Path) -> anyhow::Result<bool> {
    use std::io::Write;
    match file.write_all(piece) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::StorageFull => Ok(false),
        Err(error) => Err(anyhow::Error::new(error).context(path.display().to_string())),
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a process that a failed run leaves may still hold a file.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}
