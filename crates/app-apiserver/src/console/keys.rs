//! API keys: making one, which is shown once, and revoking one. Every page here is an operator's.

mod revoke;

use app_db::audit;
use app_db::keys::{self, ApiKey, Role};
use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;
use http::header::SET_COOKIE;
use http::{HeaderValue, StatusCode};
use jiff::Timestamp;
use maud::{Markup, html};
use serde_json::json;
use uuid::Uuid;

pub(super) use self::revoke::{confirm, revoke};
use super::layout::{self, Section};
use super::trouble::Trouble;
use super::words::ago;
use super::{form, session};
use crate::App;
use crate::audit::Actor;
use crate::authentication::Caller;
use crate::fields::{Fields, Text};
use crate::problem::Problem;

const NAME_CHARS_MAX: usize = 100;
const ID_CHARS_MAX: usize = 36;
/// Many times what a key takes.
const RANDOM_BYTES: usize = 512;

pub(super) async fn show(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, Trouble> {
    page(&app, caller, &Said::Nothing).await
}

/// What became of a form.
enum Said {
    Nothing,
    Made {
        key: ApiKey,
        secret: String,
    },
    /// It had made this key before.
    MadeBefore(Uuid),
}

async fn page(app: &App, caller: Caller, said: &Said) -> Result<Response, Trouble> {
    let all = keys::list(&*app.database().await?).await?;
    let now = app.clock.now();
    let main = html! {
        h1 { "API keys" }
        @match said {
            Said::Nothing => {}
            Said::Made { key, secret } => div .made role="status" {
                p { "This is the key " b { (key.name) } ". It is not shown again:" }
                div .curl {
                    pre #made tabindex="0" { (secret) }
                    button type="button" .plain data-copy="made" { "Copy" }
                }
            },
            Said::MadeBefore(id) => p .bad role="alert" {
                "This form was sent before and made a key then"
                @if let Some(key) = all.iter().find(|key| key.id == *id) { ": " (key.name) ", " (key.prefix) "…" }
                ". It is in the list below; its secret cannot be shown again. If you have not seen it, revoke that key "
                "and make another."
            },
        }
        @if all.iter().all(|key| key.revoked_at.is_some()) {
            p {
                "There is no key: every program on this machine may do everything here. With the first key, every client "
                "needs one, and so does this console, for good. It is an operator's; you stay logged in here."
            }
        }
        (make_one(caller, keys::new_id(&app.ids, now)))
        (table(&all, caller, now))
    };
    Ok(layout::still(app, caller, Section::Keys, "API keys", &main))
}

/// What a key of this role may do, for people.
fn about(role: Role) -> &'static str {
    match role {
        Role::Operator => "everything: the API, and this console with keys, providers and jobs",
        Role::Application => "send and read messages through the API; not this console",
    }
}

/// Whoever makes the first key is logged in by it, which only an operator's key does.
fn roles_for(caller: Caller) -> &'static [Role] {
    match caller {
        Caller::Anyone => &[Role::Operator],
        Caller::Key(_) => &[Role::Application, Role::Operator],
    }
}

/// `once` is the id of the key that the form will make, so that a form which is sent twice (a double click, a page that is
/// loaded again) makes one.
fn make_one(caller: Caller, once: Uuid) -> Markup {
    let roles = roles_for(caller);
    html! {
        form method="post" action="/keys" {
            // A browser that loads the page again would keep what was in it.
            input type="hidden" name="once" value=(once) autocomplete="off";
            div .row {
                label for="name" { "Name" }
                input #name name="name" required maxlength=(NAME_CHARS_MAX) placeholder="whose key it is"
                    autocomplete="off";
                label for="role" { "Role" }
                select #role name="role" aria-describedby="roles" {
                    @for role in roles { option value=(role.as_str()) { (role.as_str()) } }
                }
                button type="submit" { "Make a key" }
            }
            dl #roles .details {
                @for role in roles { dt { (role.as_str()) } dd { (about(*role)) } }
            }
        }
    }
}

fn table(all: &[ApiKey], caller: Caller, now: Timestamp) -> Markup {
    html! {
        @if !all.is_empty() {
            div .wide tabindex="0" role="region" aria-label="Keys" {
                table {
                    thead {
                        tr {
                            th scope="col" { "Name" } th scope="col" { "Begins with" }
                            th scope="col" { "Role" } th scope="col" { "Made" } th scope="col" { "Last used" }
                            th scope="col" { "State" }
                        }
                    }
                    tbody { @for key in all { (row(key, caller, now)) } }
                }
            }
        }
    }
}

