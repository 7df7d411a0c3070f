//! One action on everything that a filter matches, message by message as the API does it.

use std::ops::ControlFlow;
use std::str::FromStr;

use app_db::messages::list::{self, Filter, Order, Page, Wanted};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use model::{Message, Status};
use uuid::Uuid;

use crate::App;
use crate::console::jobs::{Job, Work};
use crate::console::layout::Section;
use crate::console::narrowed::Narrowed;
use crate::messages::cancel_message::cancel;
use crate::messages::retry_message::retry;
use crate::problem::Problem;
use crate::times;

const PAGE: usize = 200;

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
        mut goes_on: impl FnMut(i64) -> ControlFlow<()>,
    ) -> Result<bool, Problem> {
        let mut counted = 0;
        for filter in self.lists() {
            let mut after = None;
            loop {
                let page = page(app, &filter, after).await?;
                let meant = page.messages.iter().filter(|message| self.is_meant(message)).count();
                counted += i64::try_from(meant).unwrap_or(i64::MAX);
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

    async fn do_all(&self, app: &App, job: &Job) -> Result<(), Problem> {
        let count = || {
            self.count(app, |so_far| {
                job.counts(so_far);
                if job.check_goes_on(app).is_ok() {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            })
        };
        job.patiently(app, count).await?;
        job.check_goes_on(app)?;
        job.has_counted();
        for filter in self.lists() {
            let mut after = None;
            loop {
                let page = job.patiently(app, || page(app, &filter, after)).await?;
                for message in page.messages.iter().filter(|message| self.is_meant(message)) {
                    job.did(job.patiently(app, || self.act(app, message)).await?);
                }
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Whether it could still be done: it was meant when it was looked at.
    ///
    /// # Errors
    /// Where the server cannot just now. Anything else is one message's own trouble, and keeps no other from its turn.
    async fn act(&self, app: &App, message: &Message) -> Result<bool, Problem> {
        let mut database = app.database().await?;
        let done = match self.action {
            Action::Retry => retry(app, &mut database, message, Some(self.as_of), None).await,
            Action::Cancel => cancel(app, &mut database, message, None).await,
        };
        match done {
            Ok(()) => Ok(true),
            Err(problem) if problem.may_pass() => Err(problem),
            Err(problem) => {
                if problem.status().is_server_error() {
                    tracing::error!(message.id = %message.id, error = problem.cause(), "a job passed a message over");
                }
                Ok(false)
            }
        }
    }
}

impl Work for Task {
    fn title(&self) -> String {
        let what = match self.action {
            Action::Retry => "Retry all",
            Action::Cancel => "Cancel all",
        };
        format!("{what}: {}", self.narrowed.in_words())
    }

    fn section(&self) -> Section {
        Section::Messages
    }

    fn outcomes(&self) -> [&'static str; 2] {
        let done = match self.action {
            Action::Retry => "tried again",
            Action::Cancel => "canceled",
        };
        [done, "left alone, as they changed in the meantime or could not be changed"]
    }

    fn list(&self) -> (&'static str, String) {
        ("The messages", self.narrowed.path("/messages", &[]))
    }

    fn path(&self) -> String {
        let as_of = times::format(self.as_of);
        self.narrowed.path("/bulk", &[("action", Some(self.action.word())), ("as_of", Some(&as_of))])
    }

    fn run<'a>(&'a self, app: &'a App, job: &'a Job) -> BoxFuture<'a, Result<(), Problem>> {
        self.do_all(app, job).boxed()
    }
}

async fn page(app: &App, filter: &Filter, after: Option<Uuid>) -> Result<Page, Problem> {
    // What messages say is of no interest here.
    let wanted = Wanted { body_chars: 0, ..Wanted::new(Order::OldestFirst, after, PAGE) };
    Ok(list::list(&mut *app.database().await?, filter, wanted).await?)
}
