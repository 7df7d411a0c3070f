//! Everything in quarantine that a filter matches: told first, then processed as a job, or
//! forgotten.

use std::str::FromStr;

use app_db::audit;
use app_db::quarantine::{self, Reason, Which};
use axum::Extension;
use axum::extract::{RawQuery, Request, State};
use axum::response::Response;
use maud::html;
use serde_json::json;
use uuid::Uuid;

use super::Done;
use super::task::Task;
use super::which::{in_words, path, read};
use crate::App;
use crate::audit::Actor;
use crate::authentication::Caller;
use crate::console::form::{self, see};
use crate::console::layout::{self, Section};
use crate::console::session::Session;
use crate::console::trouble::Trouble;
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
    let which = read(fields, &["action"])?;
    if action == Action::Trust && !may_be_trusted(&which) {
        let detail = "only what is not verified, of one provider, can be trusted together";
        return Err(Problem::bad_request("not_to_be_trusted", detail));
    }
    Ok((action, which))
}

/// How many they are, and only they: what comes from now on was not looked at, and is not meant.
async fn as_of_now(app: &App, which: Which) -> Result<(i64, Which), Problem> {
    let (count, newest) = quarantine::count(&*app.database().await?, &which).await?;
    let up_to = which.up_to.or(newest).or(Some(Uuid::nil()));
    Ok((count, Which { up_to, ..which }))
}

/// Says what would be done.
pub(in crate::console) async fn confirm(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result<Response, Trouble> {
    let (action, which) = read_action(Fields::of_query(query.as_deref()))?;
    let (count, which) = as_of_now(&app, which).await?;
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
    Extension(actor): Extension<Actor>,
    Extension(session): Extension<Session>,
    request: Request,
) -> Result<Response, Trouble> {
    let (action, which) = read_action(form::read(&app, request).await?)?;
    // A form that comes from the page says how far.
    let which = match (which.up_to, action) {
        (Some(_), _) => which,
        (None, Action::Process | Action::Trust) => as_of_now(&app, which).await?.1,
        (None, Action::Forget) => {
            let detail = "up_to is missing: what is to be forgotten is what somebody has looked at";
            return Err(Problem::bad_request("up_to_missing", detail).into());
        }
    };
    let grounds = match action {
        Action::Process => Grounds::Proof,
        Action::Trust => Grounds::Word(actor),
        Action::Forget => {
            let count = forget(&app, actor, &which).await?;
            tracing::warn!(
                api_key.id = actor.scope(),
                count,
                webhook.reason = which.reason.map(Reason::as_str),
                provider.id = which.provider_id,
                webhook.delivery_id_max = which.up_to.map(|id| id.to_string()),
                "kept webhooks were forgotten"
            );
            return Ok(see(&Done::Forgotten(count).path(&which)));
        }
    };
    let job = app.console.jobs.begin(&app, session, actor, Task { which, grounds }).await?;
    Ok(see(&job.page()))
}

async fn forget(app: &App, actor: Actor, which: &Which) -> Result<u64, Problem> {
    let mut database = app.database().await?;
    let transaction = app_db::begin(&mut database).await?;
    let count = quarantine::remove_all(&transaction, which).await?;
    let detail = json!({
        "count": count,
        "reason": which.reason.map(Reason::as_str),
        "provider_id": which.provider_id,
        "up_to": which.up_to,
    });
    audit::write(&transaction, &actor.entry(app, "webhook.forget_all", None, detail)).await?;
    app_db::commit(transaction).await?;
    Ok(count)
}
