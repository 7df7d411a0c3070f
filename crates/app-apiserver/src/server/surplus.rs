//! Connections above the cap: a small reserve, in which health checks are answered. Any other request waits for a regular
//! place for a short time, or is answered 503.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// A request on a surplus connection waits so long for a regular place.
const WAIT_TIMEOUT: Duration = Duration::from_secs(5);
/// Entries of connections that are gone are removed at this length.
const KEPT_MAX: usize = 256;

/// The places for connections.
#[derive(Debug)]
pub(super) struct Places {
    regular: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    reserve: Arc<Semaphore>,
    /// The oldest first; some are gone.
    by_age: Mutex<VecDeque<Weak<Reserved>>>,
}

/// A place in the reserve, until dropped.
#[derive(Debug)]
struct Reserved {
    /// A newer surplus connection needs the place.
    evicted: CancellationToken,
    _permit: Option<OwnedSemaphorePermit>,
}

/// The place of one connection.
#[derive(Debug)]
pub(super) enum Place {
    Regular(#[expect(dead_code, reason = "held")] OwnedSemaphorePermit),
    Surplus(Surplus),
}

/// The place of a connection above the cap.
#[derive(Debug)]
pub(super) struct Surplus {
    places: Arc<Places>,
    reserved: Mutex<Option<Arc<Reserved>>>,
    regular: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Places {
    pub(super) fn new(regular: usize, reserve: usize, waiting: usize) -> Self {
        Self {
            regular: Arc::new(Semaphore::new(regular.min(Semaphore::MAX_PERMITS))),
            waiting: Arc::new(Semaphore::new(waiting)),
            reserve: Arc::new(Semaphore::new(reserve)),
            by_age: Mutex::default(),
        }
    }

    /// A place for a new connection. Where the reserve is full, the connection that is longest in it is ended first, so
    /// that there are never more open files than places.
    pub(super) async fn take(self: &Arc<Self>) -> Place {
        if let Ok(permit) = Arc::clone(&self.regular).try_acquire_owned() {
            return Place::Regular(permit);
        }
        if self.reserve.available_permits() == 0 {
            self.evict_oldest();
        }
        // Never closed.
        let permit = Arc::clone(&self.reserve).acquire_owned().await.ok();
        let reserved = Arc::new(Reserved { evicted: CancellationToken::new(), _permit: permit });
        self.reserved().push_back(Arc::downgrade(&reserved));
        Place::Surplus(Surplus {
            places: Arc::clone(self),
            reserved: Mutex::new(Some(reserved)),
            regular: Mutex::default(),
        })
    }

    fn evict_oldest(&self) {
        let mut reserved = self.reserved();
        while let Some(oldest) = reserved.pop_front() {
            if let Some(oldest) = oldest.upgrade() {
                oldest.evicted.cancel();
                return;
            }
        }
    }

    fn reserved(&self) -> MutexGuard<'_, VecDeque<Weak<Reserved>>> {
        let mut reserved = lock(&self.by_age);
        if reserved.len() >= KEPT_MAX {
            reserved.retain(|place| place.strong_count() > 0);
        }
        reserved
    }
}

impl Place {
    /// Whether the connection may only be used for health checks.
    pub(super) fn is_surplus(&self) -> bool {
        match self {
            Self::Regular(_) => false,
            Self::Surplus(surplus) => lock(&surplus.regular).is_none(),
        }
    }

    /// Ends when the connection has to leave the reserve for a newer one.
    pub(super) async fn evicted(&self) {
        if let Self::Surplus(surplus) = self {
            let reserved = lock(&surplus.reserved).as_ref().map(|reserved| reserved.evicted.clone());
            if let Some(evicted) = reserved {
                evicted.cancelled().await;
                if lock(&surplus.reserved).is_some() {
                    return;
                }
            }
        }
        std::future::pending().await
    }

    /// For a health check: the connection need not leave the reserve while it is answered, as long as not too many do.
    pub(super) fn hold(&self) -> Option<OwnedSemaphorePermit> {
        let Self::Surplus(surplus) = self else { return None };
        let held = Arc::clone(&surplus.places.waiting).try_acquire_owned().ok()?;
        drop(lock(&surplus.reserved).take());
        Some(held)
    }

    /// Waits for a regular place. Whether there is one.
    pub(super) async fn become_regular(&self) -> bool {
        let Self::Surplus(surplus) = self else { return true };
        if !self.is_surplus() {
            return true;
        }
        let Ok(_waiting) = Arc::clone(&surplus.places.waiting).try_acquire_owned() else { return false };
        // The reserve is for connections that have not sent a request yet.
        drop(lock(&surplus.reserved).take());
        let regular = Arc::clone(&surplus.places.regular).acquire_owned();
        match timeout(WAIT_TIMEOUT, regular).await {
            Ok(Ok(permit)) => {
                *lock(&surplus.regular) = Some(permit);
                true
            }
            Ok(Err(_)) | Err(_) => false,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    /// The place that a connection gets when the other one leaves the reserve.
    async fn after(places: &Arc<Places>, evicted: Place) -> Place {
        let leaves = async {
            evicted.evicted().await;
            drop(evicted);
        };
        tokio::join!(places.take(), leaves).0
    }

    fn is_evicted(place: &Place) -> bool {
        place.evicted().now_or_never().is_some()
    }

    #[tokio::test]
    async fn a_full_reserve_ends_its_oldest_connection() {
        let places = Arc::new(Places::new(1, 2, 1));
        let regular = places.take().await;
        let (first, second) = (places.take().await, places.take().await);
        let third = after(&places, first).await;
        assert!(!regular.is_surplus() && second.is_surplus() && third.is_surplus());
        assert!(![&regular, &second, &third].into_iter().any(is_evicted));
    }

    #[tokio::test]
    async fn a_health_check_that_is_being_answered_is_not_ended() {
        let places = Arc::new(Places::new(0, 1, 1));
        let asked = places.take().await;
        let held = asked.hold();
        let idle = places.take().await;
        assert!(held.is_some() && idle.hold().is_none());
        let newer = after(&places, idle).await;
        assert!(!is_evicted(&asked) && !is_evicted(&newer));
    }

    #[tokio::test]
    async fn a_connection_that_left_makes_room_in_the_reserve() {
        let places = Arc::new(Places::new(0, 2, 1));
        let (first, second) = (places.take().await, places.take().await);
        drop(second);
        let _third = places.take().await;
        assert!(!is_evicted(&first));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_waits_for_a_regular_place_and_not_for_ever() {
        let places = Arc::new(Places::new(1, 8, 1));
        let regular = places.take().await;
        let (first, second) = (places.take().await, places.take().await);
        assert!(!first.become_regular().await);
        let (became, refused, ()) = tokio::join!(first.become_regular(), second.become_regular(), async {
            tokio::task::yield_now().await;
            drop(regular);
        });
        assert!(became && !refused, "one may wait");
        assert!(!first.is_surplus() && first.become_regular().await);
    }
}
