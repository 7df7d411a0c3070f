//! Doing something about everything that a filter matches: told first, then done, with its progress on a page.

mod job;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Path, RawQuery, Request, State};
use axum::response::Response;
use maud::{Markup, html};
use tokio::time::Instant;

pub(super) use self::job::Jobs;
use self::job::{Action, Job, count};
use super::form::{self, see};
use super::layout::{self, Section};
use super::live;
use super::narrowed::Narrowed;
use super::trouble::{Trouble, sentence};
use super::words::thousands;
use crate::App;
use crate::authentication::Caller;
use crate::fields::{Fields, Text};

/// What would be done is counted for about so long; beyond, it is "at least".
const COUNTED_FOR: Duration = Duration::from_millis(50);

fn read(app: &App, mut fields: Fields) -> Result<(Action, Narrowed), Trouble> {
    let action = fields.text("action", Text::Line, 20).unwrap_or_default().parse()?;
    // What is told is what is meant: time does not go on in between.
    Ok((action, Narrowed::read(app, fields)?.at_fixed_times()))
}

/// Says what would be done.
pub(super) async fn confirm(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result<Response, Trouble> {
    let (action, narrowed) = read(&app, Fields::of_query(query.as_deref()))?;
    let (began, mut found) = (Instant::now(), 0);
    let all = count(&app, action, &narrowed.filter, |so_far| {
        found = so_far;
        if began.elapsed() < COUNTED_FOR { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })
    .await?;
    let word = action.word();
    let main = html! {
        h1 { (title(action, &narrowed)) }
        p {
            @if !all { "At least " } (thousands_of(found)) " of them can be: "
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
fn title(action: Action, of: &Narrowed) -> String {
    match action {
        Action::Retry => format!("Retry all: {}", of.in_words()),
        Action::Cancel => format!("Cancel all: {}", of.in_words()),
    }
}

fn thousands_of(number: u64) -> String {
    thousands(i64::try_from(number).unwrap_or(i64::MAX))
}

pub(super) async fn start(State(app): State<App>, request: Request) -> Result<Response, Trouble> {
    let (action, narrowed) = read(&app, form::read(&app, request).await?)?;
    let job = app.console.bulk.begin(&app, action, narrowed);
    Ok(see(&format!("/bulk/{}", job.id)))
}

pub(super) async fn stop(State(app): State<App>, Path(id): Path<String>) -> Result<Response, Trouble> {
    let job = app.console.bulk.find(&id)?;
    job.stop();
    Ok(see(&format!("/bulk/{}", job.id)))
}

/// What this server is at, above the list of messages.
pub(super) fn under_way(app: &App) -> Markup {
    let jobs = app.console.bulk.under_way();
    html! {
        @for job in &jobs {
            p { "Under way: " a href={ "/bulk/" (job.id) } { (title(job.action, &job.narrowed)) } }
        }
    }
}

pub(super) async fn show(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, Trouble> {
    let job = app.console.bulk.find(&id)?;
    let main = html! {
        h1 { (title(job.action, &job.narrowed)) }
        (live::region("job", &format!("/live/bulk/{}", job.id), &progress(&job)))
        p { a href=(job.narrowed.path("/messages", &[])) { "The messages" } }
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

fn progress(job: &Arc<Job>) -> Markup {
    let [counted, changed, missed] =
        [&job.counted, &job.changed, &job.missed].map(|count| count.load(Ordering::Relaxed));
    // What has come to fit since it began is done too.
    let total = counted.max(changed + missed);
    let done = match job.action {
        Action::Retry => "tried again",
        Action::Cancel => "canceled",
    };
    html! {
        @match job.end.get() {
            None => {
                div .row {
                    @if job.is_counted.get().is_some() {
                        progress aria-label=(done) max=(total) value=(changed + missed) {}
                    } @else {
                        progress aria-label="Counting" {}
                    }
                    form method="post" action={ "/bulk/" (job.id) "/stop" } {
                        button .plain type="submit" { "Stop" }
                    }
                }
                p .quiet { "This page may be left." }
            }
            Some(Ok(())) => p .good { "Done." },
            Some(Err(why)) => p .bad role="alert" {
                "It ended early: " (sentence(why)) " "
                a href=(job.narrowed.path("/bulk", &[("action", Some(job.action.word()))])) { "Go on with what is left" }
            },
        }
        p #counts {
            @if job.is_counted.get().is_some() || job.end.get().is_some() {
                (thousands_of(changed)) " of " (thousands_of(total)) " " (done)
                @if missed > 0 { ", " (thousands_of(missed)) " changed in the meantime and left alone" }
                "."
            } @else {
                "Counting them: " (thousands_of(counted)) " so far."
            }
        }
    }
}
