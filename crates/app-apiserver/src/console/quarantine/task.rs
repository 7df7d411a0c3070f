//! Processing again what a filter matches, one by one and the oldest first, so that conversations keep their order.

use app_db::quarantine::{self, Which};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use uuid::Uuid;

use super::which::{in_words, path};
use crate::App;
use crate::console::jobs::{Job, Work};
use crate::console::layout::Section;
use crate::problem::Problem;
use crate::receive_webhook::replay::{Grounds, replay};

const PAGE: i64 = 200;

#[derive(Clone, Debug)]
pub(super) struct Task {
    /// As far as it was looked at: what came later is not meant.
    pub which: Which,
    pub grounds: Grounds,
}

impl Task {
    async fn do_all(&self, app: &App, job: &Job) -> Result<(), Problem> {
        let count = async || Ok(quarantine::count(&*app.database().await?, &self.which).await?);
        let (total, _) = job.patiently(app, count).await?;
        job.counts(total);
        job.has_counted();
        let mut after = Uuid::nil();
        loop {
            let ids = async || Ok(quarantine::ids(&*app.database().await?, &self.which, after, PAGE).await?);
            let ids = job.patiently(app, ids).await?;
            let Some(last) = ids.last() else { return Ok(()) };
            after = *last;
            for id in ids {
                if let Some(is_taken) = job.patiently(app, || self.process(app, id)).await? {
                    job.did(is_taken);
                }
            }
        }
    }

    /// Whether it was taken in. Nothing where it is gone: somebody else was faster, or it made room.
    ///
    /// # Errors
    /// Where the database cannot be asked. Anything else is one webhook's own trouble, and keeps no other from its turn.
    async fn process(&self, app: &App, id: Uuid) -> Result<Option<bool>, Problem> {
        let found = quarantine::find(&*app.database().await?, id).await?;
        let Some((delivery, reception)) = found else { return Ok(None) };
        // What is trusted is recorded one by one, since how a forgery came in must be found; the rest as one job.
        let by = match self.grounds {
            Grounds::Proof => None,
            Grounds::Word(actor) => Some(actor),
        };
        match replay(app, delivery, reception.received_at, self.grounds, by).await {
            Ok(()) => Ok(Some(true)),
            Err(problem) if problem.may_pass() => Err(problem),
            Err(problem) => {
                if problem.status().is_server_error() {
                    tracing::error!(webhook.delivery_id = %id, error = problem.cause(), "a job passed a kept webhook over");
                }
                Ok(Some(false))
            }
        }
    }
}

impl Work for Task {
    fn title(&self) -> String {
        let what = match self.grounds {
            Grounds::Proof => "Process all again",
            Grounds::Word(_) => "Trust all",
        };
        format!("{what}: {}", in_words(&self.which))
    }

    fn section(&self) -> Section {
        Section::Quarantine
    }

    fn outcomes(&self) -> [&'static str; 2] {
        ["taken in", "still cannot be: each says why"]
    }

    fn list(&self) -> (&'static str, String) {
        ("What is in quarantine now", path(&self.which, "/quarantine", &[]))
    }

    fn path(&self) -> String {
        let action = match self.grounds {
            Grounds::Proof => "process",
            Grounds::Word(_) => "trust",
        };
        let up_to = self.which.up_to.map(|id| id.to_string());
        path(&self.which, "/quarantine/all", &[("action", Some(action)), ("up_to", up_to.as_deref())])
    }

    fn run<'a>(&'a self, app: &'a App, job: &'a Job) -> BoxFuture<'a, Result<(), Problem>> {
        self.do_all(app, job).boxed()
    }
}
