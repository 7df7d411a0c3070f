//! A child process: started and waited for, killed, started again. What it says goes into a file of its own.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::client::HttpClient;
use crate::wait::until;

const READY_LIMIT: Duration = Duration::from_secs(60);
const END_LIMIT: Duration = Duration::from_secs(60);
const KEPT_VARIABLES: [&str; 6] = ["PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "RUST_BACKTRACE", "RUST_LOG"];

/// How a process is started, each time anew.
#[derive(Clone, Debug)]
pub struct Launch {
    pub binary: PathBuf,
    pub arguments: Vec<String>,
    pub environment: Vec<(String, String)>,
    /// Where it listens.
    pub url: String,
    /// Answers 2xx when it is ready.
    pub ready_path: &'static str,
    pub log: PathBuf,
}

/// Killed when dropped.
#[derive(Debug)]
pub struct Process {
    launch: Launch,
    client: HttpClient,
    child: Option<Child>,
}

impl Process {
    /// # Errors
    /// When it cannot be started, ends instead of getting ready, or takes too long; with what it said.
    pub async fn start(launch: Launch) -> anyhow::Result<Self> {
        let client = HttpClient::new(&launch.url).with_timeout(Duration::from_secs(1));
        let mut process = Self { launch, client, child: None };
        process.start_again().await?;
        Ok(process)
    }

    /// A client of its own, with connections of its own.
    pub fn http(&self) -> HttpClient {
        HttpClient::new(&self.launch.url)
    }

    /// After a kill.
    ///
    /// # Errors
    /// As [`Process::start`].
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        self.spawn()?;
        let name = self.launch.binary.display().to_string();
        let Self { launch, client, child } = self;
        until(&format!("{name} is ready"), READY_LIMIT, async || {
            let ended = child.as_mut().map(Child::try_wait).transpose()?.flatten();
            if let Some(status) = ended {
                bail!("{name} ended with {status}: {}", launch.said(10));
            }
            let answer = client.get(launch.ready_path).await;
            Ok(answer.is_ok_and(|answer| (200..300).contains(&answer.status)).then_some(()))
        })
        .await
        .with_context(|| self.launch.said(10))
    }

    /// Starts it without waiting until it is ready.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(&mut self) -> anyhow::Result<()> {
        let Launch { binary, arguments, environment, log, .. } = &self.launch;
        let place = || binary.display().to_string();
        let output = File::options().create(true).append(true).open(log).with_context(place)?;
        let errors = output.try_clone().with_context(place)?;
        let kept = KEPT_VARIABLES.iter().filter_map(|name| Some((*name, std::env::var_os(name)?)));
        let mut command = Command::new(binary);
        command.args(arguments).env_clear().envs(kept).envs(environment.iter().map(|(n, v)| (n, v)));
        // Away from any app.toml that is not this run's.
        command.current_dir(log.parent().context("a log has a folder")?);
        command.stdin(Stdio::null()).stdout(output).stderr(errors).kill_on_drop(true);
        self.child = Some(command.spawn().with_context(place)?);
        Ok(())
    }

    /// While it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref()?.id()
    }

    /// SIGKILL; it is gone on return.
    ///
    /// # Errors
    /// When it was not there.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        let mut child = self.child.take().context("it runs")?;
        if let Some(status) = child.try_wait()? {
            bail!("{} ended by itself with {status}: {}", self.launch.binary.display(), self.launch.said(10));
        }
        child.kill().await.context("its end")
    }

    /// SIGTERM; it is gone on return.
    ///
    /// # Errors
    /// When it was not there, or ends badly, or takes too long.
    pub async fn terminate(&mut self) -> anyhow::Result<()> {
        let mut child = self.child.take().context("it runs")?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        kill_process(pid.context("it runs")?, Signal::TERM)?;
        let status =
            tokio::time::timeout(END_LIMIT, child.wait()).await.context("its end after SIGTERM")??;
        if !status.success() {
            bail!("{} ended with {status}: {}", self.launch.binary.display(), self.launch.said(10));
        }
        Ok(())
    }

    /// A Prometheus metric of this process, summed over the series whose labels contain `labels`.
    ///
    /// # Errors
    /// When the process does not answer.
    pub async fn metric(&self, name: &str, labels: &str) -> anyhow::Result<f64> {
        let text = self.client.get("/metrics").await?.text();
        let of_it = |line: &&str| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])) && line.contains(labels)
        };
        let values =
            text.lines().filter(of_it).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        Ok(values.sum())
    }
}

impl Launch {
    /// The last lines of what it said.
    fn said(&self, lines: usize) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }
}
