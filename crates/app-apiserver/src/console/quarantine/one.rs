//! One kept webhook: processing it again, vouching for it, forgetting it. What cannot be taken back is asked first.

use app_db::audit;
use app_db::quarantine::{self, Delivery, Reason, Reception, Which};
use axum::Extension;
use axum::extract::{Path, State};
use axum::response::Response;
use maud::{Markup, html};
use serde_json::json;

use super::Done;
use super::which::meaning;
use crate::App;
use crate::audit::Actor;
use crate::authentication::Caller;
use crate::console::form::see;
use crate::console::layout::{self, Section};
use crate::console::trouble::{Trouble, sentence};
use crate::console::words::{exact, thousands};
use crate::receive_webhook::replay::{self, Grounds};
use crate::webhook_deliveries::find;

/// Of a body, what a page shows.
const BODY_BYTES_MAX: usize = 64 << 10;

pub(in crate::console) async fn show(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, Trouble> {
    let (delivery, reception) = find(&app, &id).await?;
    Ok(page(&app, caller, &delivery, &reception, None))
}

fn page(
    app: &App,
    caller: Caller,
    delivery: &Delivery,
    reception: &Reception,
    wrong: Option<&str>,
) -> Response {
    let main = html! {
        h1 { "Webhook of " (delivery.provider_id) ": " (meaning(delivery.reason)) }
        p .answer { (sentence(&delivery.detail)) }
        @if let Some(wrong) = wrong { p .bad role="alert" { (sentence(wrong)) } }
        div .row {
            @if !delivery.is_cut {
                form method="post" action={ "/quarantine/" (delivery.id) "/replay" } {
                    button type="submit" { "Process again" }
                }
                @if delivery.reason == Reason::Unverified { (ask_first(delivery, "trust", "Trust it…")) }
            }
            (ask_first(delivery, "forget", "Forget it…"))
            a href="/quarantine" { "All" }
        }
        p .quiet { (hint(delivery)) }
        (request(delivery))
        p .quiet { (received(reception)) }
    };
    layout::still(app, caller, Section::Quarantine, "Webhook", &main)
}

fn received(reception: &Reception) -> Markup {
    html! {
        "Received " (exact(reception.received_at))
        @if let Some(peer) = &reception.peer { " from " (peer) }
        @if reception.deliveries > 1 {
            ", " (thousands(reception.deliveries)) " times, the last one " (exact(reception.last_received_at))
        }
        "."
    }
}

fn ask_first(delivery: &Delivery, action: &str, text: &str) -> Markup {
    html! {
        form method="get" action={ "/quarantine/" (delivery.id) "/" (action) } {
            button type="submit" .plain { (text) }
        }
    }
}

fn hint(delivery: &Delivery) -> String {
    match delivery.reason {
        _ if delivery.is_cut => sentence(&replay::cut()),
        Reason::Unverified => "It is verified again as of when it came, with the configuration as it is now: put right \
             what is wrong first. Passwords and tokens that it brought are not kept: where they are its proof, and you \
             know that it is genuine, trust it."
            .to_owned(),
        Reason::Unparsable => {
            "It was verified when it came, as far as the configuration wanted, and is not verified again.".to_owned()
        }
        Reason::Unmatched => {
            "It was verified when it came. It is applied by itself once its message has been sent.".to_owned()
        }
    }
}

fn request(delivery: &Delivery) -> Markup {
    let body = String::from_utf8_lossy(&delivery.body[..delivery.body.len().min(BODY_BYTES_MAX)]);
    html! {
        h2 { "Request" }
        pre tabindex="0" { (delivery.method) " " (delivery.target) "\n" (headers(delivery)) }
        h2 { "Body" }
        pre tabindex="0" { (body) }
        @if delivery.body.len() > BODY_BYTES_MAX { p .quiet { "The rest is not shown." } }
    }
}

fn headers(delivery: &Delivery) -> String {
    let mut lines = String::new();
    for (name, values) in delivery.headers.as_object().into_iter().flatten() {
        for value in values.as_array().into_iter().flatten().filter_map(serde_json::Value::as_str) {
            lines.push_str(&format!("{name}: {value}\n"));
        }
    }
    lines
}

pub(in crate::console) async fn replay(
    app: State<App>,
    caller: Extension<Caller>,
    Extension(actor): Extension<Actor>,
    id: Path<String>,
) -> Result<Response, Trouble> {
    process(app, caller, actor, id, Grounds::Proof).await
}

pub(in crate::console) async fn trust(
    app: State<App>,
    caller: Extension<Caller>,
    Extension(actor): Extension<Actor>,
    id: Path<String>,
) -> Result<Response, Trouble> {
    process(app, caller, actor, id, Grounds::Word(actor)).await
}

async fn process(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    actor: Actor,
    Path(id): Path<String>,
    grounds: Grounds,
) -> Result<Response, Trouble> {
    let (delivery, reception) = find(&app, &id).await?;
    match replay::replay(&app, delivery, reception.received_at, grounds, Some(actor)).await {
        Ok(()) => Ok(see(&Done::Taken.path(&Which::default()))),
        Err(problem) if problem.status().is_client_error() => {
            // As it is now: what is wrong with it may have been noted.
            let (delivery, reception) = find(&app, &id).await?;
            Ok(page(&app, caller, &delivery, &reception, Some(&problem.summary())))
        }
        Err(problem) => Err(problem.into()),
    }
}

pub(in crate::console) async fn confirm_trust(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, Trouble> {
    let (delivery, Reception { received_at, .. }) = find(&app, &id).await?;
    let main = html! {
        h1 { "Trust this webhook?" }
        p {
            "It does not prove that " b { (delivery.provider_id) } " sent it: anybody who knows this server's address can "
            "have written what came at " (exact(received_at)) "."
        }
        p {
            "If you know that it is genuine, because a secret was changed or a key is lost, it is taken in as if it had "
            "been verified. The log says that you did this."
        }
        (decide(&delivery, "trust", "Trust it, and process"))
        (request(&delivery))
    };
    Ok(layout::still(&app, caller, Section::Quarantine, "Trust it?", &main))
}

pub(in crate::console) async fn confirm_forget(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, Trouble> {
    let (delivery, Reception { received_at, .. }) = find(&app, &id).await?;
    let bytes = i64::try_from(delivery.body.len()).unwrap_or(i64::MAX);
    let main = html! {
        h1 { "Forget this webhook?" }
        p {
            "What " b { (delivery.provider_id) } " delivered at " (exact(received_at)) ", " (thousands(bytes)) " bytes, "
            "is lost for good"
            @match delivery.reason {
                Reason::Unmatched => ", and with it what it says of a message's delivery.",
                Reason::Unverified | Reason::Unparsable => {
                    ", and with it any message or receipt that it brings, unless it is delivered once more."
                }
            }
        }
        (decide(&delivery, "forget", "Forget it"))
        (request(&delivery))
    };
    Ok(layout::still(&app, caller, Section::Quarantine, "Forget it?", &main))
}

fn decide(delivery: &Delivery, action: &str, text: &str) -> Markup {
    html! {
        form .row method="post" action={ "/quarantine/" (delivery.id) "/" (action) } {
            button type="submit" { (text) }
            a href={ "/quarantine/" (delivery.id) } { "Back" }
        }
    }
}

pub(in crate::console) async fn forget(
    State(app): State<App>,
    Extension(actor): Extension<Actor>,
    Path(id): Path<String>,
) -> Result<Response, Trouble> {
    let (delivery, _) = find(&app, &id).await?;
    let mut database = app.database().await?;
    let transaction = app_db::begin(&mut database).await?;
    let is_gone = quarantine::remove(&transaction, delivery.id).await?;
    if is_gone {
        let detail = json!({ "provider_id": delivery.provider_id, "reason": delivery.reason.as_str() });
        let entry = actor.entry(&app, "webhook.forget", delivery.id.to_string(), detail);
        audit::write(&transaction, &entry).await?;
    }
    app_db::commit(transaction).await?;
    Ok(see(&Done::Forgotten(is_gone.into()).path(&Which::default())))
}
