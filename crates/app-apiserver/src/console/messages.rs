//! All messages, narrowed by filters that stand in the URL: the same as the API's.

use app_db::messages::list::{self, Filter, Order};
use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use jiff::Timestamp;
use maud::{Markup, html};
use model::{Channel, Delivery, Direction, Message, Status};

use super::form::path_with;
use super::layout::{self, Section};
use super::live;
use super::trouble::{Trouble, sentence};
use super::words::{Tone, ago, as_text, chip, cut, place_of};
use crate::App;
use crate::authentication::Caller;
use crate::cursor::{List, Place};
use crate::fields::Fields;
use crate::messages::list_messages::read_filter;
use crate::page::PageRequest;
use crate::problem::Problem;

/// What a filter may name, in the order of the form.
pub(super) const NAMES: [&str; 9] =
    ["status", "delivery", "channel", "direction", "from", "to", "conversation_id", "since", "until"];
const EXCERPT_CHARS: usize = 60;

/// A filter: what it means, and how the URL says it.
#[derive(Clone, Debug)]
pub(super) struct Narrowed {
    pub filter: Filter,
    /// Names and texts of what is given.
    pub said: Vec<(&'static str, String)>,
}

impl Narrowed {
    /// Takes a filter's fields. An empty one is none: forms send them all.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(app: &App, mut fields: Fields) -> Result<Self, Problem> {
        let mut said = Vec::new();
        for name in NAMES.into_iter().chain(["problem"]) {
            match fields.peek(name).and_then(serde_json::Value::as_str) {
                Some("") => fields.forget(name),
                Some(text) => said.push((name, text.to_owned())),
                None => {}
            }
        }
        let filter = read_filter(&mut fields, &app.config.addressing);
        fields.finish().map(|()| Self { filter, said })
    }

    pub(super) fn path(&self, path: &str, more: &[(&str, Option<&str>)]) -> String {
        let said = self.said.iter().map(|(name, text)| (*name, Some(text.as_str())));
        path_with(path, &said.chain(more.iter().copied()).collect::<Vec<_>>())
    }

    fn text(&self, name: &str) -> &str {
        self.said.iter().find(|(other, _)| *other == name).map_or("", |(_, text)| text)
    }

    /// `status failed, to +12025550199`; `all messages`.
    pub(super) fn in_words(&self) -> String {
        if self.said.is_empty() {
            return "all messages".to_owned();
        }
        let parts: Vec<String> =
            self.said.iter().map(|(name, text)| format!("{} {text}", name.replace('_', " "))).collect();
        parts.join(", ")
    }
}

