//! Figures that cost something to count, counted beside the pages and never within one: whoever looks is shown what is
//! known, and where that is old it is counted anew meanwhile. An outage is when counting takes longest, and when nothing
//! else may wait for it.

mod hour;
pub(super) mod pulse;
pub(super) mod shown;

use std::sync::Arc;
use std::time::Duration;

use app_db::Client;
use app_db::activity::{self, Backlog, Late};
use jiff::Timestamp;
use maud::Markup;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, timeout};

pub(super) use self::hour::Hour;
use self::pulse::Health;
use crate::App;
use crate::problem::Problem;

/// Older minutes are counted again for so long; the rest is for the next time.
const BUDGET: Duration = Duration::from_millis(30);
/// As long as some were never counted.
const BUDGET_MISSING: Duration = Duration::from_millis(150);
/// What is shown is never older than this and what counting takes.
const REST_MAX: Duration = Duration::from_secs(10);
/// A page that shows nothing but figures waits so long for the first.
const FIRST: Duration = Duration::from_secs(1);

/// What is counted in one go.
trait Figures: Sized + Send + Sync + 'static {
    /// Counts are kept so long at least, and so many times what they took.
    const KEPT_FOR: Duration = Duration::from_millis(900);
    const REST: u32 = 10;

    fn count(
        client: &Client,
        before: Option<&Self>,
        now: Timestamp,
    ) -> impl Future<Output = Result<Self, app_db::Error>> + Send;
}

impl Figures for Vec<Backlog> {
    async fn count(client: &Client, _: Option<&Self>, _: Timestamp) -> Result<Self, app_db::Error> {
        activity::backlog(client).await
    }
}

impl Figures for Hour {
    async fn count(client: &Client, before: Option<&Self>, now: Timestamp) -> Result<Self, app_db::Error> {
        let Some(hour) = before.cloned() else {
            // A page may wait for it.
            return Self::default().counted(client, now, BUDGET).await;
        };
        // Who looks after a restart should not look at half of it for long.
        let budget = if hour.uncounted() > 0 { BUDGET_MISSING } else { BUDGET };
        hour.counted(client, now, budget).await
    }
}

/// What is known of something, and since when.
#[derive(Debug)]
pub(super) struct Known<F> {
    pub figures: Arc<F>,
    pub counted_at: Timestamp,
}

impl<F> Clone for Known<F> {
    fn clone(&self) -> Self {
        Self { figures: Arc::clone(&self.figures), counted_at: self.counted_at }
    }
}

/// Each is counted on its own, so that none waits for another.
#[derive(Debug, Default)]
pub(super) struct Activity {
    backlog: Kept<Vec<Backlog>>,
    hour: Kept<Hour>,
    health: Kept<Health>,
    late: Kept<Late>,
}

impl Activity {
    /// What waits, as of a moment ago; nothing before it was counted first.
    pub(super) fn backlog(&self, app: &App) -> Option<Known<Vec<Backlog>>> {
        self.backlog.latest(app)
    }

    /// What was stored in the last hour, as of a moment ago; nothing before it was counted first.
    pub(super) fn hour(&self, app: &App) -> Option<Known<Hour>> {
        self.hour.latest(app)
    }

    /// How the whole fares, in a line; nothing of what is not known as of a moment ago.
    pub(super) fn pulse(&self, app: &App) -> Markup {
        pulse::line(self.health.latest(app).as_ref(), self.late.latest(app).as_ref(), app.clock.now())
    }

    /// Until both were counted once, or it takes too long.
    pub(super) async fn first(&self, app: &App) {
        self.backlog.latest(app);
        self.hour.latest(app);
        let both = async { tokio::join!(self.backlog.first(), self.hour.first()) };
        // What is not known by then is not shown yet.
        let _ = timeout(FIRST, both).await;
    }
}

#[derive(Debug)]
struct State<F> {
    known: Option<Known<F>>,
    /// Not before then is it counted again.
    good_until: Option<Instant>,
}

#[derive(Debug)]
struct Kept<F> {
    state: watch::Sender<State<F>>,
    /// Whose turn it is to count. Nobody waits for it.
    turn: Arc<Semaphore>,
}

impl<F> Default for Kept<F> {
    fn default() -> Self {
        let state = watch::Sender::new(State { known: None, good_until: None });
        Self { state, turn: Arc::new(Semaphore::new(1)) }
    }
}

impl<F: Figures> Kept<F> {
    fn latest(&self, app: &App) -> Option<Known<F>> {
        let (known, is_good) = {
            let state = self.state.borrow();
            (state.known.clone(), state.good_until.is_some_and(|until| Instant::now() < until))
        };
        if !is_good && let Ok(turn) = Arc::clone(&self.turn).try_acquire_owned() {
            tokio::spawn(count(app.clone(), self.state.clone(), known.clone(), turn));
        }
        known
    }

    async fn first(&self) {
        let mut states = self.state.subscribe();
        // It ends with the process at the latest.
        let _ = states.wait_for(|state| state.known.is_some()).await;
    }
}

async fn count<F: Figures>(
    app: App,
    state: watch::Sender<State<F>>,
    before: Option<Known<F>>,
    _turn: OwnedSemaphorePermit,
) {
    let counting = async {
        let database = app.database().await?;
        // A turn at the database costs nobody but us.
        let (began, counted_at) = (Instant::now(), app.clock.now());
        let figures = F::count(&database, before.as_ref().map(|known| &*known.figures), counted_at).await?;
        Ok::<_, Problem>((Known { figures: Arc::new(figures), counted_at }, began.elapsed()))
    };
    let counted = tokio::select! {
        counted = counting => counted,
        () = app.shutdown.cancelled() => return,
    };
    state.send_modify(|state| {
        let mut rest = F::KEPT_FOR;
        match counted {
            Ok((known, took)) => {
                rest = rest.max(took * F::REST).min(REST_MAX);
                state.known = Some(known);
            }
            // What is shown says how old it is.
            Err(problem) => tracing::debug!(why = problem.summary(), "figures are not counted"),
        }
        state.good_until = Some(Instant::now() + rest);
    });
}
