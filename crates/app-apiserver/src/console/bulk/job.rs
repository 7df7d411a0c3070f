//! One action on everything that a filter matches, message by message as the API does it. A job is this process's: it
//! ends with it, and what it had not reached is as it was; the same filter goes on from there.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use app_db::messages::list::{self, Filter, Order};
use model::{Bucket, Direction, Message, Status};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::App;
use crate::console::narrowed::Narrowed;
use crate::messages::cancel_message::cancel;
use crate::messages::retry_message::retry;
use crate::problem::Problem;

const PAGE: usize = 200;
/// Jobs that can still be looked at.
const KEPT_MAX: usize = 50;

/// What is done to each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Retry,
    Cancel,
}

impl FromStr for Action {
    type Err = Problem;

    fn from_str(word: &str) -> Result<Self, Problem> {
        match word {
            "retry" => Ok(Self::Retry),
            "cancel" => Ok(Self::Cancel),
            _ => Err(Problem::bad_request("unknown_action", "action must be one of retry, cancel")),
        }
    }
}

impl Action {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Cancel => "cancel",
        }
    }

    /// Whether there is something to do about it.
    pub(super) fn fits(self, message: &Message) -> bool {
        let is_held = message.status == Status::Retry && message.next_attempt_at.is_none();
        message.direction == Direction::Outbound
            && match self {
                Self::Retry => message.status == Status::Failed || is_held,
                Self::Cancel => matches!(message.status, Status::Outbox | Status::Retry),
            }
    }

    /// Lists that hold all that fits within the filter, each read from what is small.
    fn lists(self, filter: &Filter) -> Vec<Filter> {
        match (self, filter.status) {
            (Self::Retry, _) => vec![Filter { problem: true, ..filter.clone() }],
            (Self::Cancel, Some(_)) => vec![filter.clone()],
            (Self::Cancel, None) => [Status::Outbox, Status::Retry]
                .map(|status| Filter { status: Some(status), ..filter.clone() })
                .to_vec(),
        }
    }
}

/// Counts what fits, page by page, as long as `goes_on` says so of the count so far. Whether all were met.
pub(super) async fn count(
    app: &App,
    action: Action,
    filter: &Filter,
    mut goes_on: impl FnMut(u64) -> ControlFlow<()>,
) -> Result<bool, Problem> {
    let mut counted = 0;
    for filter in action.lists(filter) {
        let mut after = None;
        loop {
            let page = list::list(&*app.database().await?, &filter, Order::OldestFirst, after, PAGE).await?;
            let fit = page.messages.iter().filter(|message| action.fits(message)).count();
            counted += u64::try_from(fit).unwrap_or(u64::MAX);
            let goes_on = goes_on(counted);
            after = page.next;
            if after.is_none() {
                break;
            }
            if goes_on.is_break() {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// An action under way, or done.
#[derive(Debug)]
pub(super) struct Job {
    pub id: Uuid,
    pub action: Action,
    pub narrowed: Narrowed,
    /// How many fitted when it began, as far as they are counted: all, once `is_counted`.
    pub counted: AtomicU64,
    pub is_counted: OnceLock<()>,
    pub changed: AtomicU64,
    /// It fitted when it was looked at, and no longer when it was its turn.
    pub missed: AtomicU64,
    /// How it ended.
    pub end: OnceLock<Result<(), String>>,
    stop: CancellationToken,
}

impl Job {
    /// Ends it before its time, after the message that it has in hand.
    pub(super) fn stop(&self) {
        self.stop.cancel();
    }

    async fn work(&self, app: &App) -> Result<(), Problem> {
        let filter = &self.narrowed.filter;
        let note = |counted| {
            self.counted.store(counted, Ordering::Relaxed);
            if self.stop.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        count(app, self.action, filter, note).await?;
        // Nobody else says so.
        let _ = self.is_counted.set(());
        for filter in self.action.lists(filter) {
            let mut after = None;
            loop {
                let page =
                    list::list(&*app.database().await?, &filter, Order::OldestFirst, after, PAGE).await?;
                for message in page.messages.iter().filter(|message| self.action.fits(message)) {
                    self.check_goes_on(app)?;
                    let count = if self.act(app, message).await? { &self.changed } else { &self.missed };
                    count.fetch_add(1, Ordering::Relaxed);
                }
                self.check_goes_on(app)?;
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(())
    }

    fn check_goes_on(&self, app: &App) -> Result<(), Problem> {
        if app.shutdown.is_cancelled() {
            return Err(Problem::unavailable("this server was stopped"));
        }
        if self.stop.is_cancelled() {
            return Err(Problem::conflict("stopped", "somebody stopped it"));
        }
        Ok(())
    }

    /// Whether it could still be done.
    async fn act(&self, app: &App, message: &Message) -> Result<bool, Problem> {
        let mut database = app.database().await?;
        let done = match self.action {
            Action::Retry => retry(app, &mut database, message).await,
            Action::Cancel => cancel(app, &database, message).await,
        };
        match done {
            Ok(()) => Ok(true),
            Err(problem) if problem.status().is_client_error() => Ok(false),
            Err(problem) => Err(problem),
        }
    }
}

/// The jobs of this process, the oldest first.
#[derive(Debug, Default)]
pub(in crate::console) struct Jobs(Mutex<VecDeque<Arc<Job>>>);

impl Jobs {
    /// Begins one, unless just this is under way already. What is stored later is not meant.
    pub(super) fn begin(&self, app: &App, action: Action, mut narrowed: Narrowed) -> Arc<Job> {
        let mut jobs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |job: &&Arc<Job>| {
            job.end.get().is_none() && job.action == action && job.narrowed.said == narrowed.said
        };
        if let Some(same) = jobs.iter().find(same) {
            return Arc::clone(same);
        }
        let now = app.clock.now();
        narrowed.filter.until = Some(narrowed.filter.until.map_or(now, |until| until.min(now)));
        let job = Arc::new(Job {
            id: app.ids.next(now, Bucket(0)),
            action,
            narrowed,
            counted: AtomicU64::new(0),
            is_counted: OnceLock::new(),
            changed: AtomicU64::new(0),
            missed: AtomicU64::new(0),
            end: OnceLock::new(),
            stop: CancellationToken::new(),
        });
        jobs.push_back(Arc::clone(&job));
        while jobs.len() > KEPT_MAX && jobs.front().is_some_and(|job| job.end.get().is_some()) {
            jobs.pop_front();
        }
        let (app, working) = (app.clone(), Arc::clone(&job));
        tokio::spawn(async move {
            let end = working.work(&app).await.map_err(|problem| problem.summary());
            // Nobody else ends it.
            let _ = working.end.set(end);
        });
        job
    }

    pub(super) fn under_way(&self) -> Vec<Arc<Job>> {
        let jobs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.iter().filter(|job| job.end.get().is_none()).cloned().collect()
    }

    pub(super) fn find(&self, id: &str) -> Result<Arc<Job>, Problem> {
        let jobs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = Uuid::try_parse(id).ok().and_then(|id| jobs.iter().find(|job| job.id == id).cloned());
        found.ok_or_else(|| {
            let detail = "this server runs no such job: it was restarted, or another server runs it; start it again \
                          with the same filter for what is left";
            Problem::not_found("job_not_found", detail)
        })
    }
}
