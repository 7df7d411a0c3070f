//! Webhooks that were not taken: what came, why it was kept, and taking it in once that is put right.

use app_db::quarantine::{self, Delivery, Kept, Reason};
use axum::Extension;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use jiff::Timestamp;
use maud::{Markup, html};
use uuid::Uuid;

use super::form::{path_with, see};
use super::layout::{self, Section};
use super::trouble::{Trouble, sentence};
use super::words::{ago, cut, exact, thousands};
use crate::App;
use crate::authentication::Caller;
use crate::fields::{Fields, Text};
use crate::problem::Problem;
use crate::receive_webhook::replay::replay as play_again;

const ROWS: usize = 50;
/// Of a body, what a page shows.
const BODY_BYTES_MAX: usize = 64 << 10;

fn meaning(reason: Reason) -> &'static str {
    match reason {
        Reason::Unverified => "not verified",
        Reason::Unparsable => "not understood",
        Reason::Unmatched => "receipt without a message",
    }
}

pub(super) async fn show(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result<Response, Trouble> {
    let mut query = Fields::of_query(query.as_deref());
    let reason: Option<Reason> = query
        .text("reason", Text::Line, 20)
        .and_then(|word| Reason::ALL.into_iter().find(|reason| reason.as_str() == word));
    let before = query.text("before", Text::Line, 64).and_then(|id| Uuid::try_parse(&id).ok());
    let database = app.database().await?;
    let counts = quarantine::counts(&database).await?;
    let wanted = i64::try_from(ROWS + 1).unwrap_or(i64::MAX);
    let mut kept = quarantine::list(&database, reason, before, wanted).await?;
    drop(database);
    let more = kept.len() > ROWS;
    kept.truncate(ROWS);
    let last = kept.last().filter(|_| more).map(|kept| kept.id.to_string());
    let next = last
        .map(|id| path_with("/quarantine", &[("reason", reason.map(Reason::as_str)), ("before", Some(&id))]));
    let main = html! {
        h1 { "Quarantine" }
        p .quiet {
            "Webhooks that could not be verified or understood, and receipts that match no message yet (for 72 hours). "
            "Credentials are never kept."
        }
        p .row {
            a href="/quarantine" aria-current=[reason.is_none().then_some("true")] { "All" }
            @for (other, count) in &counts {
                a href=(path_with("/quarantine", &[("reason", Some(other.as_str()))]))
                    aria-current=[(reason == Some(*other)).then_some("true")] {
                    (meaning(*other)) " (" (thousands(*count)) ")"
                }
            }
        }
        (table(&kept, app.clock.now()))
        @if let Some(next) = next { p { a href=(next) { "Older" } } }
    };
    Ok(layout::page(&app, caller, Section::Quarantine, "Quarantine", &main))
}

fn table(kept: &[Kept], now: Timestamp) -> Markup {
    html! {
        @if kept.is_empty() {
            p { "Nothing is kept." }
        } @else {
            div .wide tabindex="0" role="region" aria-label="Kept webhooks" {
                table {
                    thead {
                        tr {
                            th scope="col" { "When" } th scope="col" { "Provider" } th scope="col" { "Why" }
                            th scope="col" { "What is wrong" } th scope="col" .number { "Bytes" }
                        }
                    }
                    tbody data-list {
                        @for one in kept {
                            tr {
                                td { a href={ "/quarantine/" (one.id) } { (ago(one.received_at, now)) } }
                                td { (one.provider_id) }
                                td { (meaning(one.reason)) }
                                td .text { (cut(&one.detail, 120)) }
                                td .number { (thousands(i64::from(one.body_bytes))) }
                            }
                        }
                    }
                }
            }
        }
    }
}

async fn find(app: &App, id: &str) -> Result<(Delivery, Timestamp), Problem> {
    let found = match Uuid::try_parse(id) {
        Ok(id) => quarantine::find(&*app.database().await?, id).await?,
        Err(_) => None,
    };
    found.ok_or_else(|| {
        let detail = "this webhook is no longer kept: it was taken in, forgotten, or made room";
        Problem::not_found("webhook_not_found", detail)
    })
}

pub(super) async fn show_one(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, Trouble> {
    let (delivery, received_at) = find(&app, &id).await?;
    Ok(page(&app, caller, &delivery, received_at, None))
}

fn page(
    app: &App,
    caller: Caller,
    delivery: &Delivery,
    received_at: Timestamp,
    wrong: Option<&str>,
) -> Response {
    let body = String::from_utf8_lossy(&delivery.body[..delivery.body.len().min(BODY_BYTES_MAX)]);
    let main = html! {
        h1 { "Webhook of " (delivery.provider_id) ": " (meaning(delivery.reason)) }
        p .answer { (sentence(&delivery.detail)) }
        @if let Some(wrong) = wrong { p .bad role="alert" { (sentence(wrong)) } }
        div .row {
            form method="post" action={ "/quarantine/" (delivery.id) "/replay" } {
                button type="submit" { "Take it in" }
            }
            form method="post" action={ "/quarantine/" (delivery.id) "/forget" } {
                button type="submit" .plain { "Forget it" }
            }
            a href="/quarantine" { "All" }
        }
        p .quiet { "It is verified again, as the configuration is now: put right what is wrong first." }
        h2 { "Request" }
        pre tabindex="0" { (delivery.method) " " (delivery.target) "\n" (headers(delivery)) }
        h2 { "Body" }
        pre tabindex="0" { (body) }
        @if delivery.body.len() > BODY_BYTES_MAX { p .quiet { "The rest is not shown." } }
        p .quiet { "Received " (exact(received_at)) "." }
    };
    layout::page(app, caller, Section::Quarantine, "Webhook", &main)
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

pub(super) async fn replay(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, Trouble> {
    let (delivery, received_at) = find(&app, &id).await?;
    match play_again(&app, delivery.clone()).await {
        Ok(()) => Ok(see("/quarantine")),
        Err(problem) if problem.status().is_client_error() => {
            Ok(page(&app, caller, &delivery, received_at, Some(&problem.summary())))
        }
        Err(problem) => Err(problem.into()),
    }
}

pub(super) async fn forget(State(app): State<App>, Path(id): Path<String>) -> Result<Response, Trouble> {
    let (delivery, _) = find(&app, &id).await?;
    quarantine::remove(&*app.database().await?, delivery.id).await?;
    Ok(see("/quarantine"))
}
