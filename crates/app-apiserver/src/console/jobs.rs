//! Jobs: something done one by one to all that a filter matches, with its progress on a page. Their page, and what this
//! server is at. What a job does to each is its [`Work`]'s.

mod job;

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::Response;
use futures_util::future::BoxFuture;
use maud::{Markup, html};
use model::Bucket;
use serde_json::json;
use uuid::Uuid;

pub(super) use self::job::Job;
use super::form::see;
use super::layout::{self, Section};
use super::live::{self, At};
use super::session::Session;
use super::trouble::{Trouble, sentence};
use super::words::thousands;
use crate::App;
use crate::audit::Actor;
use crate::authentication::Caller;
use crate::problem::Problem;

/// Jobs that can still be looked at.
const KEPT_MAX: usize = 50;
/// Each takes a turn at the database nearly all the time.
const UNDER_WAY_MAX: usize = 3;

/// What a job does, and how its page tells it.
pub(super) trait Work: Send + Sync + 'static {
    /// `Retry all: status failed`.
    fn title(&self) -> String;
    fn section(&self) -> Section;
    /// What became of those that were done, as in `3 of 5 tried again`; and of those that could not be.
    fn outcomes(&self) -> [&'static str; 2];
    /// The list that it goes through: its name and its path.
    fn list(&self) -> (&'static str, String);
    /// Where just this is asked for, what was there then and nothing that came later: so also what is left of it. Two with
    /// the same one are the same.
    fn path(&self) -> String;
    /// Does it, and tells `job` of each.
    ///
    /// # Errors
    /// Why it ended early.
    fn run<'a>(&'a self, app: &'a App, job: &'a Job) -> BoxFuture<'a, Result<(), Problem>>;
}

/// The jobs of this process, the oldest first.
#[derive(Default)]
pub(super) struct Jobs(Mutex<VecDeque<Arc<Job>>>);

impl Jobs {
    /// Begins one, unless this caller has just this under way already. It is recorded first.
    ///
    /// # Errors
    /// 409 where so many are under way that others would wait for them; 503 where the database does not answer.
    pub(super) async fn begin(
        &self,
        app: &App,
        session: Session,
        actor: Actor,
        work: impl Work,
    ) -> Result<Arc<Job>, Problem> {
        let detail = json!({ "title": work.title() });
        actor.record(app, "job.start", work.path(), detail).await?;
        self.start(app, session, work)
    }

    fn start(&self, app: &App, session: Session, work: impl Work) -> Result<Arc<Job>, Problem> {
        let mut jobs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let under_way = || jobs.iter().filter(|job| job.end.get().is_none());
        let is_same =
            |job: &&Arc<Job>| job.session.is_of_the_same_caller(session) && job.work.path() == work.path();
        if let Some(same) = under_way().find(is_same) {
            return Ok(Arc::clone(same));
        }
        if under_way().count() >= UNDER_WAY_MAX {
            let detail =
                "this server is at several jobs already: let one end, or stop one, and begin this one again";
            return Err(Problem::conflict("jobs_under_way", detail));
        }
        let id = app.ids.next(app.database_clock.now(), Bucket(0));
        let job = Job::start(app, id, session, Box::new(work));
        jobs.push_back(Arc::clone(&job));
        while jobs.len() > KEPT_MAX && jobs.front().is_some_and(|job| job.end.get().is_some()) {
            jobs.pop_front();
        }
        Ok(job)
    }

    fn find(&self, id: &str) -> Result<Arc<Job>, Problem> {
        let jobs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = Uuid::try_parse(id).ok().and_then(|id| jobs.iter().find(|job| job.id == id).cloned());
        found.ok_or_else(|| {
            let detail = "this server runs no such job: it was restarted, or another server runs it; begin it again \
                          with the same filter for what is left";
            Problem::not_found("job_not_found", detail)
        })
    }
}

/// What this server is at, above a section's list.
pub(super) fn under_way(app: &App, section: Section) -> Markup {
    let jobs = app.console.jobs.0.lock().unwrap_or_else(PoisonError::into_inner);
    html! {
        @for job in jobs.iter().filter(|job| job.end.get().is_none() && job.work.section() == section) {
            p { "Under way: " a href=(job.page()) { (job.work.title()) } }
        }
    }
}

pub(super) async fn show(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, Trouble> {
    let job = app.console.jobs.find(&id)?;
    let (list, list_path) = job.work.list();
    let main = html! {
        h1 { (job.work.title()) }
        (live::region("job", &format!("/live{}", job.page()), &progress(&job)))
        p { a href=(list_path) { (list) } }
    };
    Ok(layout::page(&app, caller, job.work.section(), "All that match", &main))
}

pub(super) async fn live(
    State(app): State<App>,
    Extension(session): Extension<Session>,
    Path(id): Path<String>,
) -> Result<Response, Trouble> {
    let job = app.console.jobs.find(&id)?;
    live::stream(app, session, At::Other, move |_| {
        let markup = progress(&job);
        async move { Ok(markup) }
    })
    .await
}

pub(super) async fn stop(
    State(app): State<App>,
    Extension(actor): Extension<Actor>,
    Path(id): Path<String>,
) -> Result<Response, Trouble> {
    let job = app.console.jobs.find(&id)?;
    actor.record(&app, "job.stop", job.work.path(), json!({ "title": job.work.title() })).await?;
    job.stop();
    Ok(see(&job.page()))
}

fn progress(job: &Job) -> Markup {
    let [counted, done, missed] =
        [&job.counted, &job.done, &job.missed].map(|count| count.load(Ordering::Relaxed));
    // What has come to fit since it began is done too.
    let total = counted.max(done + missed);
    let is_counted = job.is_counted.get().is_some();
    let [done_word, missed_word] = job.work.outcomes();
    html! {
        @match job.end.get() {
            None => {
                div .row {
                    @if is_counted {
                        progress aria-label=(done_word) max=(total) value=(done + missed) {}
                    } @else {
                        progress aria-label="Counting" {}
                    }
                    form method="post" action={ (job.page()) "/stop" } {
                        button .plain type="submit" { "Stop" }
                    }
                }
                @if let Some(why) = job.waits_for() { p .waiting { "It waits: " (sentence(&why)) } }
                p .quiet { "This page may be left." }
            }
            Some(Ok(())) => p .good { "Done." },
            Some(Err(why)) => p .bad role="alert" {
                "It ended early: " (sentence(why)) " What was not reached is as it was. "
                a href=(job.work.path()) { "Go on with what is left" }
            },
        }
        p #counts {
            @if is_counted || job.end.get().is_some() {
                (thousands(done)) " of " (thousands(total)) " " (done_word)
                @if missed > 0 { ", " (thousands(missed)) " " (missed_word) }
                @if matches!(job.end.get(), Some(Ok(()))) && total > done + missed {
                    ", " (thousands(total - done - missed)) " were no longer what is meant when it came to them"
                }
                "."
            } @else {
                "Counting them: " (thousands(counted)) " so far."
            }
        }
    }
}
