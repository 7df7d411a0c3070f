//! Processing again what a filter matches, one by one and the oldest first, so that conversations keep their order. One at
//! a time in a process, and it ends with it: what it had not reached is as it was, and the same filter goes on from there.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use app_db::quarantine::{self, Which};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::App;
use crate::console::session::Session;
use crate::problem::Problem;
use crate::receive_webhook::replay::{Grounds, replay};

const PAGE: i64 = 200;

/// A job under way, or done.
#[derive(Debug)]
pub(super) struct Job {
    session: Session,
    pub which: Which,
    pub grounds: Grounds,
    /// How many there were when it began.
    pub total: i64,
    pub taken: AtomicI64,
    /// Those that still cannot be taken in.
    pub left: AtomicI64,
    /// How it ended.
    pub end: OnceLock<Result<(), String>>,
    stop: CancellationToken,
}

impl Job {
    /// Ends it before its time, after the webhook that it has in hand.
    pub(super) fn stop(&self) {
        self.stop.cancel();
    }

    async fn work(&self, app: &App) -> Result<(), Problem> {
        let mut after = Uuid::nil();
        loop {
            let ids = quarantine::ids(&*app.database().await?, &self.which, after, PAGE).await?;
            let Some(last) = ids.last() else { return Ok(()) };
            after = *last;
            for id in ids {
                if app.shutdown.is_cancelled() {
                    return Err(Problem::unavailable("this server was stopped"));
                }
                if self.stop.is_cancelled() {
                    return Err(Problem::conflict("stopped", "somebody stopped it"));
                }
                if !self.session.still_stands(app) {
                    return Err(Problem::conflict("stopped", "the session that began it has ended"));
                }
                self.process(app, id).await?;
            }
        }
    }

    /// # Errors
    /// Where the database cannot be asked. Anything else is one webhook's own trouble, and keeps no other from its turn.
    async fn process(&self, app: &App, id: Uuid) -> Result<(), Problem> {
        let found = quarantine::find(&*app.database().await?, id).await?;
        // Somebody else was faster, or it made room.
        let Some((delivery, received_at)) = found else { return Ok(()) };
        let count = match replay(app, delivery, received_at, self.grounds).await {
            Ok(()) => &self.taken,
            Err(problem) => {
                if problem.status().is_server_error() {
                    tracing::error!(webhook.delivery_id = %id, error = ?problem, "a kept webhook was not processed");
                }
                &self.left
            }
        };
        count.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// The job of this process, as long as no other has taken its place.
#[derive(Debug, Default)]
pub(in crate::console) struct Jobs(Mutex<Option<Arc<Job>>>);

impl Jobs {
    /// Begins one, unless just this is under way already. What comes later is not meant.
    ///
    /// # Errors
    /// 409 while another is under way.
    pub(super) async fn begin(
        &self,
        app: &App,
        session: Session,
        mut which: Which,
        grounds: Grounds,
    ) -> Result<(), Problem> {
        let (total, newest) = quarantine::count(&*app.database().await?, &which).await?;
        // Of nothing, nothing.
        which.up_to = which.up_to.or(newest).or(Some(Uuid::nil()));
        let mut latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(other) = latest.as_ref().filter(|job| job.end.get().is_none()) {
            if other.which == which && other.grounds == grounds {
                return Ok(());
            }
            let detail =
                "this server is processing others just now: let it end, or stop it, and begin this one again";
            return Err(Problem::conflict("job_under_way", detail));
        }
        let job = Arc::new(Job {
            session,
            which,
            grounds,
            total,
            taken: AtomicI64::new(0),
            left: AtomicI64::new(0),
            end: OnceLock::new(),
            stop: CancellationToken::new(),
        });
        *latest = Some(Arc::clone(&job));
        let (app, working) = (app.clone(), Arc::clone(&job));
        let work = tokio::spawn(async move { working.work(&app).await });
        tokio::spawn(async move {
            let done = work.await.unwrap_or_else(|panic| Err(Problem::internal().because(panic)));
            // Nobody else ends it.
            let _ = job.end.set(done.map_err(|problem| problem.summary()));
        });
        Ok(())
    }

    /// # Errors
    /// 404 where none was begun here.
    pub(super) fn latest(&self) -> Result<Arc<Job>, Problem> {
        let latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        latest.clone().ok_or_else(|| {
            let detail = "this server processes nothing of the quarantine: it was restarted, or another server does; \
                          what is left is listed there";
            Problem::not_found("job_not_found", detail)
        })
    }
}
