//! What all scenarios of a run share: one PostgreSQL with its durable settings, the folder of the binaries, and the
//! scale. Each scenario plays in an installation of its own.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use app_db::embedded::Embedded;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::figure::Figure;
use crate::installation::Installation;
use crate::invariants;
use crate::server::{Programs, Server};

const BINARIES: [&str; 3] = ["app-apiserver", "app-processor", "provider-simulator"];
const END_LIMIT: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub struct Stage {
    postgres: Embedded,
    binaries: PathBuf,
    dir: TempDir,
    scale: f64,
    /// Chooses the faults of scenarios that choose.
    pub seed: u64,
    installations: u32,
    /// The installations before this number were checked, or are gone.
    checked: u32,
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
        Ok(Self { postgres, binaries, dir, scale, seed: 1, installations: 0, checked: 0 })
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
        let name = self.next_name();
        self.admin(&format!("create database {name}")).await?;
        let dir = self.dir.path().join(&name);
        std::fs::create_dir(&dir)?;
        Installation::new(dir, self.binaries.clone(), with_database(&self.postgres.url(), &name)?).await
    }

    /// A fresh database on a server of the scenario's own. Its processes reach it by `url`, which may lead through
    /// something that hinders; where there is none they reach it as we do.
    ///
    /// # Errors
    /// When the database cannot be made.
    pub async fn installation_on(
        &mut self,
        server: &Server,
        url: Option<String>,
    ) -> anyhow::Result<Installation> {
        let name = self.next_name();
        server.run("postgres", &format!("create database {name}")).await?;
        let dir = self.dir.path().join(&name);
        std::fs::create_dir(&dir)?;
        let mut installation = Installation::new(dir, self.binaries.clone(), server.url(&name)?).await?;
        if let Some(url) = url {
            installation.reach_database_at(format!("{url}/{name}"));
        }
        Ok(installation)
    }

    fn next_name(&mut self) -> String {
        self.installations += 1;
        format!("chaos_{}", self.installations)
    }

    /// Whose programs a server of a scenario's own uses.
    ///
    /// # Errors
    /// When they are not found.
    pub async fn programs(&self) -> anyhow::Result<Programs> {
        let home = self.dir.path().join("data").join("postgres");
        Programs::of_running(self.postgres.pid().context("postmaster.pid")?, &home).await
    }

    /// A folder for a server of a scenario's own; another one at each call.
    pub fn server_dir(&mut self, name: &str) -> PathBuf {
        self.installations += 1;
        self.dir.path().join(format!("{name}-{}", self.installations))
    }

    /// Whether what must hold of every database holds of those of the scenarios since the last call.
    ///
    /// # Errors
    /// When a database does not answer.
    pub async fn check_invariants(&mut self) -> anyhow::Result<Vec<Figure>> {
        let mut figures = Vec::new();
        for number in self.checked + 1..=self.installations {
            let name = format!("chaos_{number}");
            let exists = format!("select from pg_database where datname = '{name}'");
            let pool = app_db::connect(&with_database(&self.postgres.url(), "postgres")?, 1)?;
            if pool.get().await?.query_opt(&exists, &[]).await?.is_some() {
                let pool = app_db::connect(&with_database(&self.postgres.url(), &name)?, 1)?;
                figures.extend(invariants::check(&pool).await?);
            }
        }
        self.checked = self.installations;
        Ok(figures)
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
pub(crate) fn children_of(parent: i32) -> anyhow::Result<Vec<i32>> {
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
