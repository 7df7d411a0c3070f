//! Figures that cost something to count, kept so that looking at them costs little: whoever looks first counts, and for
//! ten times as long as that took the others are shown the same.

use std::collections::BTreeMap;
use std::time::Duration;

use app_db::activity::{self, Backlog, Cause, Count, Fate};
use jiff::Timestamp;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::App;
use crate::problem::Problem;

pub(super) const MINUTES: i64 = 60;
/// Counts are kept so long at least, and ten times what they took.
const KEPT_FOR: Duration = Duration::from_millis(900);
const REST: u32 = 10;
/// A request counts older minutes for so long; the rest is for the next.
const BUDGET: Duration = Duration::from_millis(30);
/// Messages of the latest minutes are still on their way: these are counted again.
const RECOUNTED: i64 = 3;

/// What is known, as of a moment ago.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures {
    pub backlog: Vec<Backlog>,
    pub causes: Vec<Cause>,
    /// By minute since 1970.
    minutes: BTreeMap<i64, Vec<Count>>,
    this_minute: i64,
}

impl Figures {
    /// Messages of each of the last sixty minutes, the oldest first, that had this fate at this provider (or at any).
    pub(super) fn by_minute(&self, fate: Fate, provider_id: Option<&str>) -> Vec<i64> {
        let count = |minute: i64| -> i64 {
            let counts = self.minutes.get(&minute).into_iter().flatten();
            let fits = |count: &&Count| {
                count.fate == fate && provider_id.is_none_or(|id| count.provider_id.as_deref() == Some(id))
            };
            counts.filter(fits).map(|count| count.messages).sum()
        };
        (self.this_minute - MINUTES + 1..=self.this_minute).map(count).collect()
    }
}

#[derive(Debug, Default)]
pub(super) struct Activity(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    figures: Figures,
    good_until: Option<Instant>,
}

impl Activity {
    pub(super) async fn figures(&self, app: &App) -> Result<Figures, Problem> {
        let mut kept = self.0.lock().await;
        if kept.good_until.is_some_and(|until| Instant::now() < until) {
            return Ok(kept.figures.clone());
        }
        let began = Instant::now();
        let database = app.database().await?;
        kept.figures.backlog = activity::backlog(&database).await?;
        kept.figures.causes = activity::causes(&database).await?;
        let this_minute = app.clock.now().as_second().div_euclid(60);
        kept.figures.this_minute = this_minute;
        kept.figures.minutes.retain(|minute, _| *minute > this_minute - MINUTES);
        for minute in (this_minute - MINUTES + 1..=this_minute).rev() {
            let is_new = minute > this_minute - RECOUNTED;
            if kept.figures.minutes.contains_key(&minute) && !is_new {
                continue;
            }
            if !is_new && began.elapsed() > BUDGET {
                break;
            }
            let at = |minute: i64| Timestamp::from_second(minute * 60).unwrap_or(Timestamp::UNIX_EPOCH);
            let counts = activity::between(&database, at(minute), at(minute + 1)).await?;
            kept.figures.minutes.insert(minute, counts);
        }
        kept.good_until = Some(Instant::now() + KEPT_FOR.max(began.elapsed() * REST));
        Ok(kept.figures.clone())
    }
}
