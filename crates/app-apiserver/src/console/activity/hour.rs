//! The messages of the last hour, by the minute in which they were stored and by what has become of them. What becomes of
//! a message goes on after its minute, so every minute is counted again, those with something on its way more often.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use app_db::Client;
use app_db::activity::{self, Cause, Count, Fate};
use jiff::Timestamp;
use tokio::time::Instant;

pub(in crate::console) const MINUTES: i64 = 60;
/// Of the latest minutes most is still on its way: these are counted each time.
const NEW: i64 = 3;
/// An older minute with something on its way is counted so many times as often as one that is settled.
const WAITING_WEIGHT: u64 = 8;

#[derive(Clone, Debug, Default)]
pub(in crate::console) struct Hour {
    /// By minute since 1970.
    minutes: BTreeMap<i64, Minute>,
    this_minute: i64,
    /// How often it was counted.
    pass: u64,
}

#[derive(Clone, Debug)]
struct Minute {
    counts: Arc<[Count]>,
    /// When it was counted last.
    pass: u64,
}

/// How many messages share a cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::console) struct Trouble {
    pub provider_id: Option<String>,
    pub fate: Fate,
    pub cause: Cause,
    pub messages: i64,
}

impl Hour {
    /// As it is now: the latest minutes, and as many older ones as the budget allows, one at least.
    pub(super) async fn counted(
        mut self,
        client: &Client,
        now: Timestamp,
        budget: Duration,
    ) -> Result<Self, app_db::Error> {
        self.pass += 1;
        self.this_minute = now.as_second().div_euclid(60);
        self.minutes.retain(|minute, _| *minute > self.this_minute - MINUTES);
        for minute in self.this_minute - NEW + 1..=self.this_minute {
            self.count(client, minute).await?;
        }
        let began = Instant::now();
        for minute in self.older_in_turn() {
            self.count(client, minute).await?;
            if began.elapsed() >= budget {
                break;
            }
        }
        Ok(self)
    }

    async fn count(&mut self, client: &Client, minute: i64) -> Result<(), app_db::Error> {
        let counts = activity::between(client, start_of(minute), start_of(minute + 1)).await?.into();
        self.minutes.insert(minute, Minute { counts, pass: self.pass });
        Ok(())
    }

    /// What was never counted, the newest first; then what has waited longest, by its weight.
    fn older_in_turn(&self) -> Vec<i64> {
        let mut older: Vec<i64> = (self.first_minute()..=self.this_minute - NEW).rev().collect();
        older.sort_by_key(|minute| {
            Reverse(self.minutes.get(minute).map_or(u64::MAX, |minute| {
                let is_waiting = minute.counts.iter().any(|count| count.fate == Fate::Waiting);
                (self.pass - minute.pass) * if is_waiting { WAITING_WEIGHT } else { 1 }
            }))
        });
        older
    }

    fn first_minute(&self) -> i64 {
        self.this_minute - MINUTES + 1
    }

    /// When it begins.
    pub(super) fn since(&self) -> Timestamp {
        start_of(self.first_minute())
    }

    /// Minutes that were not counted yet, after a start.
    pub(super) fn uncounted(&self) -> i64 {
        MINUTES - i64::try_from(self.minutes.len()).unwrap_or(MINUTES)
    }

    /// Messages of each minute, the oldest first, that had one of these fates at this provider (or at any).
    pub(super) fn by_minute(&self, fates: &[Fate], provider_id: Option<&str>) -> Vec<i64> {
        let count = |minute: i64| -> i64 {
            let counts = self.minutes.get(&minute).into_iter().flat_map(|minute| minute.counts.iter());
            counts.filter(|count| fits(count, fates, provider_id)).map(|count| count.messages).sum()
        };
        (self.first_minute()..=self.this_minute).map(count).collect()
    }

    pub(super) fn total(&self, fates: &[Fate], provider_id: Option<&str>) -> i64 {
        self.by_minute(fates, provider_id).iter().sum()
    }

    /// The first and last moment of the minute at a place of `by_minute`.
    pub(super) fn minute_at(&self, place: usize) -> (Timestamp, Timestamp) {
        let minute = self.first_minute() + i64::try_from(place).unwrap_or(0);
        (start_of(minute), start_of(minute + 1))
    }

