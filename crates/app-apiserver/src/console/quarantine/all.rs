//! Everything in quarantine that a filter matches: told first, then processed with its progress on a page, or forgotten.

use std::str::FromStr;
use std::sync::atomic::Ordering;

use app_db::quarantine::{self, Reason, Which};
use axum::Extension;
use axum::extract::{RawQuery, Request, State};
use axum::response::Response;
use maud::{Markup, html};
use uuid::Uuid;

use super::job::Job;
use super::which::{in_words, path, read};
use crate::App;
use crate::authentication::Caller;
use crate::console::form::{self, see};
use crate::console::layout::{self, Section};
use crate::console::live::{self, At};
use crate::console::session::Session;
use crate::console::trouble::{Trouble, sentence};
use crate::console::words::thousands;
use crate::fields::{Fields, Text};
use crate::problem::Problem;
use crate::receive_webhook::replay::Grounds;

const TITLE: &str = "All in quarantine";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Process,
    Trust,
    Forget,
}

impl FromStr for Action {
    type Err = Problem;

    fn from_str(word: &str) -> Result<Self, Problem> {
        match word {
            "process" => Ok(Self::Process),
            "trust" => Ok(Self::Trust),
            "forget" => Ok(Self::Forget),
            _ => Err(Problem::bad_request("unknown_action", "action must be one of process, trust, forget")),
        }
    }
}

impl Action {
    fn word(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Trust => "trust",
            Self::Forget => "forget",
        }
    }
}

/// Nobody can vouch for all that strangers send: it must be said who is meant to have sent it.
pub(super) fn may_be_trusted(which: &Which) -> bool {
    which.reason == Some(Reason::Unverified) && which.provider_id.is_some()
}

fn read_action(mut fields: Fields) -> Result<(Action, Which), Problem> {
    let action = fields.text("action", Text::Line, 20).unwrap_or_default().parse()?;
    let which = read(fields)?;
    if action == Action::Trust && !may_be_trusted(&which) {
        let detail = "only what is not verified, of one provider, can be trusted together";
        return Err(Problem::bad_request("not_to_be_trusted", detail));
    }
    Ok((action, which))
}

/// Says what would be done.
pub(in crate::console) async fn confirm(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result<Response, Trouble> {
    let (action, mut which) = read_action(Fields::of_query(query.as_deref()))?;
    let (count, newest) = quarantine::count(&*app.database().await?, &which).await?;
    // What comes from now on was not looked at, and is not meant.
    which.up_to = which.up_to.or(newest).or(Some(Uuid::nil()));
    let (title, button) = match action {
        Action::Process => ("Process all again", "Process all again"),
        Action::Trust => ("Trust all", "Trust all, and process"),
        Action::Forget => ("Forget all", "Forget all"),
    };
    let main = html! {
        h1 { (title) ": " (in_words(&which)) }
        p { (thousands(count)) @if count == 1 { " webhook." } @else { " webhooks." } " " (consequence(action)) }
        form .row method="post" action="/quarantine/all" {
            input type="hidden" name="action" value=(action.word());
            input type="hidden" name="reason" value=(which.reason.map_or("", Reason::as_str));
            input type="hidden" name="provider" value=(which.provider_id.as_deref().unwrap_or_default());
            input type="hidden" name="up_to" value=(which.up_to.map(|id| id.to_string()).unwrap_or_default());
            @if count > 0 { button type="submit" { (button) } }
            a href=(path(&which, "/quarantine", &[])) { "Back" }
        }
    };
    Ok(layout::still(&app, caller, Section::Quarantine, TITLE, &main))
}

fn consequence(action: Action) -> &'static str {
    match action {
        Action::Process => {
            "They are taken in one by one, the oldest first, with the configuration as it is now. What was not verified \
             when it came is verified as of then. What still cannot be taken in stays."
        }
        Action::Trust => {
            "None of them proves who sent it: anybody who knows this server's address can have written any of them. If \
             you know that they are genuine, because a secret was changed or a key is lost, they are taken in as if they \
             had been verified. The log says that you did this."
        }
        Action::Forget => {
            "They are lost for good, and with them any message or receipt that they bring, unless it is delivered once \
             more."
        }
    }
}

pub(in crate::console) async fn act(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Extension(session): Extension<Session>,
    request: Request,
) -> Result<Response, Trouble> {
    let (action, which) = read_action(form::read(&app, request).await?)?;
    let grounds = match action {
        Action::Process => Grounds::Proof,
        Action::Trust => Grounds::Word(caller),
        Action::Forget => {
            quarantine::remove_all(&*app.database().await?, &which).await?;
            return Ok(see(&path(&which, "/quarantine", &[])));
        }
    };
    app.console.quarantine.begin(&app, session, which, grounds).await?;
    Ok(see("/quarantine/job"))
}

pub(in crate::console) async fn stop(State(app): State<App>) -> Result<Response, Trouble> {
    app.console.quarantine.latest()?.stop();
    Ok(see("/quarantine/job"))
}

/// What this server is at, above the list.
pub(super) fn under_way(app: &App) -> Markup {
    let job = app.console.quarantine.latest().ok().filter(|job| job.end.get().is_none());
    html! {
        @if let Some(job) = job { p { "Under way: " a href="/quarantine/job" { (title(&job)) } } }
    }
}

fn title(job: &Job) -> String {
    let what = match job.grounds {
        Grounds::Proof => "Process all again",
        Grounds::Word(_) => "Trust all",
    };
    format!("{what}: {}", in_words(&job.which))
}

pub(in crate::console) async fn show(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, Trouble> {
    let job = app.console.quarantine.latest()?;
    let main = live::region("job", "/live/quarantine/job", &progress(&job));
    Ok(layout::page(&app, caller, Section::Quarantine, TITLE, &main))
}

pub(in crate::console) async fn live(
    State(app): State<App>,
    Extension(session): Extension<Session>,
) -> Result<Response, Trouble> {
    let job = app.console.quarantine.latest()?;
    live::stream(app, session, At::Other, move |_| {
        let markup = progress(&job);
        async move { Ok(markup) }
    })
    .await
}

fn progress(job: &Job) -> Markup {
    let [taken, left] = [&job.taken, &job.left].map(|count| count.load(Ordering::Relaxed));
    let total = job.total.max(taken + left);
    html! {
        h1 { (title(job)) }
        @match job.end.get() {
            None => {
                div .row {
                    progress aria-label="Processed" max=(total) value=(taken + left) {}
                    form method="post" action="/quarantine/job/stop" {
                        button .plain type="submit" { "Stop" }
                    }
                }
                p .quiet { "This page may be left." }
            }
            Some(Ok(())) => p .good { "Done." },
            Some(Err(why)) => {
                p .bad role="alert" { "It ended early: " (sentence(why)) " What was not reached is as it was." }
            }
        }
        p #counts {
            (thousands(taken)) " of " (thousands(total)) " taken in"
            @if left > 0 { ", " (thousands(left)) " still cannot be: each says why" }
            "."
        }
        p { a href=(path(&job.which, "/quarantine", &[])) { "What is in quarantine now" } }
    }
}
