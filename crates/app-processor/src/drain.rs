//! The end of a processor: nothing new is claimed, what is in hand is finished and settled.

use std::time::Duration;

use tokio::time::Instant;

use crate::Processor;

const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Beyond the longest provider time-out, for the settle.
const SETTLE_TIME: Duration = Duration::from_secs(10);

impl Processor {
    /// Gives up files that are being fetched: their messages are due again, and no provider was asked. Waits until every
    /// call is settled, or until none can still be answered. What is left then is found by its
    /// lapsed lease.
    pub(crate) async fn drain(&self) {
        self.stopping.cancel();
        let timeouts = self.parts.config.providers.iter().map(|provider| provider.timeout);
        let deadline = Instant::now() + timeouts.max().unwrap_or_default() + SETTLE_TIME;
        while self.leases.count() > 0 && Instant::now() < deadline {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        match self.leases.count() {
            0 => tracing::info!("drained"),
            left => tracing::warn!(left, "stopping with calls under way; their leases will lapse"),
        }
    }
}
