//! A PostgreSQL server of a scenario's own: to be killed, promoted, filled up or given another clock without harm to the
//! server that all scenarios share. Runs as the user of that server, since PostgreSQL refuses root.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use app_db::Pool;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::stage::children_of;
use crate::wait::until;

const START_LIMIT: Duration = Duration::from_secs(60);
const END_LIMIT: Duration = Duration::from_secs(60);

/// Where PostgreSQL's programs are, and who runs them.
#[derive(Clone, Debug)]
pub struct Programs {
    pub bin: PathBuf,
    pub uid: u32,
    pub gid: u32,
}

impl Programs {
    /// Those of a running server, whose cluster is in `home`.
    ///
    /// # Errors
    /// When they are not found.
    pub async fn of_running(postmaster: i32, home: &Path) -> anyhow::Result<Self> {
        let bin = match fs::read_link(format!("/proc/{postmaster}/exe")) {
            Ok(postgres) => postgres.parent().context("a folder")?.to_owned(),
            Err(_) => {
                let output = Command::new("pg_config").arg("--bindir").output().await.context("pg_config")?;
                PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
            }
        };
        let owner = fs::metadata(home)?;
        Ok(Self { bin, uid: owner.uid(), gid: owner.gid() })
    }

    /// A command of the server's user.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("LC_ALL", "C").current_dir("/").stdin(Stdio::null());
        command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        if rustix::process::geteuid().is_root() {
            command.uid(self.uid).gid(self.gid);
        }
        command
    }

    /// A folder that only the server's user may enter.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn private_dir(&self, dir: &Path) -> anyhow::Result<()> {
        fs::create_dir_all(dir)?;
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
        if rustix::process::geteuid().is_root() {
            chown(dir, Some(self.uid), Some(self.gid))?;
        }
        Ok(())
    }

    async fn run(&self, program: &str, arguments: &[&str]) -> anyhow::Result<()> {
        let output = self.command(self.bin.join(program)).args(arguments).output().await?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{program} {arguments:?}: {}: {said}", output.status);
        Ok(())
    }
}

/// Killed when dropped.
#[derive(Debug)]
pub struct Server {
    programs: Programs,
    dir: PathBuf,
    child: Option<Child>,
    /// Settings of the next start, as `name=value`.
    pub settings: Vec<String>,
    /// Variables of the next start.
    pub environment: Vec<(String, String)>,
}

