//! What all scenarios of a run share: one PostgreSQL with its durable settings, the folder of the binaries, and the
//! scale. Each scenario plays in an installation of its own.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use app_db::embedded::Embedded;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::installation::Installation;

const BINARIES: [&str; 3] = ["app-apiserver", "app-processor", "provider-simulator"];
const END_LIMIT: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub struct Stage {
    postgres: Embedded,
    binaries: PathBuf,
    dir: TempDir,
    scale: f64,
    installations: u32,
}

impl Stage {
    /// Starts PostgreSQL in a temporary folder. `scale` multiplies the numbers of messages.
    ///
    /// # Errors
    /// When PostgreSQL cannot be started, or a binary is not built.
    pub async fn open(binaries: PathBuf, scale: f64) -> anyhow::Result<Self> {
        if let Some(missing) = BINARIES.into_iter().find(|name| !binaries.join(name).is_file()) {
            bail!("{missing} is not in {}: `make chaos` builds it first", binaries.display());
        }
        // Open to PostgreSQL's user, where we are root.
        let open = std::fs::Permissions::from_mode(0o755);
        let dir = tempfile::Builder::new().prefix("app-chaos-").permissions(open).tempdir()?;
        let postgres = Embedded::start(&dir.path().join("data")).await?;
        Ok(Self { postgres, binaries, dir, scale, installations: 0 })
    }

    /// A number of messages at this scale, but at least so many.
    pub fn scaled(&self, full: usize, least: usize) -> usize {
        ((full as f64 * self.scale).round() as usize).clamp(least.min(full), full)
    }

    /// A fresh database and folder.
    ///
    /// # Errors
    /// When the database cannot be made.
    pub async fn installation(&mut self) -> anyhow::Result<Installation> {
        self.installations += 1;
        let name = format!("chaos_{}", self.installations);
        self.admin(&format!("create database {name}")).await?;
        let dir = self.dir.path().join(&name);
        std::fs::create_dir(&dir)?;
        Installation::new(dir, self.binaries.clone(), with_database(&self.postgres.url(), &name)?).await
    }

    /// Removes the databases of the scenarios so far.
    ///
    /// # Errors
    /// When PostgreSQL refuses.
    pub async fn clear(&mut self) -> anyhow::Result<()> {
        for number in 1..=self.installations {
            self.admin(&format!("drop database if exists chaos_{number} with (force)")).await?;
        }
        Ok(())
    }

    async fn admin(&self, statement: &str) -> anyhow::Result<()> {
        let pool = app_db::connect(&with_database(&self.postgres.url(), "postgres")?, 1)?;
        Ok(pool.get().await?.batch_execute(statement).await?)
    }

    /// SIGKILL to PostgreSQL: the postmaster first, so that it cannot restart anything, then its children. All
    /// are gone on return.
    ///
    /// # Errors
    /// When there is none, or it does not end.
    pub async fn kill_postgres(&mut self) -> anyhow::Result<()> {
        let postmaster = self.postgres.pid().context("postmaster.pid")?;
        let children = children_of(postmaster)?;
        for pid in std::iter::once(postmaster).chain(children) {
            // One that ended meanwhile is as good as killed.
            let _ = kill_process(Pid::from_raw(pid).context("a process id")?, Signal::KILL);
        }
        tokio::time::timeout(END_LIMIT, self.postgres.ended()).await.context("PostgreSQL's end")?;
        Ok(())
    }

    /// After [`Stage::kill_postgres`]; it answers on return.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn restart_postgres(&mut self) -> anyhow::Result<()> {
        Ok(self.postgres.restart().await?)
    }

    /// The postmaster; every backend is its child.
    pub fn postgres_pid(&self) -> Option<i32> {
        self.postgres.pid()
    }

    pub fn postgres_version(&self) -> String {
        self.postgres.version()
    }

    /// Ends PostgreSQL. With `keep` the folder stays, and is returned.
    ///
    /// # Errors
    /// When it cannot be stopped.
    pub async fn close(self, keep: bool) -> anyhow::Result<Option<PathBuf>> {
        self.postgres.stop().await?;
        Ok(keep.then(|| self.dir.keep()))
    }
}

/// The same server's other database: the last part of the URL's path.
fn with_database(url: &str, name: &str) -> anyhow::Result<String> {
    let (server, _) = url.rsplit_once('/').context("a URL with a database")?;
    Ok(format!("{server}/{name}"))
}

/// From /proc, or from `ps` where there is none.
fn children_of(parent: i32) -> anyhow::Result<Vec<i32>> {
    let pairs = match std::fs::read_dir("/proc/self").and_then(|_| std::fs::read_dir("/proc")) {
        Ok(entries) => {
            let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
            pids.filter_map(|pid| Some((pid, parent_in_proc(pid)?))).collect()
        }
        Err(_) => pairs_of_ps()?,
    };
    Ok(pairs.into_iter().filter(|(_, ppid)| *ppid == parent).map(|(pid, _)| pid).collect())
}

fn parent_in_proc(pid: i32) -> Option<i32> {
    // `pid (name) state ppid ...`, and the name may hold anything.
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(1)?.parse().ok()
}

fn pairs_of_ps() -> anyhow::Result<Vec<(i32, i32)>> {
    let output = std::process::Command::new("ps").args(["-A", "-o", "pid=,ppid="]).output().context("ps")?;
    let pair = |line: &str| {
        let mut numbers = line.split_whitespace().map(str::parse);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    };
    Ok(String::from_utf8_lossy(&output.stdout).lines().filter_map(pair).collect())
}

/// The folder that cargo put this program's neighbours in.
///
/// # Errors
/// When there is none.
pub fn binaries_beside_us() -> anyhow::Result<PathBuf> {
    let us = std::env::current_exe()?;
    let here = us.parent().context("a folder")?;
    // Test executables are one folder further down.
    let folders = [Some(here), here.parent()];
    let found = folders.into_iter().flatten().find(|folder| folder.join(BINARIES[0]).is_file());
    Ok(found.unwrap_or(here).to_owned())
}
