//! What is known of one connection, shared by its stream, its task and its users.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::health::Health;

/// Of a wait for an answer. The server's `lock_timeout` is shorter, so that a wait for a lock ends as a conflict.
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// For statements that may work long. The server's `statement_timeout` is shorter.
pub const LONG_LIMIT: Duration = Duration::from_secs(75);
/// For what the server's settings limit, if anything does.
pub(crate) const NO_LIMIT: Duration = Duration::from_secs(24 * 3600);

/// The session cannot write: a standby, or a server during its failover.
const READ_ONLY: &str = "25006";

#[derive(Debug)]
pub(super) struct Link {
    limit_ms: AtomicU64,
    is_silent: AtomicBool,
    /// Whether silence within this limit tells of an outage. A look that has less time than the work tells nothing.
    tells: AtomicBool,
    /// As the server told it at the start of the session.
    backend_pid: AtomicI32,
    pub(super) health: Arc<Health>,
    /// Cancelled when the connection has ended.
    pub(super) ended: CancellationToken,
}

impl Link {
    pub(super) fn new(health: Arc<Health>) -> Self {
        Self {
            limit_ms: AtomicU64::new(millis(ANSWER_LIMIT)),
            is_silent: AtomicBool::new(false),
            tells: AtomicBool::new(true),
            backend_pid: AtomicI32::new(0),
            health,
            ended: CancellationToken::new(),
        }
    }

    pub(super) fn limit(&self) -> Duration {
        Duration::from_millis(self.limit_ms.load(Ordering::Relaxed))
    }

    pub(super) fn set_limit(&self, limit: Duration) {
        self.limit_ms.store(millis(limit), Ordering::Relaxed);
        self.tells.store(true, Ordering::Relaxed);
    }

    /// For a look at the database that is not waited for as long as its work.
    pub(super) fn set_limit_of_look(&self, limit: Duration) {
        self.limit_ms.store(millis(limit), Ordering::Relaxed);
        self.tells.store(false, Ordering::Relaxed);
    }

    pub(super) fn answered(&self) {
        self.health.answered();
    }

    pub(super) fn refused(&self, sqlstate: &str) {
        if sqlstate == READ_ONLY {
            self.health.is_read_only();
        }
    }

    pub(super) fn note_backend(&self, key: &[u8]) {
        if let Some(pid) = key.first_chunk() {
            self.backend_pid.store(i32::from_be_bytes(*pid), Ordering::Relaxed);
        }
    }

    pub(super) fn backend_pid(&self) -> i32 {
        self.backend_pid.load(Ordering::Relaxed)
    }

    /// The wait for an answer has reached its limit.
    pub(super) fn is_silent(&self, limit: Duration) -> io::Error {
        self.is_silent.store(true, Ordering::Relaxed);
        let cause = format!("it did not answer within {} s", limit.as_secs());
        if self.tells.load(Ordering::Relaxed) {
            self.health.failed(&cause);
        }
        io::Error::new(io::ErrorKind::TimedOut, cause)
    }

    /// Whether the connection ended because the server did not answer.
    pub(super) fn was_silent(&self) -> bool {
        self.is_silent.load(Ordering::Relaxed)
    }
}

fn millis(limit: Duration) -> u64 {
    u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)
}
