//! Structured logs. Field names are dotted (`message.id`); bodies, addresses and secrets are never logged.

use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use tracing_subscriber::EnvFilter;

use crate::log_file::{LogFile, Rotation};

const DEFAULT_FILTER: &str = "info,refinery_core=warn,hyper=warn";
/// They log what they work on: parameters of statements, phone numbers.
const TELLTALES: [&str; 2] = ["tokio_postgres", "rlibphonenumber"];

fn filter() -> EnvFilter {
    let wanted = env::var(EnvFilter::DEFAULT_ENV).ok().filter(|wanted| !wanted.is_empty());
    let parsed = wanted.and_then(|wanted| EnvFilter::try_new(without_contents(&wanted)).ok());
    parsed.unwrap_or_else(|| EnvFilter::new(without_contents(DEFAULT_FILTER)))
}

/// Whatever is asked for, bodies and addresses do not get into logs.
fn without_contents(wanted: &str) -> String {
    let is_telltale = |directive: &&str| TELLTALES.iter().any(|name| directive.trim().starts_with(name));
    let kept = wanted.split(',').filter(|directive| !is_telltale(directive)).map(str::to_owned);
    kept.chain(TELLTALES.map(|name| format!("{name}=warn"))).collect::<Vec<_>>().join(",")
}

/// The file that this process logs to, if any.
static FILE: OnceLock<Arc<LogFile>> = OnceLock::new();

/// Logs to stderr: lines for people on a terminal, JSON where a collector reads. `RUST_LOG` filters.
pub fn init_stderr() {
    let builder = tracing_subscriber::fmt().with_env_filter(filter()).with_writer(io::stderr);
    if io::stderr().is_terminal() {
        builder.init();
    } else {
        builder.with_ansi(false).json().flatten_event(true).init();
    }
}

/// Logs as JSON to the file that `APP_LOG_FILE` names, else to stderr.
///
/// # Errors
/// When the file cannot be opened: its name and why.
pub fn init_server() -> Result<(), LogFileError> {
    match env::var_os("APP_LOG_FILE").filter(|path| !path.is_empty()) {
        None => init_stderr(),
        Some(path) => init_file(Path::new(&path), None)
            .map_err(|source| LogFileError { path: PathBuf::from(&path), source })?,
    }
    Ok(())
}

/// The log file of a server cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("the log file {} (APP_LOG_FILE) cannot be opened: {source}", path.display())]
pub struct LogFileError {
    path: PathBuf,
    source: io::Error,
}

/// Logs as JSON to a file that is appended to; its folder must exist.
///
/// # Errors
/// When the file cannot be opened.
pub fn init_file(path: &Path, rotation: Option<Rotation>) -> io::Result<()> {
    let file = Arc::new(LogFile::open(path, rotation)?);
    let file = FILE.get_or_init(|| file);
    tracing_subscriber::fmt()
        .with_env_filter(filter())
        .with_writer(Arc::clone(file))
        .with_ansi(false)
        .json()
        .flatten_event(true)
        .init();
    Ok(())
}

/// Opens the log file again, where there is one: the program that rotates it has moved it away.
pub(crate) fn reopen() {
    if let Some(file) = FILE.get()
        && let Err(error) = file.reopen()
    {
        tracing::error!(%error, "the log file cannot be opened again; the log goes on in the old one");
    }
}

/// An error and what caused it, one after the other.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        // Writing into a String cannot fail.
        let _ = write!(text, ": {error}");
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_filter_makes_those_talk_that_would_tell_contents() {
        for wanted in
            ["trace", "info,tokio_postgres=trace", "rlibphonenumber=debug, tokio_postgres::query=debug"]
        {
            let filter = EnvFilter::new(without_contents(wanted)).to_string();
            for name in TELLTALES {
                let about_it: Vec<&str> = filter.split(',').filter(|d| d.contains(name)).collect();
                assert_eq!(about_it, [format!("{name}=warn")], "{wanted}");
            }
        }
    }
}
