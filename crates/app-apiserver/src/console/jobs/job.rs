//! A job under way: it counts, waits, and can be stopped. A job is this process's: it ends with it, and what it had not
//! reached is as it was; the same filter goes on from there.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Work;
use crate::App;
use crate::console::session::Session;
use crate::problem::Problem;

/// Between two tries, while the database is away or there is no turn.
const PAUSE: Duration = Duration::from_secs(1);

/// A job under way, or done.
pub(in crate::console) struct Job {
    pub(super) id: Uuid,
    pub(super) session: Session,
    pub(super) work: Box<dyn Work>,
    /// How many were meant when it began, as far as they are counted: all, once `is_counted`.
    pub(super) counted: AtomicI64,
    pub(super) is_counted: OnceLock<()>,
    pub(super) done: AtomicI64,
    /// Those that it came to, and that could not be done.
    pub(super) missed: AtomicI64,
    /// What keeps it waiting just now.
    waits_for: Mutex<Option<String>>,
    /// How it ended.
    pub(super) end: OnceLock<Result<(), String>>,
    stop: CancellationToken,
}

impl Job {
    pub(super) fn start(app: &App, id: Uuid, session: Session, work: Box<dyn Work>) -> Arc<Self> {
        let job = Arc::new(Self {
            id,
            session,
            work,
            counted: AtomicI64::new(0),
            is_counted: OnceLock::new(),
            done: AtomicI64::new(0),
            missed: AtomicI64::new(0),
            waits_for: Mutex::new(None),
            end: OnceLock::new(),
            stop: CancellationToken::new(),
        });
        let (app, working, watched) = (app.clone(), Arc::clone(&job), Arc::clone(&job));
        let running = tokio::spawn(async move { working.work.run(&app, &working).await });
        tokio::spawn(async move {
            let done = running.await.unwrap_or_else(|panic| Err(Problem::internal().because(panic)));
            // Nobody else ends it.
            let _ = watched.end.set(done.map_err(|problem| watched.why_it_ended(&problem)));
        });
        job
    }

    /// As its page tells it; what went wrong inside is the log's.
    fn why_it_ended(&self, problem: &Problem) -> String {
        if !problem.status().is_server_error() {
            return problem.summary();
        }
        tracing::error!(job.id = %self.id, error = problem.cause(), "a job ended early");
        format!("something went wrong here; the server's log says what, under the job's id {}", self.id)
    }

    /// Its path.
    pub(in crate::console) fn page(&self) -> String {
        format!("/jobs/{}", self.id)
    }

    /// Ends it before its time, after the one that it has in hand.
    pub(super) fn stop(&self) {
        self.stop.cancel();
    }

    pub(super) fn waits_for(&self) -> Option<String> {
        self.waits_for.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// So many are meant, as far as they are counted.
    pub(in crate::console) fn counts(&self, so_far: i64) {
        self.counted.store(so_far, Ordering::Relaxed);
    }

    pub(in crate::console) fn has_counted(&self) {
        // Nobody else says so.
        let _ = self.is_counted.set(());
    }

    /// One more.
    pub(in crate::console) fn did(&self, is_done: bool) {
        let count = if is_done { &self.done } else { &self.missed };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Does it, again and again while the server cannot: a job of thousands should outlive a restart of the database.
    pub(in crate::console) async fn patiently<T, F>(
        &self,
        app: &App,
        mut it: impl FnMut() -> F,
    ) -> Result<T, Problem>
    where
        F: Future<Output = Result<T, Problem>>,
    {
        loop {
            self.check_goes_on(app)?;
            let problem = match it().await {
                Err(problem) if problem.may_pass() => problem.summary(),
                done => return done,
            };
            let waits_for = |what| *self.waits_for.lock().unwrap_or_else(PoisonError::into_inner) = what;
            waits_for(Some(problem));
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                () = app.shutdown.cancelled() => {}
                () = self.stop.cancelled() => {}
            }
            waits_for(None);
        }
    }

    /// # Errors
    /// Why it is to end.
    pub(in crate::console) fn check_goes_on(&self, app: &App) -> Result<(), Problem> {
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
}
