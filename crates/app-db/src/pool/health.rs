//! Whether the database serves, as the uses of a pool found out. An outage is logged once when it begins, once a
//! minute while it lasts, and once when it ends.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Between two lines about one outage, or about two outages that follow each other.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub struct Health {
    started: Instant,
    /// Milliseconds after `started`.
    last_answer_ms: AtomicU64,
    state: Mutex<State>,
    /// One attempt at a time to find out whether an outage is over; when the last one failed.
    attempt: tokio::sync::Mutex<Option<Instant>>,
}

#[derive(Debug)]
struct State {
    outage: Option<Outage>,
    logged_at: Option<Instant>,
    /// Ends every connection that was made before.
    generation: CancellationToken,
}

#[derive(Debug)]
struct Outage {
    since: Instant,
    failures: u64,
    is_logged: bool,
}

impl Default for Health {
    fn default() -> Self {
        let state = State { outage: None, logged_at: None, generation: CancellationToken::new() };
        Self {
            started: Instant::now(),
            last_answer_ms: AtomicU64::new(0),
            state: Mutex::new(state),
            attempt: tokio::sync::Mutex::new(None),
        }
    }
}

impl Health {
    /// Whether the last use that says something about the database failed.
    pub fn is_down(&self) -> bool {
        self.state().outage.is_some()
    }

    /// Since the database last answered anything; since the pool was made where it never did.
    pub fn silence(&self) -> Duration {
        let last = Duration::from_millis(self.last_answer_ms.load(Ordering::Relaxed));
        self.started.elapsed().saturating_sub(last)
    }

    pub(super) fn answered(&self) {
        let now_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_answer_ms.store(now_ms, Ordering::Relaxed);
    }

    /// A token that is cancelled when connections that exist by then must not be used any more.
    pub(super) fn generation(&self) -> CancellationToken {
        self.state().generation.clone()
    }

    /// The server refused a write because it is read-only: what the pool keeps leads to the same server.
    pub(super) fn is_read_only(&self) {
        self.failed("it only allows reading: a failover may be under way");
        let mut state = self.state();
        std::mem::take(&mut state.generation).cancel();
    }

    pub(super) fn failed(&self, cause: &str) {
        let now = Instant::now();
        let mut state = self.state();
        let State { outage, logged_at, .. } = &mut *state;
        let outage = outage.get_or_insert(Outage { since: now, failures: 0, is_logged: false });
        outage.failures += 1;
        if logged_at.is_some_and(|at| now - at < LOG_INTERVAL) {
            return;
        }
        *logged_at = Some(now);
        outage.is_logged = true;
        let (failures, since_s) = (outage.failures, (now - outage.since).as_secs());
        drop(state);
        tracing::warn!(cause, failures, since_s, "the database does not serve; work waits for it");
    }

    pub(super) fn works(&self) {
        let mut state = self.state();
        let Some(outage) = state.outage.take() else { return };
        drop(state);
        if outage.is_logged {
            let (after_s, failures) = (outage.since.elapsed().as_secs_f64(), outage.failures);
            tracing::warn!(after_s, failures, "the database serves again");
        }
    }

    /// Runs `attempt` at getting a working connection. During an outage there is one attempt at a time; callers that
    /// waited for one that failed fail with it.
    pub(super) async fn attempt<T>(
        &self,
        attempt: impl Future<Output = Result<T, super::LinkError>>,
    ) -> Result<T, super::LinkError> {
        let arrived = Instant::now();
        if !self.is_down() {
            return attempt.await.inspect_err(|error| self.failed(&error.cause()));
        }
        let mut last_failed = self.attempt.lock().await;
        if last_failed.is_some_and(|at| at >= arrived) {
            return Err(super::LinkError::Down);
        }
        match attempt.await {
            Ok(connection) => {
                self.works();
                Ok(connection)
            }
            Err(error) => {
                *last_failed = Some(Instant::now());
                self.failed(&error.cause());
                Err(error)
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::pool::LinkError;

    #[tokio::test]
    async fn who_waited_for_an_attempt_that_failed_fails_with_it() {
        let health = Arc::new(Health::default());
        health.failed("a test");
        let (begin, begun) = tokio::sync::oneshot::channel::<()>();
        let first = async {
            begun.await.unwrap();
            Err::<(), _>(LinkError::Silent(Duration::ZERO))
        };
        let second = async { panic!("it is not tried") };
        let (first, second, ()) = tokio::join!(health.attempt(first), health.attempt::<()>(second), async {
            begin.send(()).unwrap()
        });
        assert!(matches!((first, second), (Err(LinkError::Silent(_)), Err(LinkError::Down))));
        assert!(health.is_down());
        health.attempt(async { Ok(()) }).await.unwrap();
        assert!(!health.is_down());
    }

    #[tokio::test]
    async fn a_read_only_answer_ends_the_connections_that_exist() {
        let health = Health::default();
        let before = health.generation();
        health.is_read_only();
        assert!(before.is_cancelled() && !health.generation().is_cancelled());
        assert!(health.is_down());
    }
}
