//! Why the embedded server did not start, and what to do about it. Must not name secrets: there are none here.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

const INSTEAD: &str = "or set DATABASE_URL to a PostgreSQL of your own";

/// Every message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    #[error(
        "PostgreSQL's server ({oldest} or newer) was not found{}; install it (Debian and Ubuntu: apt-get install \
         postgresql; Fedora: dnf install postgresql-server; macOS: brew install postgresql), {INSTEAD}",
        list(.found), oldest = super::binaries::OLDEST_MAJOR
    )]
    NotFound { found: Vec<(PathBuf, u32)> },

    #[error(
        "{} was made by PostgreSQL {cluster}, and this machine has{}; install the server of PostgreSQL {cluster}, or \
         move that folder away to begin with an empty database, {INSTEAD}",
        .dir.display(), list(.found)
    )]
    OtherVersion { dir: PathBuf, cluster: u32, found: Vec<(PathBuf, u32)> },

    #[error("{} is in use by process {pid}; stop that one first, {INSTEAD}", .dir.display())]
    InUse { dir: PathBuf, pid: String },

    #[error(
        "PostgreSQL does not run as root, and this machine has neither a user `postgres` nor a user `nobody`; make \
         one (useradd --system postgres), start as another user, {INSTEAD}"
    )]
    NoAccount,

    #[error(
        "PostgreSQL does not run as root, and changing to user {uid} failed: {source}; start as another user, {INSTEAD}"
    )]
    AccountRefused { uid: u32, source: io::Error },

    #[error(
        "{} belongs to user {owner}, and this process runs as {user}; start as that user or as root, {INSTEAD}",
        .dir.display()
    )]
    Foreign { dir: PathBuf, owner: u32, user: u32 },

    #[error(
        "PostgreSQL runs as user {uid}, who can use neither {} nor {}; move this folder to where every user may go, \
         start as another user, {INSTEAD}",
        .dir.display(), .fallback.display()
    )]
    Unreachable { dir: PathBuf, fallback: PathBuf, uid: u32 },

    #[error(
        "{} is a link to {}, which is gone; bring that folder back, or remove the link to begin with an empty \
         database",
        .link.display(), .target.display()
    )]
    LinkBroken { link: PathBuf, target: PathBuf },

    #[error("making a database cluster in {} failed: {output}{}", .dir.display(), advice(.output))]
    Init { dir: PathBuf, output: String },

    #[error("PostgreSQL did not start ({what}); {} says:\n{tail}{}", .log.display(), advice(.tail))]
    NotStarted { log: PathBuf, what: String, tail: String },

    #[error(
        "a PostgreSQL that an earlier run left behind (process {pid}) does not stop: {output}; stop it by hand"
    )]
    Orphan { pid: i32, output: String },

    #[error("cannot {action} {}: {source}{}", .path.display(), advice(&.source.to_string()))]
    Io { action: &'static str, path: PathBuf, source: io::Error },

    #[error("the embedded PostgreSQL refuses us: {0}")]
    Connect(#[from] tokio_postgres::Error),
}

impl EmbeddedError {
    /// For `map_err`: cannot `action` `path`.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    /// With what the server logged since `log_start` (in bytes).
    pub(super) fn not_started(log: &Path, log_start: u64, what: &str) -> Self {
        let tail = read_tail(log, log_start).unwrap_or_else(|error| format!("(unreadable: {error})"));
        Self::NotStarted { log: log.to_owned(), what: what.to_owned(), tail }
    }
}

fn read_tail(log: &Path, start: u64) -> io::Result<String> {
    let mut file = File::open(log)?;
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(1 << 20).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let last = lines.iter().skip(lines.len().saturating_sub(15));
    Ok(last.map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n"))
}

fn list(found: &[(PathBuf, u32)]) -> String {
    let names: Vec<String> =
        found.iter().map(|(dir, major)| format!(" {major} in {}", dir.display())).collect();
    if names.is_empty() { String::new() } else { format!(" (found:{})", names.join(",")) }
}

fn advice(output: &str) -> &'static str {
    if output.contains("No space left on device") {
        "\nThe disk is full: make room and start again; nothing that was stored is lost."
    } else if output.contains("could not map anonymous shared memory")
        || output.contains("Cannot allocate memory")
    {
        "\nThere is too little memory: lower shared_buffers in the cluster's postgresql.conf."
    } else if output.contains("Permission denied") {
        "\nThe user that PostgreSQL runs as must be able to read its programs and own its folder."
    } else {
        ""
    }
}
