//! The duties of maintenance: what each does is in `housekeeping`; here is how they run. Each duty has a task, a pace and
//! a bound of its own, so that one that has much to do, or waits for a lock, holds up no other. Every duty is safe to
//! run on several processors at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use app_db::Error;
use app_db::housekeeping::KeysCleanedTo;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use service::failures;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{Processor, parked};

/// Batches of duties that run at once: each uses a connection.
pub(crate) const AT_ONCE: usize = 2;
/// Between two batches of a duty, so that one with much to do leaves the database to others.
const BATCH_PAUSE: Duration = Duration::from_millis(100);
/// The first rounds are spread over about this time, as are those of processors that start together.
const STAGGER: Duration = Duration::from_secs(1);

/// What one batch did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Batch {
    pub count: u64,
    /// There may be more to do.
    pub more: bool,
}

/// What a duty remembers between batches.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// When a route that is not in the configuration was last looked at.
    pub unrouted: HashMap<String, Instant>,
    /// How far the walk along the outbox has come.
    pub walked_to: Uuid,
    pub keys_cleaned_to: KeysCleanedTo,
}

type RunBatch = for<'a> fn(&'a Processor, &'a mut Memory) -> BoxFuture<'a, Result<Batch, Error>>;

/// A duty and its configuration.
#[derive(Clone, Copy)]
pub(crate) struct Duty {
    pub name: &'static str,
    /// From the end of a round to the next.
    every: Duration,
    /// At least so many times what the round took, up to `REST_MAX`: what is expensive is done less often.
    rest: u32,
    /// Batches of one round, at most; the next round goes on.
    batches_max: usize,
    batch: RunBatch,
}

const REST_MAX: Duration = Duration::from_secs(60);

/// docs/maintenance.md has this table for operators.
pub(crate) const DUTIES: [Duty; 11] = [
    Duty {
        name: "partition keeper",
        every: Duration::from_secs(3600),
        rest: 0,
        batches_max: 1,
        batch: |processor, _| processor.tend_partitions().map(done).boxed(),
    },
    Duty {
        name: "route matcher",
        every: Duration::from_secs(10),
        rest: 0,
        batches_max: 1,
        batch: |processor, memory| processor.reroute_stranded(&mut memory.unrouted).map(done).boxed(),
    },
    Duty {
        name: "message expirer",
        every: Duration::from_secs(10),
        rest: 0,
        batches_max: 1,
        batch: |processor, memory| processor.expire(&mut memory.walked_to).map(done).boxed(),
    },
    Duty {
        name: "receipt deadline keeper",
        every: Duration::from_secs(10),
        rest: 1,
        // More than can be accepted in that time.
        batches_max: 100,
        batch: |processor, _| processor.examine_receipt_deadlines().boxed(),
    },
    Duty {
        name: "parked receipt matcher",
        every: parked::SEARCH_EVERY,
        rest: 0,
        batches_max: 1,
        batch: |processor, _| processor.search_parked(parked::SEARCH_EVERY).map(done).boxed(),
    },
    Duty {
        name: "key cleaner",
        every: Duration::from_secs(60),
        rest: 0,
        batches_max: 100,
        batch: |processor, memory| processor.clean_keys(&mut memory.keys_cleaned_to).boxed(),
    },
    Duty {
        name: "rejected webhook trimmer",
        every: Duration::from_secs(60),
        rest: 0,
        batches_max: 1,
        batch: |processor, _| processor.trim_rejected_webhooks().boxed(),
    },
    Duty {
        name: "provider state cleaner",
        every: Duration::from_secs(60),
        rest: 0,
        batches_max: 1,
        batch: |processor, _| processor.clean_provider_states().boxed(),
    },
    Duty {
        name: "conversation cleaner",
        every: Duration::from_secs(60),
        rest: 0,
        batches_max: 20,
        batch: |processor, _| processor.clean_conversations().boxed(),
    },
    Duty {
        name: "outbox gauge",
        every: Duration::from_secs(5),
        rest: 50,
        batches_max: 1,
        batch: |processor, _| processor.measure().map(done).boxed(),
    },
    // A lapsed lease in a queue that has moved on is found within this time, and later where an old snapshot keeps
    // millions of dead rows and a look takes long.
    Duty {
        name: "straggler finder",
        every: Duration::from_secs(5),
        rest: 50,
        batches_max: 1,
        batch: |processor, _| processor.look_for_left_behind().map(done).boxed(),
    },
];

