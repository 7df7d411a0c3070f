//! Reads once a second which database this is and what time it has. Ids carry that time, and partitions hang on ids:
//! while the local clock is off, the server goes on with the database's time and is not ready. While the database is a
//! copy that was not adopted, nothing is sent, and pages and explanations say so.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use app_db::{Client, Error, Pool, installation};
use jiff::SignedDuration;
use service::Clock;
use service::clock::{DatabaseClock, clock_agrees, clock_offset};
use service::telemetry::chain;

const EVERY: Duration = Duration::from_secs(1);

/// What is known of the database, shared by the task that reads it and by requests.
#[derive(Debug)]
pub(crate) struct DatabaseWatch {
    local: Clock,
    installation_name: Option<String>,
    pub(crate) clock: DatabaseClock,
    hold: Mutex<Option<String>>,
}

impl DatabaseWatch {
    pub(crate) fn new(local: Clock, installation_name: Option<String>) -> Self {
        let clock = DatabaseClock::new(local.clone());
        Self { local, installation_name, clock, hold: Mutex::default() }
    }

    /// Why nothing is sent and what to do, where the database is a copy.
    pub(crate) fn hold(&self) -> Option<String> {
        self.hold.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads once. Returns how far the local clock is off.
    ///
    /// # Errors
    /// As the database gives them.
    pub(crate) async fn read(&self, client: &Client) -> Result<SignedDuration, Error> {
        let (asked_at, before) = (Instant::now(), self.local.now());
        let look = installation::look(client, self.installation_name.as_deref()).await?;
        self.clock.observe(look.now, asked_at);
        *self.hold.lock().unwrap_or_else(PoisonError::into_inner) = look.hold();
        Ok(clock_offset(before, look.now, self.local.now()))
    }
}

/// Runs until it is dropped. While the database is away, the last answer and the monotonic clock give the time.
pub(crate) async fn keep_reading(pool: &Pool, watch: &DatabaseWatch) {
    let mut was_off = false;
    loop {
        let reading = async { watch.read(&app_db::pool::get(pool).await?).await };
        match reading.await {
            Ok(offset) => {
                let is_off = !clock_agrees(offset);
                if is_off && !was_off {
                    let offset_s = offset.as_secs_f64();
                    tracing::error!(
                        offset_s,
                        "the clock is off the database's: the server is not ready; ids carry the database's time"
                    );
                } else if was_off && !is_off {
                    tracing::info!("the clock agrees with the database's again");
                }
                was_off = is_off;
            }
            Err(error) => tracing::debug!(error = chain(&error), "the database's time was not read"),
        }
        tokio::time::sleep(EVERY).await;
    }
}
