//! All messages, narrowed by filters that stand in the URL: the same as the API's.

use app_db::messages::list::{self, Order, Page, Wanted};
use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use jiff::Timestamp;
use maud::{Markup, html};
use model::{Channel, Direction, Message};
use uuid::Uuid;

use super::layout::{self, Section};
use super::live::{self, At};
use super::narrowed::{Misread, Narrowed};
use super::session::Session;
use super::trouble::{Trouble, sentence};
use super::words::{Tone, ago, as_text, chip, cut, exact, place_of};
use super::{filters, jobs};
use crate::App;
use crate::authentication::Caller;
use crate::cursor::{List, Place};
use crate::fields::{Fields, Text};
use crate::page::PageRequest;
use crate::problem::Problem;

const EXCERPT_CHARS: usize = 60;
/// Of a body, what its beginning as text is made from: HTML begins with much that is none.
const BODY_CHARS: i32 = 8_000;

pub(super) async fn show(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result<Response, Trouble> {
    let mut fields = Fields::of_query(query.as_deref());
    let page = PageRequest::read(&mut fields);
    let has_walked = fields.text(WALKED, Text::Line, 4).is_some();
    let (main, is_live) = match Narrowed::read(&app, fields) {
        Ok(narrowed) => {
            let found = look(&app, &narrowed, &page).await?;
            let onward = found.next.filter(|_| found.messages.is_empty());
            let main = html! {
                h1 { "Messages" }
                (filters::form(&app, &narrowed.said))
                (filters::actions(&narrowed))
                (jobs::under_way(&app, Section::Messages))
                @if has_walked { (walked(&narrowed)) }
                @if let Some(next) = onward {
                    (looking_on(&narrowed, next, has_walked || page.cursor.is_none()))
                } @else {
                    @let live_path = narrowed.path("/live/messages", &[("cursor", page.cursor.as_deref())]);
                    (live::region("messages", &live_path, &rows(&app, &narrowed, &page, &found)))
                }
            };
            (main, onward.is_none())
        }
        Err(misread) => (unreadable(&app, &misread), false),
    };
    let page = if is_live { layout::page } else { layout::still };
    Ok(page(&app, caller, Section::Messages, "Messages", &main))
}

fn unreadable(app: &App, misread: &Misread) -> Markup {
    let has_time = misread.said.iter().any(|(name, _)| matches!(*name, "since" | "until"));
    html! {
        h1 { "Messages" }
        (filters::form(app, &misread.said))
        p .bad role="alert" {
            (sentence(&misread.problem.summary()))
            @if has_time { " A time may also be told as 90m, 6h or 2d ago, or as a day: today, 2026-11-23." }
        }
    }
}

pub(super) async fn live(
    State(app): State<App>,
    Extension(session): Extension<Session>,
    RawQuery(query): RawQuery,
) -> Result<Response, Trouble> {
    let mut fields = Fields::of_query(query.as_deref());
    let page = PageRequest::read(&mut fields);
    let narrowed = Narrowed::read(&app, fields)?;
    live::stream(app, session, At::Database, move |app| {
        let (narrowed, page) = (narrowed.clone(), page.clone());
        async move {
            let found = look(&app, &narrowed, &page).await?;
            Ok(rows(&app, &narrowed, &page, &found))
        }
    })
    .await
}

async fn look(app: &App, narrowed: &Narrowed, page: &PageRequest) -> Result<Page, Problem> {
    let cursors = List::of("/messages", &narrowed.said);
    let after = page.cursor.as_deref().map(|cursor| cursors.place(cursor)).transpose()?;
    let mut database = app.database().await?;
    let after = after.map(|place| place.id);
    let wanted = Wanted { body_chars: BODY_CHARS, ..Wanted::new(Order::NewestFirst, after, page.limit) };
    Ok(list::list(&mut database, &narrowed.filter, wanted).await?)
}

fn older(narrowed: &Narrowed, next: Uuid) -> String {
    let cursor = List::of("/messages", &narrowed.said).cursor(Place::at(next));
    narrowed.path("/messages", &[("cursor", Some(&cursor))])
}

/// Of a page that others led to.
const WALKED: &str = "walked";

/// The page stands for the whole search: loaded again, it begins with the newest.
fn walked(narrowed: &Narrowed) -> Markup {
    let whole = narrowed.path("/messages", &[]);
    html! {
        p .quiet data-address=(whole) {
            "Nothing newer matched when it was looked through. " a href=(whole) { "Look again" }
        }
    }
}

/// A look takes a bounded time. Where it has met nothing yet, the page goes on from where it ended by itself.
/// `is_whole`: it began with the newest.
fn looking_on(narrowed: &Narrowed, next: Uuid, is_whole: bool) -> Markup {
    let mut onward = older(narrowed, next);
    if is_whole {
        onward.push_str(&format!("&{WALKED}=yes"));
    }
    html! {
        p role="status" {
            "Nothing matches back to " (exact(model::id::time_of(next))) "; looking at older ones… "
            a href=(onward) data-onward { "Older" } " "
            a href="/messages" { "Stop" }
        }
    }
}

fn rows(app: &App, narrowed: &Narrowed, page: &PageRequest, found: &Page) -> Markup {
    let now = app.clock.now();
    html! {
        @if found.messages.is_empty() {
            p .quiet {
                @if found.next.is_some() { "Nothing among these; older ones may match." } @else { "No message matches." }
            }
        } @else {
            div .wide tabindex="0" role="region" aria-label="Messages" {
                table {
                    thead {
                        tr {
                            th scope="col" { "When" } th scope="col" { "State" } th scope="col" .broad { "Channel" }
                            th scope="col" { "To" } th scope="col" .broad { "From" } th scope="col" { "Text" }
                            th scope="col" .broad { "Provider" }
                        }
                    }
                    tbody data-list { @for message in &found.messages { (row(message, now)) } }
                }
            }
        }
        p .row {
            @if page.cursor.is_some() { a href=(narrowed.path("/messages", &[])) { "Newest" } }
            @if let Some(next) = found.next { a href=(older(narrowed, next)) { "Older" } }
        }
    }
}

fn row(message: &Message, now: Timestamp) -> Markup {
    let text = as_text(&message.body, message.channel == Channel::Email);
    let place = place_of(message, now);
    let has_reason = matches!(place.tone, Tone::Bad | Tone::Waiting);
    let code = message.status_payload.as_ref().filter(|_| has_reason).map(|payload| payload.code.as_str());
    html! {
        tr id={ "r-" (message.id) } {
            td { a href={ "/messages/" (message.id) } { (ago(message.created_at, now)) } }
            td { (chip(place)) @if let Some(code) = code { " " span .quiet { (code) } } }
            td .broad { (message.channel) @if message.direction == Direction::Inbound { " in" } }
            td { (message.target.as_str()) }
            td .broad { (message.source.as_str()) }
            td .text {
                @if let Some(subject) = &message.subject { b { (cut(subject, EXCERPT_CHARS)) } " " }
                (cut(&text, EXCERPT_CHARS))
            }
            td .broad { (message.provider_id.as_deref().unwrap_or_default()) }
        }
    }
}
