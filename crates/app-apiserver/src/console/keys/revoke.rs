//! Revoking a key: told first what it means, since nothing brings it back; then done.

use app_db::audit;
use app_db::keys::{self, ApiKey, Revocation, Role};
use axum::Extension;
use axum::extract::{Path, State};
use axum::response::Response;
use maud::{Markup, html};
use serde_json::json;
use uuid::Uuid;

use super::last_used;
use crate::App;
use crate::audit::Actor;
use crate::authentication::Caller;
use crate::console::form;
use crate::console::layout::{self, Section};
use crate::console::trouble::{Trouble, sentence};
use crate::console::words::{ago, exact};
use crate::problem::Problem;

fn not_found() -> Problem {
    let detail = "there is no valid key of this id: it was revoked before, or never made; Keys lists them";
    Problem::not_found("key_not_found", detail)
}

/// Says what would be done.
pub(in crate::console) async fn confirm(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, Trouble> {
    let all = keys::list(&*app.database().await?).await?;
    let valid = || all.iter().filter(|key| key.revoked_at.is_none());
    let key = valid().find(|key| key.id.to_string() == id).ok_or_else(not_found)?;
    let operator_is_left = valid().any(|other| other.role == Role::Operator && other.id != key.id);
    let now = app.clock.now();
    let main = html! {
        h1 { "Revoke the key " (key.name) "?" }
        dl .details {
            dt { "Begins with" } dd { code { (key.prefix) "…" } }
            dt { "Role" } dd { (key.role.as_str()) }
            dt { "Made" } dd { (exact(key.created_at)) " (" (ago(key.created_at, now)) ")" }
            dt { "Last used" } dd { (last_used(key, now)) }
        }
        @if operator_is_left {
            (consequence(key, caller))
            form .row method="post" action={ "/keys/" (key.id) "/revoke" } {
                button type="submit" { "Revoke " (key.name) }
                a href="/keys" { "Back" }
            }
        } @else {
            p .bad { (sentence(&why_it_stays(key.id))) }
            p { a href="/keys" { "Back" } }
        }
    };
    Ok(layout::still(&app, caller, Section::Keys, "Revoke a key", &main))
}

fn consequence(key: &ApiKey, caller: Caller) -> Markup {
    html! {
        p {
            "Whatever uses it is answered 401 within two seconds. "
            @if key.role == Role::Operator { "Who is logged in with it is logged out. " }
            "It cannot be made valid again."
        }
        @if caller == Caller::Key(key.id) {
            p .bad { "You are logged in with this key: you are logged out, and need another operator's key to log in." }
        }
    }
}

pub(in crate::console) async fn revoke(
    State(app): State<App>,
    Extension(actor): Extension<Actor>,
    Path(id): Path<String>,
) -> Result<Response, Trouble> {
    let id: Uuid = id.parse().map_err(|_| not_found())?;
    let mut database = app.database().await?;
    let transaction = app_db::begin(&mut database).await?;
    match keys::revoke_unless_last_within(&transaction, id).await? {
        Revocation::Revoked => {}
        Revocation::NoSuchKey => return Err(not_found().into()),
        Revocation::WouldLeaveNoOperator => {
            return Err(Problem::conflict("last_operators_key", why_it_stays(id)).into());
        }
    }
    audit::write(&transaction, &actor.entry(&app, "key.revoke", id.to_string(), json!({}))).await?;
    app_db::commit(transaction).await?;
    app.keys.read(&database).await?;
    Ok(form::see("/keys"))
}

fn why_it_stays(id: Uuid) -> String {
    format!(
        "this is the last valid key of an operator: without it no person can log in here; make another operator's key \
         first, or run `app keys revoke {id}` where the server runs"
    )
}
