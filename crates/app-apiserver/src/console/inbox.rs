//! The inbox: conversations, the newest activity first, with what nobody has read yet.

use app_db::inbox::{self, Entry, UNREAD_MAX};
use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use jiff::Timestamp;
use maud::{Markup, html};
use model::{Channel, Direction};
use uuid::Uuid;

use super::form::path_with;
use super::layout::{self, Section};
use super::live::{self, At};
use super::session::Session;
use super::simulator;
use super::trouble::Trouble;
use super::words::{ago, as_text, cut, place};
use crate::App;
use crate::authentication::Caller;
use crate::cursor::{List, Place};
use crate::fields::{Fields, Text};
use crate::problem::Problem;

const ENTRIES: usize = 50;
const EXCERPT_CHARS: usize = 120;
const CURSOR_CHARS_MAX: usize = 512;

/// Which part of the list is shown, and which of its entries is open.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    pub cursor: Option<String>,
    pub open: Option<Uuid>,
}

impl View {
    pub(super) fn read(query: Option<&str>, open: Option<Uuid>) -> Self {
        let cursor = Fields::of_query(query).text("cursor", Text::Line, CURSOR_CHARS_MAX);
        Self { cursor, open }
    }

    fn live_path(&self) -> String {
        path_with("/live/inbox", &[("cursor", self.cursor.as_deref())])
    }

    /// A conversation, with this part of the list beside it.
    fn path_to(&self, id: Uuid) -> String {
        path_with(&format!("/conversations/{id}"), &[("cursor", self.cursor.as_deref())])
    }
}

pub(super) async fn show(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result<Response, Trouble> {
    let view = View::read(query.as_deref(), None);
    let main = html! {
        div .panes {
            (pane(&html! { h1 id=(HEADING_ID) { "Inbox" } }, &live::region(ID, &view.live_path(), &list(&app, &view).await?)))
            section .empty aria-label="Conversation" {
                p { "Choose a conversation. " kbd { "j" } " and " kbd { "k" } " move, " kbd { "Enter" } " opens." }
            }
        }
    };
    Ok(layout::page(&app, caller, Section::Inbox, "Inbox", &main))
}

pub(super) async fn live(
    State(app): State<App>,
    Extension(session): Extension<Session>,
    RawQuery(query): RawQuery,
) -> Result<Response, Trouble> {
    let view = View::read(query.as_deref(), None);
    live::stream(app, session, At::Database, move |app| {
        let view = view.clone();
        async move { list(&app, &view).await }
    })
    .await
}

/// Of the list.
pub(super) const ID: &str = "inbox";
pub(super) const HEADING_ID: &str = "inbox-title";

/// Where the list stands, beside a conversation too. `heading`: with [`HEADING_ID`].
pub(super) fn pane(heading: &Markup, list: &Markup) -> Markup {
    html! {
        section .inbox aria-labelledby=(HEADING_ID) {
            div .row {
                (heading)
                a href="/new" data-compose { "New message" }
            }
            (list)
        }
    }
}

/// The list itself.
pub(super) async fn list(app: &App, view: &View) -> Result<Markup, Problem> {
    let cursors = List::of("/", &());
    let after = view.cursor.as_deref().map(|cursor| cursors.place(cursor)).transpose()?;
    let after = after.map(|place| (place.time, place.id));
    let wanted = i64::try_from(ENTRIES + 1).unwrap_or(i64::MAX);
    let mut found = inbox::list(&*app.database().await?, after, wanted).await?;
    let more = found.len() > ENTRIES;
    found.truncate(ENTRIES);
    let place = found
        .last()
        .map(|entry| Place { time: entry.conversation.last_message_at, id: entry.conversation.id });
    let next =
        place.filter(|_| more).map(|place| path_with("/", &[("cursor", Some(&cursors.cursor(place)))]));
    let now = app.clock.now();
    Ok(html! {
        @if found.is_empty() { (nothing(app, view)) }
        ul .list data-list {
            @for entry in &found { (row(entry, view, now)) }
        }
        @if view.cursor.is_some() { a .more href="/" { "Newest" } }
        @if let Some(next) = next { a .more href=(next) { "Older" } }
    })
}

fn nothing(app: &App, view: &View) -> Markup {
    let example = format!(
        "curl {}/api/messages/sms -H content-type:application/json -d \\\n  \
         '{{\"from\":\"+12025550100\",\"to\":\"+12025550199\",\"body\":\"Hello\"}}'",
        app.config.public_url
    );
    html! {
        @if view.cursor.is_some() {
            p .quiet { "There is nothing older." }
        } @else {
            p { "No conversation yet. " a href="/new" { "Send a message" } ", and it appears here; or by the API:" }
            pre tabindex="0" { (example) }
            @if app.console.simulator.is_some() { (simulator::first_contact()) }
        }
    }
}

fn row(entry: &Entry, view: &View, now: Timestamp) -> Markup {
    let conversation = &entry.conversation;
    let is_open = view.open == Some(conversation.id);
    let unread = if is_open { 0 } else { entry.unread };
    html! {
        li id={ "c-" (conversation.id) } {
            a href=(view.path_to(conversation.id)) aria-current=[is_open.then_some("true")]
                class=[(unread > 0).then_some("unread")] {
                @if let Some(newest) = &entry.newest {
                    span .who { (newest.other_end().as_str()) }
                    span .when { (ago(newest.created_at, now)) }
                    span .excerpt {
                        @if newest.direction == Direction::Outbound {
                            @let place = place(newest.direction, newest.status, newest.delivery);
                            span class={ "ticks " (place.tone.class()) } title=(place.word) {
                                span aria-hidden="true" { (place.ticks) } span .quiet-label { (place.word) ": " }
                            }
                        }
                        @if let Some(subject) = &newest.subject { b { (subject) } " " }
                        (cut(&as_text(&newest.excerpt, newest.channel == Channel::Email), EXCERPT_CHARS))
                    }
                } @else {
                    span .who { (conversation.participants.join(", ")) }
                }
                @if unread > 0 {
                    span .badge {
                        @if unread >= UNREAD_MAX { (UNREAD_MAX) "+" } @else { (unread) }
                        span .quiet-label { " unread" }
                    }
                }
                @if let Some(newest) = &entry.newest {
                    span .ours { (newest.channel) " · " (newest.our_end().as_str()) }
                }
            }
        }
    }
}
