//! One action on everything that a filter matches, message by message as the API does it. A job is this process's: it
//! ends with it, and what it had not reached is as it was; the same filter goes on from there.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use app_db::messages::list::{self, Filter, Order, Page, Wanted};
use jiff::Timestamp;
use model::{Bucket, Message, Status};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::App;
use crate::console::narrowed::Narrowed;
use crate::console::session::Session;
use crate::messages::cancel_message::cancel;
use crate::messages::retry_message::retry;
use crate::problem::Problem;

const PAGE: usize = 200;
/// Jobs that can still be looked at.
const KEPT_MAX: usize = 50;
/// Each takes a turn at the database nearly all the time.
const UNDER_WAY_MAX: usize = 3;
/// Between two tries, while the database is away or there is no turn.
const PATIENCE: Duration = Duration::from_secs(1);

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
}

/// What is to be done, and to what.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub action: Action,
    pub narrowed: Narrowed,
    /// When it was asked for: what is stored later is not meant, nor what fails again later.
    pub as_of: Timestamp,
}

impl Task {
    /// Lists that hold all that is meant, each read from what is small.
    fn lists(&self) -> Vec<Filter> {
        let mut filter = self.narrowed.filter.clone();
        filter.until = Some(filter.until.map_or(self.as_of, |until| until.min(self.as_of)));
        match (self.action, filter.status) {
            (Action::Retry, _) => vec![Filter { problem: true, ..filter }],
            (Action::Cancel, Some(_)) => vec![filter],
            (Action::Cancel, None) => [Status::Outbox, Status::Retry]
                .map(|status| Filter { status: Some(status), ..filter.clone() })
                .to_vec(),
        }
    }

    fn is_meant(&self, message: &Message) -> bool {
        match self.action {
            Action::Retry => {
                // Somebody called it off: it is tried again only where just that is asked for.
                let is_canceled = message.is_canceled() && self.narrowed.filter.code.is_none();
                message.is_retryable() && !is_canceled && message.updated_at <= self.as_of
            }
            Action::Cancel => message.is_cancelable(),
        }
    }