pub(super) async fn show(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result<Response, Trouble> {
    let mut fields = Fields::of_query(query.as_deref());
    let page = PageRequest::read(&mut fields);
    let main = match Narrowed::read(&app, fields) {
        Ok(narrowed) => {
            let live_path = narrowed.path("/live/messages", &[("cursor", page.cursor.as_deref())]);
            let rows = rows(&app, &narrowed, &page).await?;
            html! {
                h1 { "Messages" }
                (form(&narrowed))
                (live::region("messages", &live_path, &rows))
            }
        }
        Err(problem) => html! {
            h1 { "Messages" }
            p .bad role="alert" { (sentence(&problem.summary())) }
            p { a href="/messages" { "Without filters" } }
        },
    };
    Ok(layout::page(&app, caller, Section::Messages, "Messages", &main))
}

pub(super) async fn live(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result<Response, Trouble> {
    let mut fields = Fields::of_query(query.as_deref());
    let page = PageRequest::read(&mut fields);
    let narrowed = Narrowed::read(&app, fields)?;
    live::stream(app, caller, move |app| {
        let (narrowed, page) = (narrowed.clone(), page.clone());
        async move { rows(&app, &narrowed, &page).await }
    })
}

fn form(narrowed: &Narrowed) -> Markup {
    let choices = [
        ("status", "Status", Status::WORDS.to_vec()),
        ("delivery", "Delivery", Delivery::WORDS.to_vec()),
        ("channel", "Channel", Channel::ALL.map(Channel::as_str).to_vec()),
        ("direction", "Direction", Direction::WORDS.to_vec()),
    ];
    let texts = [
        ("from", "From", "+12025550100"),
        ("to", "To", "+12025550199"),
        ("since", "Since", "2026-11-23T08:30:00Z"),
        ("until", "Until", "2026-11-24T08:30:00Z"),
    ];
    html! {
        form .filters method="get" action="/messages" aria-label="Filters" {
            @for (name, label, words) in &choices {
                div {
                    label for={ "f-" (name) } { (label) }
                    select id={ "f-" (name) } name=(name) {
                        option value="" { "any" }
                        @for word in words { option value=(word) selected[narrowed.text(name) == *word] { (word) } }
                    }
                }
            }
            @for (name, label, example) in texts {
                div {
                    label for={ "f-" (name) } { (label) }
                    input id={ "f-" (name) } name=(name) value=(narrowed.text(name)) placeholder=(example);
                }
            }
            @for name in ["conversation_id", "problem"] {
                @if !narrowed.text(name).is_empty() { input type="hidden" name=(name) value=(narrowed.text(name)); }
            }
            div .row {
                button type="submit" { "Filter" }
                @if !narrowed.said.is_empty() { a href="/messages" { "All" } }
                a href="/messages?problem=true" { "Problems" }
            }
        }
        p .row {
            span .quiet { "All that match:" }
            a href=(narrowed.path("/bulk", &[("action", Some("retry"))])) { "Retry…" }
            a href=(narrowed.path("/bulk", &[("action", Some("cancel"))])) { "Cancel…" }
        }
    }
}

async fn rows(app: &App, narrowed: &Narrowed, page: &PageRequest) -> Result<Markup, Problem> {
    let cursors = List::of("/messages", &narrowed.said);
    let after = page.cursor.as_deref().map(|cursor| cursors.place(cursor)).transpose()?;
    let found = {
        let database = app.database().await?;
        let after = after.map(|place| place.id);
        list::list(&database, &narrowed.filter, Order::NewestFirst, after, page.limit).await?
    };
    let next = found.next.map(|id| cursors.cursor(Place::at(id)));
    let next = next.map(|cursor| narrowed.path("/messages", &[("cursor", Some(&cursor))]));
    let now = app.clock.now();
    Ok(html! {
        @if found.messages.is_empty() {
            p .quiet {
                @if next.is_some() { "Nothing among these; older ones may match." } @else { "No message matches." }
            }
        } @else {
            div .wide tabindex="0" role="region" aria-label="Messages" {
                table {
                    thead {
                        tr {
                            th scope="col" { "When" } th scope="col" { "Channel" } th scope="col" { "From" }
                            th scope="col" { "To" } th scope="col" { "Text" } th scope="col" { "State" }
                            th scope="col" { "Provider" }
                        }
                    }
                    tbody data-list { @for message in &found.messages { (row(message, now)) } }
                }
            }
        }
        p .row {
            @if page.cursor.is_some() { a href=(narrowed.path("/messages", &[])) { "Newest" } }
            @if let Some(next) = next { a href=(next) { "Older" } }
        }
    })
}

fn row(message: &Message, now: Timestamp) -> Markup {
    let text = as_text(&message.body, message.channel == Channel::Email);
    let place = place_of(message);
    let has_reason = matches!(place.tone, Tone::Bad | Tone::Waiting);
    let code = message.status_payload.as_ref().filter(|_| has_reason).map(|payload| payload.code.as_str());
    html! {
        tr id={ "r-" (message.id) } {
            td { a href={ "/messages/" (message.id) } { (ago(message.created_at, now)) } }
            td { (message.channel) @if message.direction == Direction::Inbound { " in" } }
            td { (message.source.as_str()) }
            td { (message.target.as_str()) }
            td .text {
                @if let Some(subject) = &message.subject { b { (cut(subject, EXCERPT_CHARS)) } " " }
                (cut(&text, EXCERPT_CHARS))
            }
            td { (chip(place)) @if let Some(code) = code { " " span .quiet { (code) } } }
            td { (message.provider_id.as_deref().unwrap_or_default()) }
        }
    }
}
