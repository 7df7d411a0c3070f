//! The server's process: started under a supervisor that stops it when we end, waited for, stopped.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, ChildStdin};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Connection, NoTls, Socket};

use super::home::Home;
use super::{EmbeddedError, Place, cluster};

/// Crash recovery of a busy cluster may take minutes.
const READY_TIMEOUT: Duration = Duration::from_secs(600);
const STOP_TIMEOUT: Duration = Duration::from_secs(60);
/// How long sessions of a killed postmaster may take to notice; until then it refuses to start again.
const REMAINS_TIMEOUT: Duration = Duration::from_secs(30);
const LOG_BYTES_MAX: u64 = 10 << 20;

#[derive(Debug)]
pub(super) struct Server {
    /// supervisor.sh; the server is its child, and it ends when the server ends.
    pub(super) supervisor: Child,
    /// At its end of file the supervisor stops the server.
    lifeline: Option<ChildStdin>,
}

/// Starts the server and waits until it answers.
pub(super) async fn start(place: &Place) -> Result<Server, EmbeddedError> {
    cluster::stop_orphan(place).await?;
    let patient_until = Instant::now() + REMAINS_TIMEOUT;
    let mut tick = interval(Duration::from_millis(200));
    loop {
        tick.tick().await;
        match start_once(place).await {
            // What a killed server leaves for a moment: its memory, and a process of its number.
            Err(EmbeddedError::NotStarted { tail, .. })
                if Instant::now() < patient_until
                    && (tail.contains("pre-existing shared memory")
                        || tail.contains("lock file \"postmaster.pid\" already exists")) => {}
            started => return started,
        }
    }
}

async fn start_once(place: &Place) -> Result<Server, EmbeddedError> {
    let log = &place.home.log;
    let log_start = fs::metadata(log).map_or(0, |log| log.len());
    let mut server = spawn(place)?;
    let (client, connection) = tokio::select! {
        connected = timeout(READY_TIMEOUT, connect(&place.home)) => {
            connected.map_err(|_| EmbeddedError::not_started(log, log_start, "did not get ready"))??
        }
        status = server.supervisor.wait() => {
            let what = status.map_or_else(|error| error.to_string(), |status| status.to_string());
            return Err(EmbeddedError::not_started(log, log_start, &what));
        }
    };
    let driver = tokio::spawn(connection);
    if client.query_opt("select from pg_database where datname = 'app'", &[]).await?.is_none() {
        client.batch_execute("create database app").await?;
    }
    drop(client);
    // The driver ends with the client, whose results we have seen.
    let _ = driver.await;
    Ok(server)
}

type Connected = (Client, Connection<Socket, tokio_postgres::tls::NoTlsStream>);

async fn connect(home: &Home) -> Result<Connected, EmbeddedError> {
    let url = url(home, "postgres");
    let mut tick = interval(Duration::from_millis(20));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        match tokio_postgres::connect(&url, NoTls).await {
            Ok(connected) => return Ok(connected),
            Err(error) => match error.code() {
                // No answer yet: the socket is not there, or nobody listens on it.
                None => {}
                Some(code) if *code == SqlState::CANNOT_CONNECT_NOW => {}
                Some(_) => return Err(EmbeddedError::Connect(error)),
            },
        }
    }
}

pub(super) fn url(home: &Home, database: &str) -> String {
    url_at(&home.socket_dir, database)
}

/// `postgresql://app@%2Fpath%2Fto%2Fsocket:5432/DATABASE`.
pub(super) fn url_at(socket_dir: &Path, database: &str) -> String {
    let mut host = String::new();
    for byte in socket_dir.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.') {
            host.push(char::from(*byte));
        } else {
            host.push_str(&format!("%{byte:02X}"));
        }
    }
    format!("postgresql://app@{host}:5432/{database}")
}

fn spawn(place: &Place) -> Result<Server, EmbeddedError> {
    let Place { home, account, binaries, throwaway } = place;
    let output = open_log(&home.log).map_err(EmbeddedError::io("open", &home.log))?;
    let errors = output.try_clone().map_err(EmbeddedError::io("open", &home.log))?;
    let durable = if *throwaway { "off" } else { "on" };
    let socket_dir = home.socket_dir.display().to_string().replace('"', "\"\"");

    let mut command = account.command("sh");
    command.args(["-c", include_str!("supervisor.sh"), "app-db-supervisor"]);
    // An immediate shutdown does for what is thrown away; a fast one writes everything first.
    let (remove, signal): (&OsStr, _) =
        if *throwaway { (home.path.as_os_str(), "QUIT") } else { (OsStr::new(""), "INT") };
    command.arg(remove).arg(signal).arg(binaries.dir.join("postgres")).arg("-D").arg(home.cluster());
    for setting in [
        "listen_addresses=".to_owned(),
        "port=5432".to_owned(),
        format!("unix_socket_directories=\"{socket_dir}\""),
        "unix_socket_permissions=0700".to_owned(),
        format!("fsync={durable}"),
        format!("full_page_writes={durable}"),
        format!("synchronous_commit={durable}"),
    ] {
        command.arg("-c").arg(setting);
    }
    // Its own process group: Ctrl-C in a terminal reaches us, and we stop the server last.
    command.process_group(0).stdin(Stdio::piped()).stdout(output).stderr(errors);
    let mut supervisor = command.spawn().map_err(|source| account.refused(source))?;
    let lifeline = supervisor.stdin.take();
    Ok(Server { supervisor, lifeline })
}

/// Appends; one old log is kept.
fn open_log(path: &Path) -> io::Result<File> {
    if fs::metadata(path).is_ok_and(|log| log.len() > LOG_BYTES_MAX) {
        fs::rename(path, path.with_extension("log.1"))?;
    }
    File::options().create(true).append(true).open(path)
}

impl Server {
    pub(super) async fn stop(mut self, place: &Place) -> Result<(), EmbeddedError> {
        let path = &place.home.path;
        drop(self.lifeline.take());
        if let Ok(ended) = timeout(STOP_TIMEOUT, self.supervisor.wait()).await {
            return ended.map(drop).map_err(EmbeddedError::io("wait for", path));
        }
        // It hangs in its last checkpoint: ending without one costs the next start a recovery, and no data.
        cluster::stop(place, "immediate").await?;
        self.supervisor.wait().await.map(drop).map_err(EmbeddedError::io("wait for", path))
    }
}
