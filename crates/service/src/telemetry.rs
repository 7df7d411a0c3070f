//! Structured logs. Field names are dotted (`message.id`); bodies, addresses and secrets are never logged.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::Mutex;

use tracing_subscriber::EnvFilter;

const DEFAULT_FILTER: &str = "info,refinery_core=warn,tokio_postgres=warn,hyper=warn";

fn filter() -> EnvFilter {
    EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER))
}

/// Logs to stderr: lines for people on a terminal, JSON where a collector reads. `RUST_LOG` filters.
pub fn init_stderr() {
    let builder = tracing_subscriber::fmt().with_env_filter(filter()).with_writer(io::stderr);
    if io::stderr().is_terminal() {
        builder.init();
    } else {
        builder.with_ansi(false).json().flatten_event(true).init();
    }
}

/// Logs as JSON to a file that is appended to; its folder must exist.
///
/// # Errors
/// When the file cannot be opened.
pub fn init_file(path: &Path) -> io::Result<()> {
    let file: File = OpenOptions::new().create(true).append(true).open(path)?;
    tracing_subscriber::fmt()
        .with_env_filter(filter())
        .with_writer(Mutex::new(file))
        .with_ansi(false)
        .json()
        .flatten_event(true)
        .init();
    Ok(())
}
