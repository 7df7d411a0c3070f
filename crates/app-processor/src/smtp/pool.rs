//! Connections that wait for the next mail. The provider's slots bound how many there are.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};

use super::session::Session;

/// Below the five minutes that RFC 5321 section 4.5.3.2 has servers wait, and long enough for a steady trickle.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
/// For a farewell that nobody needs.
const QUIT_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Pool {
    idle: Mutex<Idle>,
    size_max: usize,
}

#[derive(Debug, Default)]
struct Idle {
    /// The longest idle first.
    sessions: Vec<(Instant, Session)>,
    /// Whether somebody looks for those that waited too long.
    watched: bool,
}

impl Pool {
    pub(super) fn new(size_max: usize) -> Self {
        Self { idle: Mutex::default(), size_max }
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one that was used last: the others may then wait too long and go.
    pub(super) fn take(&self) -> Option<Session> {
        let (since, session) = self.idle().sessions.pop()?;
        (since.elapsed() < IDLE_TIMEOUT).then_some(session)
    }

    pub(super) fn put(self: &Arc<Self>, session: Session) {
        let mut idle = self.idle();
        if idle.sessions.len() >= self.size_max {
            return;
        }
        idle.sessions.push((Instant::now(), session));
        if !std::mem::replace(&mut idle.watched, true) {
            tokio::spawn(watch(Arc::downgrade(self)));
        }
    }

    fn next_end(&self) -> Option<Instant> {
        let mut idle = self.idle();
        let first = idle.sessions.first().map(|(since, _)| *since + IDLE_TIMEOUT);
        idle.watched = first.is_some();
        first
    }

    fn take_expired(&self) -> Vec<Session> {
        let mut idle = self.idle();
        let expired = idle.sessions.iter().take_while(|(since, _)| since.elapsed() >= IDLE_TIMEOUT).count();
        idle.sessions.drain(..expired).map(|(_, session)| session).collect()
    }
}

/// Until no connection is idle or the pool is gone.
async fn watch(pool: Weak<Pool>) {
    while let Some(next_end) = pool.upgrade().and_then(|pool| pool.next_end()) {
        sleep_until(next_end).await;
        let expired = pool.upgrade().map(|pool| pool.take_expired()).unwrap_or_default();
        for session in expired {
            let _ = timeout(QUIT_TIMEOUT, session.quit()).await;
        }
    }
}