impl Server {
    /// A new cluster in `dir`, not started.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn create(programs: &Programs, dir: &Path) -> anyhow::Result<Self> {
        let server = Self::at(programs, dir)?;
        let cluster = server.cluster();
        let arguments = ["-D", &cluster, "--username=app", "--encoding=UTF8", "--locale=C", "--auth=trust"];
        programs.run("initdb", &arguments).await?;
        Ok(server)
    }

    /// A standby in `dir` that follows this server, not started.
    ///
    /// # Errors
    /// When no copy can be made.
    pub async fn standby(&self, dir: &Path) -> anyhow::Result<Self> {
        let standby = Self::at(&self.programs, dir)?;
        let (cluster, socket) = (standby.cluster(), self.dir.display().to_string());
        let arguments =
            ["-h", &socket, "-U", "app", "-D", &cluster, "--write-recovery-conf", "--checkpoint=fast"];
        self.programs.run("pg_basebackup", &arguments).await?;
        Ok(standby)
    }

    fn at(programs: &Programs, dir: &Path) -> anyhow::Result<Self> {
        programs.private_dir(dir)?;
        Ok(Self {
            programs: programs.clone(),
            dir: dir.to_owned(),
            child: None,
            settings: Vec::new(),
            environment: Vec::new(),
        })
    }

    fn cluster(&self) -> String {
        self.dir.join("cluster").display().to_string()
    }

    /// It answers on return.
    ///
    /// # Errors
    /// When it does not, with the last lines of its log.
    pub async fn start(&mut self) -> anyhow::Result<()> {
        self.spawn()?;
        until("PostgreSQL answers", START_LIMIT, async || {
            if let Some(status) = self.child.as_mut().map(Child::try_wait).transpose()?.flatten() {
                let said = self.said();
                // What a killed server leaves for a moment.
                ensure!(
                    said.contains("pre-existing shared memory"),
                    "PostgreSQL ended with {status}: {said}"
                );
                self.spawn()?;
            }
            Ok(self.run("postgres", "select 1").await.ok())
        })
        .await
        .with_context(|| self.said())
    }

    fn spawn(&mut self) -> anyhow::Result<()> {
        let log = fs::File::options().create(true).append(true).open(self.log())?;
        let mut command = self.programs.command(self.programs.bin.join("postgres"));
        command.args(["-D", &self.cluster()]);
        let fixed = ["listen_addresses=", "port=5432", "jit=off", "timezone=UTC", "wal_keep_size=256MB"];
        let socket = format!("unix_socket_directories={}", self.dir.display());
        let settings = fixed.iter().map(|&setting| setting.to_owned()).chain([socket]);
        for setting in settings.chain(self.settings.clone()) {
            command.args(["-c", &setting]);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdout(log.try_clone()?).stderr(log).kill_on_drop(true).process_group(0);
        self.child = Some(command.spawn().context("postgres")?);
        Ok(())
    }

    fn log(&self) -> PathBuf {
        // Beside the folder: that one may be full.
        self.dir.with_extension("log")
    }

    fn said(&self) -> String {
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(8)..].join("\n")
    }

    /// # Errors
    /// When the folder has a name that no URL can hold.
    pub fn url(&self, database: &str) -> anyhow::Result<String> {
        let dir = self.dir.to_str().context("a folder's name in UTF-8")?;
        let host: String = form_urlencoded::byte_serialize(dir.as_bytes()).collect();
        Ok(format!("postgresql://app@{host}:5432/{database}"))
    }

    /// Where its socket is.
    pub fn socket_dir(&self) -> &Path {
        &self.dir
    }

    /// A pool of a few connections.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn pool(&self, database: &str) -> anyhow::Result<Pool> {
        Ok(app_db::connect(&self.url(database)?, 4)?)
    }

    /// Statements on a connection of their own, whatever the server's default transaction mode is.
    ///
    /// # Errors
    /// As the database gives them.
    pub async fn run(&self, database: &str, sql: &str) -> anyhow::Result<()> {
        self.value(database, sql).await.map(drop)
    }

    /// The first value that the statements answer, as text.
    ///
    /// # Errors
    /// As the database gives them.
    pub async fn value(&self, database: &str, sql: &str) -> anyhow::Result<Option<String>> {
        use tokio_postgres::SimpleQueryMessage;
        let (client, connection) =
            tokio_postgres::connect(&self.url(database)?, tokio_postgres::NoTls).await?;
        let driver = tokio::spawn(connection);
        let answer = client.simple_query(sql).await;
        drop(client);
        driver.await??;
        Ok(answer?.into_iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        }))
    }

    pub fn pid(&self) -> Option<i32> {
        i32::try_from(self.child.as_ref()?.id()?).ok()
    }

    /// SIGKILL to the server and all its sessions; all are gone on return.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        let postmaster = self.pid().context("PostgreSQL runs")?;
        for pid in std::iter::once(postmaster).chain(children_of(postmaster)?) {
            // One that ended meanwhile is as good as killed.
            let _ = kill_process(Pid::from_raw(pid).context("a process id")?, Signal::KILL);
        }
        self.wait_for_end().await
    }

    /// A fast shutdown.
    ///
    /// # Errors
    /// When it does not run, or does not end.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        let pid = self.pid().context("PostgreSQL runs")?;
        kill_process(Pid::from_raw(pid).context("a process id")?, Signal::INT)?;
        self.wait_for_end().await
    }

    async fn wait_for_end(&mut self) -> anyhow::Result<()> {
        let mut child = self.child.take().context("PostgreSQL runs")?;
        tokio::time::timeout(END_LIMIT, child.wait()).await.context("PostgreSQL's end")??;
        Ok(())
    }

    /// Whether it ended by itself.
    ///
    /// # Errors
    /// When its state cannot be read.
    pub fn has_ended(&mut self) -> anyhow::Result<bool> {
        Ok(match self.child.as_mut() {
            Some(child) => child.try_wait()?.is_some(),
            None => true,
        })
    }

    /// From a standby to a server that writes; it does on return.
    ///
    /// # Errors
    /// When it was none, or does not get ready.
    pub async fn promote(&self) -> anyhow::Result<()> {
        match self.value("postgres", "select pg_promote(true, 60)").await?.as_deref() {
            Some("t") => Ok(()),
            other => bail!("pg_promote answered {other:?}"),
        }
    }
}