/// Of a duty that does everything at once and logs what it did.
fn done(result: Result<(), Error>) -> Result<Batch, Error> {
    result.map(|()| Batch::default())
}

impl Duty {
    /// How long a duty waits before its first round: its place in the list, and a part that differs between processors.
    fn first_after(&self, owner: Uuid) -> Duration {
        let place = DUTIES.iter().position(|duty| duty.name == self.name).unwrap_or(0);
        let share = f64::from(u8::try_from(place).unwrap_or(u8::MAX)) / DUTIES.len() as f64;
        let own = f64::from(owner.as_bytes()[15]) / 256.0 / DUTIES.len() as f64;
        STAGGER.mul_f64(share + own)
    }

    fn pause_after(&self, took: Duration) -> Duration {
        self.every.max((took * self.rest).min(REST_MAX))
    }
}

/// The connections that duties may use.
#[derive(Debug)]
pub(crate) struct DutySlots(Semaphore);

impl Default for DutySlots {
    fn default() -> Self {
        Self(Semaphore::new(AT_ONCE))
    }
}

impl Processor {
    /// Rounds of a duty until shutdown.
    pub(crate) async fn keep(self: Arc<Self>, duty: Duty, shutdown: CancellationToken) {
        let mut memory = Memory::default();
        let mut pause = duty.first_after(self.owner);
        while waited(pause, &shutdown).await {
            let began = Instant::now();
            match self.round(&duty, &mut memory, &shutdown).await {
                Ok(0) => {}
                Ok(count) => tracing::info!(duty = duty.name, count, "maintenance"),
                Err(error) => {
                    tracing::debug!(duty = duty.name, "maintenance failed");
                    failures::report("maintenance failed; the next round tries again", &error);
                }
            }
            pause = duty.pause_after(began.elapsed());
        }
    }

    /// Batches until nothing is left to do. How many rows they were about.
    pub(crate) async fn round(
        &self,
        duty: &Duty,
        memory: &mut Memory,
        shutdown: &CancellationToken,
    ) -> Result<u64, Error> {
        let mut count = 0;
        for number in 0..duty.batches_max {
            if number > 0 && !waited(BATCH_PAUSE, shutdown).await {
                break;
            }
            let slot = self.duty_slots.0.acquire().await;
            let batch = (duty.batch)(self, memory).await?;
            drop(slot);
            count += batch.count;
            if !batch.more {
                break;
            }
        }
        Ok(count)
    }
}

/// False where shutdown comes first.
async fn waited(pause: Duration, shutdown: &CancellationToken) -> bool {
    tokio::select! {
        biased;
        () = shutdown.cancelled() => false,
        () = tokio::time::sleep(pause) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_rounds_are_staggered_and_expensive_rounds_are_rarer() {
        let firsts: Vec<Duration> = DUTIES.iter().map(|duty| duty.first_after(Uuid::max())).collect();
        assert!(firsts.is_sorted() && firsts.windows(2).all(|pair| pair[0] < pair[1]), "{firsts:?}");
        assert!(firsts.iter().all(|first| *first <= STAGGER));
        assert_ne!(DUTIES[0].first_after(Uuid::nil()), DUTIES[0].first_after(Uuid::max()));

        let gauge = DUTIES.iter().find(|duty| duty.name == "outbox gauge").unwrap();
        assert_eq!(gauge.pause_after(Duration::from_millis(1)), gauge.every);
        assert_eq!(gauge.pause_after(Duration::from_secs(1)), Duration::from_secs(50));
        assert_eq!(gauge.pause_after(Duration::from_secs(10)), REST_MAX);
    }
}
