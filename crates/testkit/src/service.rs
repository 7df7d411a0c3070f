//! Real binaries as tests run them: on a port of their own, waited for, killed, started again.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::until::until_within;
use crate::{HttpClient, free_port};

/// A binary that is about to run.
#[derive(Debug)]
pub struct Starting {
    binary: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(String, OsString)>,
    port: u16,
    ready_path: Option<String>,
    open_files: Option<(u32, u32)>,
    dir: TempDir,
}

/// A running binary. Dropped, it is killed; in a test that fails, what it said is printed.
#[derive(Debug)]
pub struct Service {
    starting: Starting,
    child: Child,
}

/// The binary `name` of this workspace: listening by `APP_LISTEN` on a free port, ready when `/readyz` answers
/// 200, in an empty folder, with nothing of our environment but where programs are.
///
/// # Panics
/// When it was not built.
pub fn service(name: &str) -> Starting {
    let port = free_port();
    let mut environment = Vec::new();
    for kept in ["PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "RUST_BACKTRACE"] {
        environment.extend(std::env::var_os(kept).map(|value| (kept.to_owned(), value)));
    }
    let starting = Starting {
        binary: binary(name),
        arguments: Vec::new(),
        environment,
        port,
        ready_path: Some("/readyz".to_owned()),
        open_files: None,
        dir: open_dir(),
    };
    starting
        .env("APP_LISTEN", format!("127.0.0.1:{port}"))
        .env("APP_PROCESSOR_LISTEN", format!("127.0.0.1:{}", free_port()))
}

/// A temporary folder that every user may enter, as the embedded database's does.
fn open_dir() -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).expect("a folder of ours");
    dir
}

/// Where cargo put the binary `name`: beside the folder of the running test.
///
/// # Panics
/// When it is not there.
pub fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    let folders = test.ancestors().skip(1).take(2);
    let found = folders.map(|folder| folder.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| {
        panic!("{name} is not built: run `cargo build --workspace` first, as `make test` does")
    })
}

impl Starting {
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.environment.retain(|(other, _)| other != name);
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// The text of its `app.toml`.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn config(self, toml: &str) -> Self {
        let path = self.dir.path().join("app.toml");
        fs::write(&path, toml).expect("app.toml written");
        self.env("APP_CONFIG", path)
    }

    /// For a binary that listens by another variable than `APP_LISTEN`.
    pub fn listens_by(self, variable: &str) -> Self {
        let address = format!("127.0.0.1:{}", self.port);
        self.env(variable, address)
    }

    /// Where readiness is asked.
    pub fn ready_path(mut self, path: &str) -> Self {
        self.ready_path = Some(path.to_owned());
        self
    }

    /// With these limits of open files, a soft and a hard one.
    pub fn open_files(mut self, soft: u32, hard: u32) -> Self {
        self.open_files = Some((soft, hard));
        self
    }

    /// Where it will listen.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The folder that it runs in.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Panics
    /// When it ends instead, or is not ready within 60 s; with what it said.
    pub async fn start(self) -> Service {
        let child = self.spawn();
        let mut service = Service { starting: self, child };
        service.wait_until_ready().await;
        service
    }

    /// Starts it and waits until it ends, as one that refuses its configuration does.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn run(self) -> (ExitStatus, String) {
        let mut child = self.spawn();
        let status = child.wait().await.expect("its end");
        (status, self.said())
    }

    fn spawn(&self) -> Child {
        let said = |name: &str| {
            let path = self.dir.path().join(name);
            File::options().create(true).append(true).open(path).expect("a file for what it says")
        };
        let mut command = match self.open_files {
            None => Command::new(&self.binary),
            Some((soft, hard)) => {
                let mut command = Command::new("sh");
                let limits = format!("ulimit -Sn {soft} && ulimit -Hn {hard} && exec \"$0\" \"$@\"");
                command.arg("-c").arg(limits).arg(&self.binary);
                command
            }
        };
        command.args(&self.arguments).env_clear().envs(self.environment.iter().map(|(n, v)| (n, v)));
        command.current_dir(self.dir.path()).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(said("stdout")).stderr(said("stderr"));
        command.spawn().unwrap_or_else(|error| panic!("{}: {error}", self.binary.display()))
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.dir.path().join(name)).unwrap_or_default()
    }

    fn said(&self) -> String {
        format!("{}{}", self.read("stdout"), self.read("stderr"))
    }
}

impl Service {
    pub fn url(&self) -> String {
        self.starting.url()
    }

    pub fn client(&self) -> HttpClient {
        HttpClient::new(self.url())
    }

    /// Everything that it wrote to stdout, then to stderr.
    pub fn said(&self) -> String {
        self.starting.said()
    }

    pub fn stdout(&self) -> String {
        self.starting.read("stdout")
    }

    /// The folder that it runs in.
    pub fn dir(&self) -> &Path {
        self.starting.dir()
    }

    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// SIGKILL; it is gone on return.
    ///
    /// # Panics
    /// When it cannot be killed.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("its end");
    }

    /// SIGTERM; its exit status, when it has ended.
    ///
    /// # Panics
    /// When it cannot be told, or does not end within 60 s.
    pub async fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.ended().await
    }

    /// Its exit status, when it has ended.
    ///
    /// # Panics
    /// When it does not end within 60 s.
    pub async fn ended(&mut self) -> ExitStatus {
        let ended = tokio::time::timeout(Duration::from_secs(60), self.child.wait()).await;
        ended.expect("its end within 60 s").expect("its end")
    }

    /// # Panics
    /// When it has ended.
    pub fn signal(&self, signal: Signal) {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        kill_process(pid.expect("it has not ended"), signal).expect("it takes signals");
    }

    /// After [`kill`](Service::kill) or [`terminate`](Service::terminate): the same once more.
    ///
    /// # Panics
    /// As [`Starting::start`].
    pub async fn start_again(&mut self) {
        self.child = self.starting.spawn();
        self.wait_until_ready().await;
    }

    async fn wait_until_ready(&mut self) {
        let Some(path) = self.starting.ready_path.clone() else { return };
        let client = self.client();
        let name = self.starting.binary.display().to_string();
        let Self { starting, child } = self;
        until_within(Duration::from_secs(60), &format!("{name} answers {path}"), async || {
            if let Ok(Some(status)) = child.try_wait() {
                panic!("{name} ended with {status}: {}", starting.said());
            }
            let answer = client.try_send(http::Method::GET, &path, &[], bytes::Bytes::new()).await;
            answer.is_ok_and(|answer| answer.status.is_success()).then_some(())
        })
        .await;
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- {} said:\n{}", self.starting.binary.display(), self.said());
        }
    }
}