fn row(key: &ApiKey, caller: Caller, now: Timestamp) -> Markup {
    html! {
        tr {
            td { (key.name) @if caller == Caller::Key(key.id) { " " span .quiet { "(you)" } } }
            td { code { (key.prefix) "…" } }
            td { (key.role.as_str()) }
            td { (ago(key.created_at, now)) }
            td { (last_used(key, now)) }
            td {
                @match key.revoked_at {
                    Some(at) => { "revoked " (ago(at, now)) }
                    None => a href={ "/keys/" (key.id) "/revoke" } { "Revoke " (key.name) "…" },
                }
            }
        }
    }
}

/// A login counts as a use; what is then done in the console does not.
fn last_used(key: &ApiKey, now: Timestamp) -> Markup {
    html! {
        @match key.last_used_at {
            Some(at) => (ago(at, now)),
            None => span .quiet { "no use noted yet" },
        }
    }
}

/// The role that is wanted, or else the lesser one that can be had.
fn role(fields: &mut Fields, caller: Caller) -> Role {
    let roles = roles_for(caller);
    let wanted = fields.word("role", &Role::ALL.map(Role::as_str)).unwrap_or(roles[0]);
    if !roles.contains(&wanted) {
        fields.wrong("role", "out_of_range", "must be operator: the first key logs its maker in here");
    }
    wanted
}

fn once(fields: &mut Fields) -> Uuid {
    let id = fields.required_text("once", Text::Line, ID_CHARS_MAX).unwrap_or_default();
    let id = Uuid::try_parse(&id).ok().filter(|id| model::id::is_ours(*id));
    if id.is_none() {
        fields.wrong("once", "invalid_id", "is not what the page had; load the page again");
    }
    id.unwrap_or_default()
}

pub(super) async fn create(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Extension(actor): Extension<Actor>,
    request: Request,
) -> Result<Response, Trouble> {
    let mut fields = form::read(&app, request).await?;
    let name = fields.required_text("name", Text::Line, NAME_CHARS_MAX).unwrap_or_default();
    if name.trim().is_empty() {
        fields.wrong("name", "required", "is required");
    }
    let role = role(&mut fields, caller);
    let once = once(&mut fields);
    fields.finish()?;
    let mut random = [0_u8; RANDOM_BYTES];
    getrandom::fill(&mut random).map_err(|error| Problem::internal().because(error))?;
    let mut bytes = random.into_iter().cycle();
    let mut next = || bytes.next().unwrap_or_default();
    let Some((secret, key, cookie)) = make(&app, caller, actor, once, name.trim(), role, &mut next).await?
    else {
        let mut response = page(&app, caller, &Said::MadeBefore(once)).await?;
        *response.status_mut() = StatusCode::CONFLICT;
        return Ok(response);
    };
    let caller = if cookie.is_some() { Caller::Key(key.id) } else { caller };
    let mut response = page(&app, caller, &Said::Made { key, secret }).await?;
    if let Some(cookie) = cookie {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    Ok(response)
}

/// The key, and the cookie of its session where a server that was open is closed by it: its maker stays logged in. Nothing
/// where the form made a key before.
async fn make(
    app: &App,
    caller: Caller,
    actor: Actor,
    once: Uuid,
    name: &str,
    role: Role,
    random: &mut (dyn FnMut() -> u8 + Send),
) -> Result<Option<(String, ApiKey, Option<HeaderValue>)>, Problem> {
    let mut database = app.database().await?;
    let transaction = app_db::begin(&mut database).await?;
    let Some((secret, key)) = keys::create_once(&transaction, once, name, role, random).await? else {
        return Ok(None);
    };
    let detail = json!({ "name": name, "role": role });
    audit::write(&transaction, &actor.entry(app, "key.create", key.id.to_string(), detail)).await?;
    let cookie = match caller {
        Caller::Anyone => Some(session::open(app, &transaction, key.id).await?),
        Caller::Key(_) => None,
    };
    app_db::commit(transaction).await?;
    // Here at once, elsewhere within two seconds.
    app.keys.read(&database).await?;
    Ok(Some((secret, key, cookie)))
}
