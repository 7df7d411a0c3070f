//! One message: why it is where it is in a sentence, what happened to it, who could carry it, and what can be done.

use app_db::messages::facts::Facts;
use axum::Extension;
use axum::extract::{Path, State};
use axum::response::Response;
use maud::{Markup, html};
use model::{Channel, Direction, Message};

use super::attachments::{Files, attachment};
use super::form::see;
use super::layout::{self, Section};
use super::live::{self, At};
use super::session::Session;
use super::timeline;
use super::trouble::Trouble;
use super::words::{as_text, chip, cut, exact, place_of};
use crate::App;
use crate::audit::Actor;
use crate::authentication::Caller;
use crate::explain::ExplanationJson;
use crate::messages::cancel_message::cancel as cancel_it;
use crate::messages::explain_message::explained;
use crate::messages::find;
use crate::messages::retry_message::retry as retry_it;

/// Of a body; strangers write megabytes.
/// Messages that were stored before attachments were bounded may have more.
const ATTACHMENTS_MAX: usize = 500;
const BODY_CHARS_MAX: usize = 100_000;

pub(super) async fn show(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, Trouble> {
    let (facts, explanation) = explained(&app, &id).await?;
    let message = &facts.message;
    let files = Files::of(&app, std::slice::from_ref(message), ATTACHMENTS_MAX).await?;
    let title = format!("{} to {}", message.channel, message.target.as_str());
    let main = html! {
        h1 { (message.channel) ": " (message.source.as_str()) " → " (message.target.as_str()) }
        (live::region("message", &format!("/live/messages/{}", message.id), &state(&facts, &explanation)))
        (content(message, &files))
        (as_curl(&app, message, caller))
    };
    Ok(layout::page(&app, caller, Section::Messages, &title, &main))
}

pub(super) async fn live(
    State(app): State<App>,
    Extension(session): Extension<Session>,
    Path(id): Path<String>,
) -> Result<Response, Trouble> {
    live::stream(app, session, At::Database, move |app| {
        let id = id.clone();
        async move {
            let (facts, explanation) = explained(&app, &id).await?;
            Ok(state(&facts, &explanation))
        }
    })
    .await
}

/// What changes.
fn state(facts: &Facts, explanation: &ExplanationJson) -> Markup {
    let message = &facts.message;
    html! {
        p .answer { (chip(place_of(message, facts.now))) " " (explanation.summary) }
        div .row { (actions(message)) }
        (timeline::timeline(facts))
        (candidates(explanation))
    }
}

fn actions(message: &Message) -> Markup {
    let id = message.id;
    html! {
        @if message.is_retryable() {
            form method="post" action={ "/messages/" (id) "/retry" } {
                button type="submit" { @if message.is_held() { "Send again, maybe twice" } @else { "Retry" } }
            }
        }
        @if message.is_cancelable() {
            form method="post" action={ "/messages/" (id) "/cancel" } { button type="submit" .plain { "Cancel" } }
        }
        a href={ "/conversations/" (message.conversation_id) } { "Conversation" }
        @if message.direction == Direction::Outbound { a href={ "/new?like=" (id) } { "Write the same again" } }
    }
}

fn candidates(explanation: &ExplanationJson) -> Markup {
    html! {
        @if let Some(route) = &explanation.route {
            h2 { "Route" }
            p {
                @match &route.name {
                    Some(name) => { "It matches the rule " code { (name) } "." }
                    None => "No rule matches it.",
                }
                @if let Some(avoid) = &route.avoid { " " (avoid) " failed it and comes last." }
                @if let Some(prefer) = &route.prefer { " The conversation uses " (prefer) ", which comes first." }
            }
            @if !explanation.candidates.is_empty() {
                ul {
                    @for candidate in &explanation.candidates {
                        li { b { (candidate.provider_id) } ": " (candidate.detail) }
                    }
                }
            }
        }
    }
}

/// What does not change.
fn content(message: &Message, files: &Files) -> Markup {
    let is_html = message.channel == Channel::Email && providers::is_html(&message.body);
    html! {
        h2 #content { "Content" }
        @if let Some(subject) = &message.subject { p { b { (subject) } } }
        @if is_html {
            iframe .mail sandbox="allow-popups allow-popups-to-escape-sandbox" src={ "/messages/" (message.id) "/html" } title="The email as it was written" {}
            details { summary { "As text" } p .body { (as_text(&cut(&message.body, BODY_CHARS_MAX), true)) } }
        } @else {
            p .body { (cut(&message.body, BODY_CHARS_MAX)) }
        }
        @if message.body.len() > BODY_CHARS_MAX && message.body.chars().count() > BODY_CHARS_MAX {
            p .quiet { "This is its beginning; the API has all of it." }
        }
        @if !message.attachments.is_empty() {
            h3 { "Attachments" }
            ul {
                @for link in message.attachments.iter().take(ATTACHMENTS_MAX) { li { (attachment(link, files)) } }
            }
            @if message.attachments.len() > ATTACHMENTS_MAX {
                p .quiet { "These are the first " (ATTACHMENTS_MAX) " of " (message.attachments.len()) "; the API has all." }
            }
        }
        @if !message.metadata.is_empty() {
            h3 { "Metadata" }
            pre tabindex="0" { (serde_json::to_string_pretty(&message.metadata).unwrap_or_default()) }
        }
        h2 { "Details" }
        dl .details {
            dt { "Id" } dd { code { (message.id) } }
            dt { "Stored" } dd { (exact(message.created_at)) }
            @if let Some(provider_id) = &message.provider_id { dt { "Provider" } dd { (provider_id) } }
            @if let Some(id) = &message.provider_message_id { dt { "Its id there" } dd { code { (id) } } }
            @if let Some(send_at) = message.send_at { dt { "Not before" } dd { (exact(send_at)) } }
            @if let Some(expires_at) = message.expires_at { dt { "Not after" } dd { (exact(expires_at)) } }
            dt { "Priority" } dd { (message.priority) }
        }
    }
}

fn as_curl(app: &App, message: &Message, caller: Caller) -> Markup {
    let key = if caller == Caller::Anyone { "" } else { " -H \"Authorization: Bearer $APP_KEY\"" };
    let url = format!("{}/api/messages", app.config.public_url);
    let look = format!("curl{key} {url}/{}/explain", message.id);
    let again = (message.direction == Direction::Outbound).then(|| send_again(&url, key, message));
    html! {
        h2 { "As curl" }
        div .curl {
            pre #curl-explain tabindex="0" { (look) }
            button type="button" .plain data-copy="curl-explain" { "Copy" }
        }
        @if let Some(again) = again {
            div .curl {
                pre #curl-send tabindex="0" { (again) }
                button type="button" .plain data-copy="curl-send" { "Copy" }
            }
        }
    }
}

/// The request that sends the same once more.
fn send_again(url: &str, key: &str, message: &Message) -> String {
    let endpoint = match message.channel {
        Channel::Sms | Channel::Mms => "sms",
        Channel::Email => "email",
        Channel::Whatsapp => "whatsapp",
    };
    let mut fields = serde_json::Map::new();
    let mut add = |name: &str, value: serde_json::Value| fields.insert(name.to_owned(), value);
    add("from", message.source.as_str().into());
    add("to", message.target.as_str().into());
    if message.channel == Channel::Mms {
        add("type", "mms".into());
    }
    if let Some(subject) = &message.subject {
        add("subject", subject.as_str().into());
    }
    add("body", message.body.as_str().into());
    if !message.attachments.is_empty() {
        add("attachments", message.attachments.clone().into());
    }
    if !message.metadata.is_empty() {
        add("metadata", message.metadata.clone().into());
    }
    // Within single quotes a shell reads nothing but the quote itself.
    let json = serde_json::Value::Object(fields).to_string().replace('\'', "'\\''");
    format!("curl{key} {url}/{endpoint} -H content-type:application/json -d '{json}'")
}

pub(super) async fn retry(
    State(app): State<App>,
    Extension(actor): Extension<Actor>,
    Path(id): Path<String>,
) -> Result<Response, Trouble> {
    let mut database = app.database().await?;
    let message = find(&database, &id).await?;
    retry_it(&app, &mut database, &message, None, Some(actor)).await?;
    Ok(see(&format!("/messages/{}", message.id)))
}

pub(super) async fn cancel(
    State(app): State<App>,
    Extension(actor): Extension<Actor>,
    Path(id): Path<String>,
) -> Result<Response, Trouble> {
    let mut database = app.database().await?;
    let message = find(&database, &id).await?;
    cancel_it(&app, &mut database, &message, Some(actor)).await?;
    Ok(see(&format!("/messages/{}", message.id)))
}
