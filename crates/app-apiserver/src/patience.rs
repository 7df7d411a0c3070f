//! Waits for a database that is away for a moment. A restart or a failover of it is over in seconds, and not every
//! provider delivers a webhook again (Twilio does not).

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use app_db::Error;
use tokio::time::{Instant, sleep};

/// How long a database may be away before what comes is turned away; no try begins later. Providers give up a call after
/// ten seconds or more.
const AWAY_MAX: Duration = Duration::from_secs(8);
const PAUSE: Duration = Duration::from_millis(100);

/// What is known of an outage. It is shared by all that a provider brings, so that a long one is waited for once and not
/// by each webhook anew.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    outage: Mutex<Option<Outage>>,
}

#[derive(Clone, Copy, Debug)]
struct Outage {
    since: Instant,
    last_met: Instant,
}

impl Patience {
    /// Whether a writing that began then is to be repeated, after a moment that this waits: it met no answer, and that not
    /// for long. It must be fit to be repeated after a commit whose answer was lost.
    pub(crate) async fn waits_to_repeat(&self, began: Instant, met: Met) -> bool {
        let repeats = self.lasts(began, met);
        if repeats {
            sleep(PAUSE).await;
        }
        repeats
    }

    fn lasts(&self, began: Instant, met: Met) -> bool {
        let now = Instant::now();
        let mut outage = self.outage.lock().unwrap_or_else(PoisonError::into_inner);
        // Others may be answered all the while: a writing has an end of its own.
        let own_end = began + AWAY_MAX;
        let end = match met {
            Met::Answer => {
                *outage = None;
                return false;
            }
            // That says nothing of the database.
            Met::NoTurn => own_end,
            Met::NoDatabase => {
                // One that nobody has met for so long is another one: nothing came meanwhile.
                let since = match *outage {
                    Some(known) if now - known.last_met < AWAY_MAX => known.since,
                    _ => now,
                };
                *outage = Some(Outage { since, last_met: now });
                own_end.min(since + AWAY_MAX)
            }
        };
        now + PAUSE < end
    }

    /// Whether somebody has met an outage that lasts.
    #[cfg(test)]
    pub(crate) fn knows_an_outage(&self) -> bool {
        self.outage.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

/// What a writing met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Met {
    /// The database said something, be it no.
    Answer,
    /// It was not its turn: others wait.
    NoTurn,
    NoDatabase,
}

impl Met {
    /// By a group. One of which some was answered is not repeated: the others are turned away.
    pub(crate) fn by_group<R>(results: &[Result<R, Error>]) -> Self {
        let is_away = results.iter().all(|result| matches!(result, Err(Error::Unavailable(_))));
        if is_away { Self::NoDatabase } else { Self::Answer }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::time::advance;

    use super::*;

    /// Until it is given up.
    async fn waited(patience: &Patience, between: impl AsyncFn()) -> Duration {
        let began = Instant::now();
        while patience.waits_to_repeat(began, Met::NoDatabase).await {
            between().await;
        }
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_outage_is_waited_for_once() {
        let patience = Patience::default();
        let first = waited(&patience, async || {}).await;
        assert!((AWAY_MAX - 2 * PAUSE..AWAY_MAX).contains(&first), "{first:?}");
        assert_eq!(waited(&patience, async || {}).await, Duration::ZERO, "the next finds the same outage");
        // Back, and away again: that is another one.
        assert!(!patience.waits_to_repeat(Instant::now(), Met::Answer).await);
        assert_eq!(waited(&patience, async || {}).await, first);
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_that_nobody_has_met_for_long_is_another_one() {
        let patience = Patience::default();
        let first = waited(&patience, async || {}).await;
        advance(AWAY_MAX).await;
        assert_eq!(waited(&patience, async || {}).await, first);
    }

    #[tokio::test(start_paused = true)]
    async fn what_alone_is_not_answered_ends_although_others_are() {
        let patience = Patience::default();
        let others_are_answered = async || {
            patience.waits_to_repeat(Instant::now(), Met::Answer).await;
        };
        assert!(waited(&patience, others_are_answered).await < AWAY_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn a_try_that_takes_long_is_the_last() {
        let patience = Patience::default();
        let slowly = async || advance(Duration::from_secs(5)).await;
        assert!(waited(&patience, slowly).await < AWAY_MAX + Duration::from_secs(5));
    }

    #[tokio::test(start_paused = true)]
    async fn a_writing_that_took_long_before_makes_no_short_outage_a_long_one() {
        let patience = Patience::default();
        let long_ago = Instant::now();
        advance(AWAY_MAX).await;
        assert!(!patience.waits_to_repeat(long_ago, Met::NoDatabase).await);
        assert!(patience.waits_to_repeat(Instant::now(), Met::NoDatabase).await);
    }

    #[tokio::test(start_paused = true)]
    async fn who_gets_no_turn_waits_as_long_and_says_nothing_of_the_database() {
        let patience = Patience::default();
        assert!(waited(&patience, async || {}).await > Duration::ZERO);
        let began = Instant::now();
        while patience.waits_to_repeat(began, Met::NoTurn).await {}
        assert!((AWAY_MAX - 2 * PAUSE..AWAY_MAX).contains(&began.elapsed()));
        assert!(
            !patience.waits_to_repeat(Instant::now(), Met::NoDatabase).await,
            "the outage is known still"
        );
    }

    #[test]
    fn a_group_of_which_some_was_answered_has_met_an_answer() {
        let away = || Err::<(), _>(Error::Unavailable(Arc::new(std::io::Error::other("away"))));
        let refused = || Err::<(), _>(Error::Unreadable("a row".to_owned()));
        assert_eq!(Met::by_group(&[away(), away()]), Met::NoDatabase);
        for results in [[Ok(()), Ok(())], [refused(), refused()], [Ok(()), away()], [refused(), away()]] {
            assert_eq!(Met::by_group(&results), Met::Answer);
        }
    }
}
