//! One action on everything that a filter matches: told first, then done message by message as the API does it, with
//! its progress on a page. A job is this process's: it ends with it, and what it had not reached is as it was; the same
//! filter goes on from there.

use std::collections::VecDeque;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use app_db::messages::list::{self, Filter, Order};
use axum::Extension;
use axum::extract::{Path, RawQuery, Request, State};
use axum::response::Response;
use maud::{Markup, html};
use model::{Bucket, Direction, Message, Status};
use uuid::Uuid;

use super::form::{self, see};
use super::layout::{self, Section};
use super::live;
use super::messages::Narrowed;
use super::trouble::{Trouble, sentence};
use super::words::thousands;
use crate::App;
use crate::authentication::Caller;
use crate::fields::{Fields, Text};
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
    fn word(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Cancel => "cancel",
        }
    }

    /// Whether there is something to do about it.
    fn fits(self, message: &Message) -> bool {
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

/// An action under way, or done.
#[derive(Debug)]
pub(super) struct Job {
    id: Uuid,
    action: Action,
    /// The filter in words, and its page.
    of: String,
    path: String,
    looked_at: AtomicU64,
    changed: AtomicU64,
    /// It fitted when it was looked at, and no longer when it was its turn.
    missed: AtomicU64,
    /// How it ended.
    end: OnceLock<Result<(), String>>,
}

/// The jobs of this process, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Jobs(Mutex<VecDeque<Arc<Job>>>);

impl Jobs {
    fn add(&self, job: Arc<Job>) {
        let mut jobs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.push_back(job);
        while jobs.len() > KEPT_MAX && jobs.front().is_some_and(|job| job.end.get().is_some()) {
            jobs.pop_front();
        }
    }

    fn find(&self, id: &str) -> Result<Arc<Job>, Problem> {
        let jobs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = Uuid::try_parse(id).ok().and_then(|id| jobs.iter().find(|job| job.id == id).cloned());
        found.ok_or_else(|| {
            let detail = "this server runs no such job: it was restarted, or another server runs it; start it again \
                          with the same filter for what is left";
            Problem::not_found("job_not_found", detail)
        })
    }
}

fn read(app: &App, mut fields: Fields) -> Result<(Action, Narrowed), Problem> {
    let action = fields.text("action", Text::Line, 20).unwrap_or_default().parse()?;
    Ok((action, Narrowed::read(app, fields)?))
}

/// Says what would be done.
pub(super) async fn confirm(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result<Response, Trouble> {
    let (action, narrowed) = read(&app, Fields::of_query(query.as_deref()))?;
    let (mut count, mut more) = (0, false);
    {
        let database = app.database().await?;
        for filter in action.lists(&narrowed.filter) {
            let page = list::list(&database, &filter, Order::NewestFirst, None, PAGE).await?;
            count += page.messages.iter().filter(|message| action.fits(message)).count();
            more |= page.next.is_some();
        }
    }
    let word = action.word();
    let count = thousands(i64::try_from(count).unwrap_or(i64::MAX));
    let main = html! {
        h1 { (title(action, &narrowed.in_words())) }
        p {
            @if more { "At least " } (count) " of them can be: "
            @match action {
                Action::Retry => "what failed and what is held. A message that is held may be sent twice.",
                Action::Cancel => "what no processor has in hand. They fail as canceled.",
            }
        }
        form .row method="post" action="/bulk" {
            input type="hidden" name="action" value=(word);
            @for (name, text) in &narrowed.said { input type="hidden" name=(name) value=(text); }
            button type="submit" { (sentence(word).trim_end_matches('.')) " all" }
            a href=(narrowed.path("/messages", &[])) { "Back" }
        }
    };
    Ok(layout::page(&app, caller, Section::Messages, "All that match", &main))
}

/// `Retry all: status failed`.
fn title(action: Action, of: &str) -> String {
    match action {
        Action::Retry => format!("Retry all: {of}"),
        Action::Cancel => format!("Cancel all: {of}"),
    }
}

pub(super) async fn start(State(app): State<App>, request: Request) -> Result<Response, Trouble> {
    let (action, mut narrowed) = read(&app, form::read(&app, request).await?)?;
    let now = app.clock.now();
    // What comes later is not meant, nor what fails again because of this.
    narrowed.filter.until = Some(narrowed.filter.until.map_or(now, |until| until.min(now)));
    let job = Arc::new(Job {
        id: app.ids.next(now, Bucket(0)),
        action,
        of: narrowed.in_words(),
        path: narrowed.path("/messages", &[]),
        looked_at: AtomicU64::new(0),
        changed: AtomicU64::new(0),
        missed: AtomicU64::new(0),
        end: OnceLock::new(),
    });
    app.console.bulk.add(Arc::clone(&job));
    let path = format!("/bulk/{}", job.id);
    tokio::spawn(async move {
        let done = work(&app, &job, &narrowed.filter).await;
        let end = done.map_err(|problem| problem.summary());
        // Nobody else ends it.
        let _ = job.end.set(end);
    });
    Ok(see(&path))
}

async fn work(app: &App, job: &Job, filter: &Filter) -> Result<(), Problem> {
    for filter in job.action.lists(filter) {
        let mut after = None;
        loop {
            let page = list::list(&*app.database().await?, &filter, Order::OldestFirst, after, PAGE).await?;
            for message in &page.messages {
                if app.shutdown.is_cancelled() {
                    return Err(Problem::unavailable("the server stops; start it again for what is left"));
                }
                job.looked_at.fetch_add(1, Ordering::Relaxed);
                if job.action.fits(message) {
                    let count = if act(app, job.action, message).await? { &job.changed } else { &job.missed };
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
    Ok(())
}

/// Whether it could still be done.
async fn act(app: &App, action: Action, message: &Message) -> Result<bool, Problem> {
    let mut database = app.database().await?;
    let done = match action {
        Action::Retry => retry(app, &mut database, message).await,
        Action::Cancel => cancel(app, &database, message).await,
    };
    match done {
        Ok(()) => Ok(true),
        Err(problem) if problem.status().is_client_error() => Ok(false),
        Err(problem) => Err(problem),
    }
}

pub(super) async fn show(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, Trouble> {
    let job = app.console.bulk.find(&id)?;
    let main = html! {
        h1 { (title(job.action, &job.of)) }
        (live::region("job", &format!("/live/bulk/{}", job.id), &progress(&job)))
        p { a href=(job.path) { "The messages" } }
    };
    Ok(layout::page(&app, caller, Section::Messages, "All that match", &main))
}

pub(super) async fn live(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, Trouble> {
    let job = app.console.bulk.find(&id)?;
    live::stream(app, caller, move |_| {
        let markup = progress(&job);
        async move { Ok(markup) }
    })
}

fn progress(job: &Job) -> Markup {
    let [looked_at, changed, missed] = [&job.looked_at, &job.changed, &job.missed]
        .map(|count| i64::try_from(count.load(Ordering::Relaxed)).unwrap_or(i64::MAX));
    let done = match job.action {
        Action::Retry => "tried again",
        Action::Cancel => "canceled",
    };
    html! {
        @match job.end.get() {
            None => p { progress aria-label="Under way" {} " Under way. This page may be left." },
            Some(Ok(())) => p .good { "Done." },
            Some(Err(why)) => p .bad role="alert" { "It ended early: " (sentence(why)) },
        }
        p #counts {
            (thousands(changed)) " " (done) " of " (thousands(looked_at)) " looked at"
            @if missed > 0 { ", " (thousands(missed)) " changed in the meantime and left alone" }
            "."
        }
    }
}