    /// Counts what is meant, page by page, as long as `goes_on` says so of the count so far. Whether all were met.
    pub(super) async fn count(
        &self,
        app: &App,
        mut goes_on: impl FnMut(u64) -> ControlFlow<()>,
    ) -> Result<bool, Problem> {
        let mut counted = 0;
        for filter in self.lists() {
            let mut after = None;
            loop {
                let page = page(app, &filter, after).await?;
                let meant = page.messages.iter().filter(|message| self.is_meant(message)).count();
                counted += u64::try_from(meant).unwrap_or(u64::MAX);
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
}

async fn page(app: &App, filter: &Filter, after: Option<Uuid>) -> Result<Page, Problem> {
    // What messages say is of no interest here.
    let wanted = Wanted { body_chars: 0, ..Wanted::new(Order::OldestFirst, after, PAGE) };
    Ok(list::list(&*app.database().await?, filter, wanted).await?)
}

/// An action under way, or done.
#[derive(Debug)]
pub(super) struct Job {
    pub id: Uuid,
    session: Session,
    pub task: Task,
    /// How many were meant when it began, as far as they are counted: all, once `is_counted`.
    pub counted: AtomicU64,
    pub is_counted: OnceLock<()>,
    pub changed: AtomicU64,
    /// It was meant when it was looked at, and could not be done when it was its turn.
    pub missed: AtomicU64,
    /// What keeps it waiting just now.
    waits_for: Mutex<Option<String>>,
    /// How it ended.
    pub end: OnceLock<Result<(), String>>,
    stop: CancellationToken,
}

impl Job {
    fn new(id: Uuid, session: Session, task: Task) -> Self {
        Self {
            id,
            session,
            task,
            counted: AtomicU64::new(0),
            is_counted: OnceLock::new(),
            changed: AtomicU64::new(0),
            missed: AtomicU64::new(0),
            waits_for: Mutex::new(None),
            end: OnceLock::new(),
            stop: CancellationToken::new(),
        }
    }

    /// Ends it before its time, after the message that it has in hand.
    pub(super) fn stop(&self) {
        self.stop.cancel();
    }

    pub(super) fn waits_for(&self) -> Option<String> {
        self.waits_for.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn work(&self, app: &App) -> Result<(), Problem> {
        self.patiently(app, || {
            self.task.count(app, |counted| {
                self.counted.store(counted, Ordering::Relaxed);
                if self.check_goes_on(app).is_ok() {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            })
        })
        .await?;
        self.check_goes_on(app)?;
        // Nobody else says so.
        let _ = self.is_counted.set(());
        for filter in self.task.lists() {
            let mut after = None;
            loop {
                let page = self.patiently(app, || page(app, &filter, after)).await?;
                for message in page.messages.iter().filter(|message| self.task.is_meant(message)) {
                    let done = self.patiently(app, || self.act(app, message)).await?;
                    let count = if done { &self.changed } else { &self.missed };
                    count.fetch_add(1, Ordering::Relaxed);
                }
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Does it, again and again while the server cannot: a job of thousands should outlive a restart of the database.
    async fn patiently<T, F>(&self, app: &App, mut it: impl FnMut() -> F) -> Result<T, Problem>
    where
        F: Future<Output = Result<T, Problem>>,
    {
        loop {
            self.check_goes_on(app)?;
            let done = it().await;
            let problem = match done {
                Err(problem) if problem.status().is_server_error() => problem.summary(),
                done => return done,
            };
            let waits_for = |what| *self.waits_for.lock().unwrap_or_else(PoisonError::into_inner) = what;
            waits_for(Some(problem));
            tokio::select! {
                () = tokio::time::sleep(PATIENCE) => {}
                () = app.shutdown.cancelled() => {}
                () = self.stop.cancelled() => {}
            }
            waits_for(None);
        }
    }

    fn check_goes_on(&self, app: &App) -> Result<(), Problem> {
        if app.shutdown.is_cancelled() {
            return Err(Problem::conflict("stopped", "this server was stopped"));
        }
        if self.stop.is_cancelled() {
            return Err(Problem::conflict("stopped", "somebody stopped it"));
        }
        if !self.session.still_stands(app) {
            return Err(Problem::conflict("stopped", "the session that began it has ended"));
        }
        Ok(())
    }

    /// Whether it could still be done.
    async fn act(&self, app: &App, message: &Message) -> Result<bool, Problem> {
        let mut database = app.database().await?;
        let done = match self.task.action {
            Action::Retry => retry(app, &mut database, message, Some(self.task.as_of)).await,
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
    /// Begins one, unless just this is under way already.
    ///
    /// # Errors
    /// 409 where so many are under way that others would wait for them.
    pub(super) fn begin(&self, app: &App, session: Session, task: Task) -> Result<Arc<Job>, Problem> {
        let mut jobs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |job: &&Arc<Job>| {
            job.end.get().is_none()
                && job.task.action == task.action
                && job.task.as_of == task.as_of
                && job.task.narrowed.said == task.narrowed.said
        };
        if let Some(same) = jobs.iter().find(same) {
            return Ok(Arc::clone(same));
        }
        if jobs.iter().filter(|job| job.end.get().is_none()).count() >= UNDER_WAY_MAX {
            let detail = "this server is at several such jobs already: let one end, or stop one, and begin this one again";
            return Err(Problem::conflict("jobs_under_way", detail));
        }
        let job = Arc::new(Job::new(app.ids.next(app.clock.now(), Bucket(0)), session, task));
        jobs.push_back(Arc::clone(&job));
        while jobs.len() > KEPT_MAX && jobs.front().is_some_and(|job| job.end.get().is_some()) {
            jobs.pop_front();
        }
        let (app, working, watched) = (app.clone(), Arc::clone(&job), Arc::clone(&job));
        let work = tokio::spawn(async move { working.work(&app).await });
        tokio::spawn(async move {
            let done = work.await.unwrap_or_else(|panic| Err(Problem::internal().because(panic)));
            // Nobody else ends it.
            let _ = watched.end.set(done.map_err(|problem| problem.summary()));
        });
        Ok(job)
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
