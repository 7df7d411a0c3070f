//! Signals: an orderly end, and what a running process does again when it is asked to. No signal that a person, a
//! terminal or a service manager sends by default ends the process in the middle of its work.
//!
//! SIGTERM, SIGINT and SIGQUIT drain. SIGHUP drains a process on a terminal, which sends it when it closes, and makes a
//! server open its log again and reload. SIGUSR1, SIGUSR2, SIGALRM and SIGPIPE change nothing.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::telemetry;

/// How often a reload was asked for since the start. Waiting for a change waits for the next SIGHUP.
pub type Reloads = watch::Receiver<u64>;

/// A token that the first signal to end cancels; SIGHUP is one, unless it is ignored as under `nohup`.
///
/// # Errors
/// When the signal handlers cannot be installed.
pub fn on_signal() -> io::Result<CancellationToken> {
    ignore_the_rest()?;
    let token = CancellationToken::new();
    cancel_on(&token, signals_to_end()?);
    if !is_hangup_ignored() {
        cancel_on(&token, vec![("SIGHUP", signal(SignalKind::hangup())?)]);
    }
    Ok(token)
}

/// The same for a server, which opens its log again at SIGHUP and reloads.
///
/// # Errors
/// When the signal handlers cannot be installed.
pub fn of_server() -> io::Result<(CancellationToken, Reloads)> {
    ignore_the_rest()?;
    let token = CancellationToken::new();
    cancel_on(&token, signals_to_end()?);
    let (asked, reloads) = watch::channel(0);
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            telemetry::reopen();
            tracing::info!("SIGHUP: the log is open again");
            asked.send_modify(|count| *count += 1);
        }
    });
    Ok((token, reloads))
}

fn signals_to_end() -> io::Result<Vec<(&'static str, Signal)>> {
    let kinds = [
        ("SIGTERM", SignalKind::terminate()),
        ("SIGINT", SignalKind::interrupt()),
        ("SIGQUIT", SignalKind::quit()),
    ];
    kinds.into_iter().map(|(name, kind)| Ok((name, signal(kind)?))).collect()
}

fn cancel_on(token: &CancellationToken, signals: Vec<(&'static str, Signal)>) {
    for (name, mut received) in signals {
        let token = token.clone();
        tokio::spawn(async move {
            if received.recv().await.is_some() && !token.is_cancelled() {
                tracing::info!("{name}: draining");
                token.cancel();
            }
        });
    }
}

/// A handler replaces the default action, which would be to end the process.
fn ignore_the_rest() -> io::Result<()> {
    let kinds = [
        ("SIGUSR1", SignalKind::user_defined1()),
        ("SIGUSR2", SignalKind::user_defined2()),
        ("SIGALRM", SignalKind::alarm()),
        ("SIGPIPE", SignalKind::pipe()),
    ];
    for (name, kind) in kinds {
        let mut received = signal(kind)?;
        tokio::spawn(async move {
            while received.recv().await.is_some() {
                tracing::debug!("{name} is of no meaning here");
            }
        });
    }
    Ok(())
}

/// Whether the process was started with SIGHUP ignored. Read from Linux's /proc; elsewhere it counts as not ignored.
fn is_hangup_ignored() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| ignores_hangup(&status))
}

/// SIGHUP is the lowest bit of the mask of ignored signals.
fn ignores_hangup(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ignored_hangup_is_read_from_the_mask_of_ignored_signals() {
        for (mask, is_ignored) in [("0000000000001001", true), ("0000000000001000", false), ("?", false)] {
            let status = format!("Name:\tapp\nSigBlk:\t0000000000000001\nSigIgn:\t{mask}\n");
            assert_eq!(ignores_hangup(&status), is_ignored, "{mask}");
        }
        assert!(!ignores_hangup(""));
    }
}