    /// Why messages are held, failed or undelivered, at this provider (or at any), the most frequent cause first.
    pub(super) fn troubles(&self, provider_id: Option<&str>) -> Vec<Trouble> {
        let mut sums: BTreeMap<(&Option<String>, Fate, &Cause), i64> = BTreeMap::new();
        for count in self.minutes.values().flat_map(|minute| minute.counts.iter()) {
            if let Some(cause) = count.cause.as_ref().filter(|_| is_of(count, provider_id)) {
                *sums.entry((&count.provider_id, count.fate, cause)).or_default() += count.messages;
            }
        }
        let mut troubles: Vec<Trouble> = sums
            .into_iter()
            .map(|((provider_id, fate, cause), messages)| Trouble {
                provider_id: provider_id.clone(),
                fate,
                cause: cause.clone(),
                messages,
            })
            .collect();
        troubles.sort_by_key(|trouble| Reverse(trouble.messages));
        troubles
    }
}

fn fits(count: &Count, fates: &[Fate], provider_id: Option<&str>) -> bool {
    fates.contains(&count.fate) && is_of(count, provider_id)
}

fn is_of(count: &Count, provider_id: Option<&str>) -> bool {
    provider_id.is_none_or(|id| count.provider_id.as_deref() == Some(id))
}

fn start_of(minute: i64) -> Timestamp {
    Timestamp::from_second(minute * 60).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use app_db::claim::Claimed;
    use app_db::settle::{Settlement, settle};
    use jiff::ToSpan;
    use model::{OnUnknown, Outcome};
    use testkit::outbox::{Outbox, accepted, rejected};

    use super::*;

    const ALL: Duration = Duration::MAX;
    const ONE: Duration = Duration::ZERO;

    async fn settle_all(outbox: &Outbox, client: &Client, claimed: &[Claimed], outcome: &Outcome) {
        let settlements: Vec<Settlement> =
            claimed.iter().map(|row| outbox.settlement(row, outcome, OnUnknown::Hold)).collect();
        settle(client, outbox.owner, &settlements).await.unwrap();
    }

    #[tokio::test]
    async fn what_has_become_of_an_older_minute_since_is_told() {
        let outbox = Outbox::new().await;
        let client = outbox.pool().get().await.unwrap();
        for to in 10..14 {
            outbox.accept(outbox.fixtures.sms(1, to)).await;
        }
        let now = outbox.fixtures.now + 10.minutes();
        let mut hour = Hour::default().counted(&client, now, ALL).await.unwrap();
        assert_eq!((hour.total(&[Fate::Waiting], None), hour.uncounted()), (4, 0));

        settle_all(&outbox, &client, &outbox.claim(1).await, &accepted()).await;
        settle_all(&outbox, &client, &outbox.claim(1).await, &rejected()).await;
        // However little time there is, its turn comes long before that of the settled ones.
        let turns = u64::try_from(MINUTES - NEW).unwrap().div_ceil(WAITING_WEIGHT) + 1;
        for _ in 0..turns {
            hour = hour.counted(&client, now, ONE).await.unwrap();
        }
        assert_eq!(hour.total(&[Fate::Waiting], None), 2);
        assert_eq!(hour.by_minute(&[Fate::Sent], Some("p"))[49], 1);
        let troubles = hour.troubles(Some("p"));
        assert_eq!(troubles.len(), 1);
        assert_eq!((troubles[0].fate, troubles[0].messages), (Fate::Failed, 1));
        assert_eq!(hour.troubles(Some("another")), []);

        settle_all(&outbox, &client, &outbox.claim(2).await, &accepted()).await;
        hour = hour.counted(&client, now, ALL).await.unwrap();
        assert_eq!((hour.total(&[Fate::Waiting], None), hour.total(&[Fate::Sent], None)), (0, 3));
    }

    #[tokio::test]
    async fn every_minute_has_its_turn_and_leaves_after_an_hour() {
        let outbox = Outbox::new().await;
        let client = outbox.pool().get().await.unwrap();
        outbox.accept(outbox.fixtures.sms(1, 10)).await;
        let now = outbox.fixtures.now + 10.minutes();
        let mut hour = Hour::default();
        for pass in 1..=MINUTES - NEW {
            hour = hour.counted(&client, now, ONE).await.unwrap();
            assert_eq!(hour.uncounted(), MINUTES - NEW - pass);
        }
        assert_eq!(hour.total(&[Fate::Waiting], None), 1);
        // The one that waits is counted more often, and the settled ones all the same.
        let counted_once = hour.pass;
        for _ in 0..2 * MINUTES {
            hour = hour.counted(&client, now, ONE).await.unwrap();
        }
        assert!(hour.minutes.values().all(|minute| minute.pass > counted_once));
        let hour = hour.counted(&client, now + 1.hour(), ONE).await.unwrap();
        assert_eq!(hour.total(&[Fate::Waiting], None), 0);
        assert!(hour.minutes.len() <= 60);
    }
}
