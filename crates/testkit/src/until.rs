//! Waiting for what another process or task does, where it gives no signal.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

/// Asks again and again until there is a value.
///
/// # Panics
/// After 30 s, saying `what` did not come.
pub async fn until<T>(what: &str, check: impl AsyncFnMut() -> Option<T>) -> T {
    until_within(Duration::from_secs(30), what, check).await
}

/// [`until`] with another limit.
///
/// # Panics
/// After `limit`, saying `what` did not come.
pub async fn until_within<T>(limit: Duration, what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    let mut tick = interval(Duration::from_millis(10));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        if let Some(value) = check().await {
            return value;
        }
        assert!(Instant::now() < deadline, "waited {limit:?} in vain: {what}");
    }
}
