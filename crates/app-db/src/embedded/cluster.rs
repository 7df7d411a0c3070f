//! The cluster in a home: making it, and ending a server over it that an earlier run left behind.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Output;

use super::home::Home;
use super::{EmbeddedError, Place};

/// For a small machine; a person may change it there.
const SETTINGS: &str = "
# The embedded app-db. Sockets and durability are set at each start.
max_connections = 100
shared_buffers = 256MB
max_wal_size = 2GB
checkpoint_timeout = 15min
random_page_cost = 1.1
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
# Bodies and addresses stay out of the log.
log_min_error_statement = panic
log_parameter_max_length_on_error = 0
log_error_verbosity = terse
";

/// The PostgreSQL version that made the cluster, if there is one.
pub(super) fn major_version(home: &Home) -> Result<Option<u32>, EmbeddedError> {
    let path = home.cluster().join("PG_VERSION");
    match fs::read_to_string(&path) {
        Ok(text) => Ok(text.trim().parse().ok()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(EmbeddedError::Io { action: "read", path, source }),
    }
}

/// Makes the cluster where there is none.
pub(super) async fn create(place: &Place) -> Result<(), EmbeddedError> {
    let Place { home, account, binaries, throwaway } = place;
    if home.cluster().exists() {
        return Ok(());
    }
    // Made beside and moved into place, so that a kill leaves a whole cluster or none.
    let unfinished = home.path.join("cluster.unfinished");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).map_err(EmbeddedError::io("remove", &unfinished))?;
    }
    let mut initdb = account.command(binaries.dir.join("initdb"));
    initdb.arg("-D").arg(&unfinished).args([
        "--username=app",
        "--encoding=UTF8",
        // Sorting by bytes: the same on every machine, so that an index outlives an upgrade of the C library.
        "--locale=C",
        // The socket's folder is private.
        "--auth-local=trust",
        "--auth-host=reject",
        "--no-instructions",
    ]);
    if *throwaway {
        initdb.arg("--no-sync");
    }
    let output = initdb.output().await.map_err(|source| account.refused(source))?;
    if !output.status.success() {
        return Err(EmbeddedError::Init { dir: unfinished, output: text(&output) });
    }
    let file = unfinished.join("postgresql.conf");
    let write = || {
        let mut settings = File::options().append(true).open(&file)?;
        settings.write_all(SETTINGS.as_bytes())?;
        settings.sync_all()
    };
    write().map_err(EmbeddedError::io("write", &file))?;
    fs::rename(&unfinished, home.cluster()).map_err(EmbeddedError::io("rename", &unfinished))?;
    File::open(&home.path).and_then(|dir| dir.sync_all()).map_err(EmbeddedError::io("sync", &home.path))
}

/// Ends a server over this cluster whose starter was killed. The home's lock says that nobody uses it.
pub(super) async fn stop_orphan(place: &Place) -> Result<(), EmbeddedError> {
    let home = &place.home;
    let Some(pid) = postmaster_pid(home) else { return Ok(()) };
    if is_server_of(pid, &home.cluster()) {
        // Its supervisor may be stopping it already: then this only waits, or finds it gone.
        let fast = stop(place, "fast").await;
        if fast.is_err() && is_server_of(pid, &home.cluster()) {
            stop(place, "immediate").await?;
        }
        return Ok(());
    }
    if is_alive(pid) {
        // The id went to another process, as it often does in a container: PostgreSQL would refuse to start.
        let path = home.cluster().join("postmaster.pid");
        fs::remove_file(&path).map_err(EmbeddedError::io("remove", &path))?;
    }
    Ok(())
}

/// `pg_ctl stop`, which waits.
pub(super) async fn stop(place: &Place, mode: &str) -> Result<(), EmbeddedError> {
    let Place { home, account, binaries, .. } = place;
    let mut pg_ctl = account.command(binaries.dir.join("pg_ctl"));
    pg_ctl.args(["stop", "--wait", "--timeout=60", "--mode", mode, "-D"]).arg(home.cluster());
    let output = pg_ctl.output().await.map_err(|source| account.refused(source))?;
    match postmaster_pid(home) {
        Some(pid) if !output.status.success() => Err(EmbeddedError::Orphan { pid, output: text(&output) }),
        _ => Ok(()),
    }
}

/// From the first line of `postmaster.pid`, which is there while a server runs, and after it was killed.
pub(super) fn postmaster_pid(home: &Home) -> Option<i32> {
    let text = fs::read_to_string(home.cluster().join("postmaster.pid")).ok()?;
    text.lines().next()?.trim().parse().ok().filter(|pid| *pid > 0)
}

fn is_alive(pid: i32) -> bool {
    rustix::process::Pid::from_raw(pid)
        .is_some_and(|pid| !matches!(rustix::process::test_kill_process(pid), Err(rustix::io::Errno::SRCH)))
}

/// A server's working directory is its cluster. Where that cannot be seen, an id that is alive is believed.
fn is_server_of(pid: i32, cluster: &Path) -> bool {
    if !is_alive(pid) {
        return false;
    }
    if !Path::new("/proc/self/cwd").exists() {
        return true;
    }
    match fs::read_link(format!("/proc/{pid}/cwd")) {
        Ok(cwd) => cwd == cluster,
        // Ours would be readable: we are root, or the same user.
        Err(_) => false,
    }
}

fn text(output: &Output) -> String {
    let mut text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if text.is_empty() {
        text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    }
    text
}
