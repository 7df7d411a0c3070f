//! Waits for a database that is away for a moment. A restart or a failover of it is over in seconds, and not every
//! provider delivers a webhook again (Twilio does not).

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use app_db::Error;
use tokio::time::{Instant, sleep};

/// How long a database may be away before what it misses is turned away. Providers give up a call after 10 s or more.
const AWAY_MAX: Duration = Duration::from_secs(8);
const PAUSE: Duration = Duration::from_millis(100);

/// When the database went away, where it has. Counted for all that is written, so that a long outage is waited for
/// once and not by each group anew.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    away_since: Mutex<Option<Instant>>,
}

impl Patience {
    /// Whether a group of these results is to be written again, a moment from now: it found the database away, and not
    /// for long. Its writing must be fit to be repeated after a commit whose answer was lost.
    pub(crate) async fn again<R>(&self, results: &[Result<R, Error>]) -> bool {
        let is_away = results.iter().all(|result| matches!(result, Err(Error::Unavailable(_))));
        let again = self.lasts(is_away);
        if again {
            sleep(PAUSE).await;
        }
        again
    }

    /// Whether what was found away is to be tried again.
    fn lasts(&self, is_away: bool) -> bool {
        let mut since = self.away_since.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_away {
            *since = None;
            return false;
        }
        since.get_or_insert_with(Instant::now).elapsed() < AWAY_MAX
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn away() -> Result<(), Error> {
        Err(Error::Unavailable(Arc::new(std::io::Error::other("away"))))
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_outage_is_waited_for_once() {
        let (patience, began) = (Patience::default(), Instant::now());
        while patience.again(&[away(), away()]).await {}
        assert!((AWAY_MAX..AWAY_MAX + PAUSE).contains(&began.elapsed()), "{:?}", began.elapsed());
        assert!(!patience.again(&[away()]).await, "the next group finds the same outage");
        // Back, and away again: that is another one.
        assert!(!patience.again(&[Ok(())]).await);
        assert!(patience.again(&[away()]).await);
    }

    #[tokio::test]
    async fn what_the_database_answered_is_not_written_again() {
        let refused = || Err::<(), _>(Error::Unreadable("a row".to_owned()));
        let patience = Patience::default();
        for results in [[Ok(()), Ok(())], [refused(), refused()], [Ok(()), away()], [refused(), away()]] {
            assert!(!patience.again(&results).await);
        }
    }
}
