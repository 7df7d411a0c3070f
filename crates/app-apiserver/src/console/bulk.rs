//! Doing something about all messages that a filter matches: told and counted first, then done as a job.

mod task;

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Extension;
use axum::extract::{RawQuery, Request, State};
use axum::response::Response;
use maud::{Markup, html};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::task::{Action, Task};
use super::form::{self, see};
use super::jobs::Work as _;
use super::layout::{self, Section};
use super::live::{self, At};
use super::narrowed::Narrowed;
use super::session::Session;
use super::trouble::{Trouble, sentence};
use super::words::thousands;
use crate::App;
use crate::audit::Actor;
use crate::authentication::Caller;
use crate::fields::{Fields, Text};
use crate::problem::Problem;
use crate::times;

/// What would be done is counted for about so long before the page is shown; beyond, it counts on while it is open.
const COUNTED_FOR: Duration = Duration::from_millis(50);

fn read(app: &App, mut fields: Fields) -> Result<Task, Trouble> {
    let action = fields.text("action", Text::Line, 20).unwrap_or_default().parse()?;
    // What was told is what is meant: time does not go on between the confirmation and the click.
    let as_of = fields.time("as_of").unwrap_or_else(|| app.clock.now());
    Ok(Task { action, narrowed: Narrowed::read(app, fields)?.at_fixed_times(), as_of })
}

/// Says what would be done.
pub(super) async fn confirm(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result<Response, Trouble> {
    let task = read(&app, Fields::of_query(query.as_deref()))?;
    let (began, mut found) = (Instant::now(), 0);
    let all = task
        .count(&app, |so_far| {
            found = so_far;
            if began.elapsed() < COUNTED_FOR { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })
        .await?;
    let word = task.action.word();
    let told = told(found, all);
    let (as_of, so_far) = (times::format(task.as_of), found.to_string());
    let more = [("action", Some(word)), ("as_of", Some(as_of.as_str())), ("found", Some(so_far.as_str()))];
    let live_path = task.narrowed.path("/live/bulk", &more);
    let main = html! {
        h1 { (task.title()) }
        @if all { div { (told) } } @else { (live::region("count", &live_path, &told)) }
        p {
            @match task.action {
                Action::Retry => {
                    "What failed and what is held, but for what somebody canceled. A message that is held may be sent twice."
                }
                Action::Cancel => {
                    "What no processor has in hand, also what is scheduled for later. They fail as canceled."
                }
            }
        }
        form .row method="post" action="/bulk" {
            input type="hidden" name="action" value=(word);
            input type="hidden" name="as_of" value=(times::format(task.as_of));
            @for (name, text) in &task.narrowed.said { input type="hidden" name=(name) value=(text); }
            @if found > 0 || !all { button type="submit" { (sentence(word).trim_end_matches('.')) " all" } }
            a href=(task.narrowed.path("/messages", &[])) { "Back" }
        }
    };
    // A page has one stream.
    let page = if all { layout::still } else { layout::page };
    Ok(page(&app, caller, Section::Messages, "All that match", &main))
}

fn told(found: i64, is_all: bool) -> Markup {
    html! {
        p { b { (thousands(found)) } @if is_all { " of them can be." } @else { " of them can be so far; counting…" } }
    }
}

/// Counts all of them, as long as somebody looks: one question at a time.
pub(super) async fn count(
    State(app): State<App>,
    Extension(session): Extension<Session>,
    RawQuery(query): RawQuery,
) -> Result<Response, Trouble> {
    let mut fields = Fields::of_query(query.as_deref());
    // By the question itself.
    let found_first = fields.text("found", Text::Line, 20).and_then(|text| text.parse().ok()).unwrap_or(0);
    let task = read(&app, fields)?;
    let found = Arc::new(AtomicI64::new(0));
    let end: Arc<OnceLock<bool>> = Arc::default();
    let looks = CancellationToken::new();
    let is_watched = looks.clone().drop_guard();
    let (counting, counted, ended) = (app.clone(), Arc::clone(&found), Arc::clone(&end));
    tokio::spawn(async move {
        let goes_on = |so_far| {
            counted.store(so_far, Ordering::Relaxed);
            let is_over = looks.is_cancelled() || counting.shutdown.is_cancelled();
            if is_over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let turn = tokio::select! {
            turn = counting.console.counting.acquire() => turn,
            () = looks.cancelled() => return,
        };
        let all = task.count(&counting, goes_on).await;
        drop(turn);
        // Nobody else says so.
        let _ = ended.set(all.is_ok_and(|all| all));
    });
    live::stream(app, session, At::Other, move |_| {
        let _ = &is_watched;
        let found = found.load(Ordering::Relaxed);
        let told = match end.get() {
            Some(true) => Ok(told(found, true)),
            None => Ok(told(found.max(found_first), false)),
            // The page asks again.
            Some(false) => Err(Problem::overloaded()),
        };
        async { told }
    })
    .await
}

pub(super) async fn start(
    State(app): State<App>,
    Extension(session): Extension<Session>,
    Extension(actor): Extension<Actor>,
    request: Request,
) -> Result<Response, Trouble> {
    let task = read(&app, form::read(&app, request).await?)?;
    let job = app.console.jobs.begin(&app, session, actor, task).await?;
    Ok(see(&job.page()))
}
