//! A conversation: its newest messages, and what replies to them.

use app_db::conversations::{self, Conversation};
use app_db::inbox as inbox_rows;
use app_db::messages::list::{self, Filter, Order, Page, Wanted};
use axum::Extension;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use jiff::Timestamp;
use maud::{Markup, html};
use model::{Channel, Direction, Message};
use uuid::Uuid;

use super::attachments::{Files, attachment};
use super::composer;
use super::form::path_with;
use super::inbox::{self, View};
use super::layout::{self, Section};
use super::live::{self, At};
use super::session::Session;
use super::trouble::Trouble;
use super::words::{ago, as_text, chip, cut, place_of};
use crate::App;
use crate::authentication::Caller;
use crate::fields::{Fields, Text};
use crate::message_json::LISTED_ATTACHMENTS_MAX;
use crate::messages::parse_id;
use crate::problem::Problem;

const MESSAGES: usize = 50;
/// Of one message; its own page has the rest.
const BODY_CHARS_MAX: usize = 2_000;
const SUBJECT_CHARS_MAX: usize = 200;
/// What that is made from: HTML begins with much that is none.
const BODY_CHARS: i32 = 16_000;
/// Of the messages.
pub(super) const ID: &str = "thread";

pub(super) async fn show(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Trouble> {
    let before = before(query.as_deref());
    let (conversation, ends) = {
        let database = app.database().await?;
        let found = conversations::find(&database, id_of(&id)?).await?;
        let conversation = found.ok_or_else(not_found)?;
        let ends = conversations::reply_ends(&database, conversation.id).await?;
        (conversation, ends)
    };
    let looked = look(&app, conversation.id, before).await?;
    let view = View::read(query.as_deref(), Some(conversation.id));
    let list = inbox::list(&app, &view).await?;
    let title = ends.as_ref().map_or_else(|| with(&conversation), |ends| ends.target.as_str().to_owned());
    let before_text = before.map(|id| id.to_string());
    let live_path = path_with(
        &format!("/live/conversations/{}", conversation.id),
        &[("before", before_text.as_deref()), ("cursor", view.cursor.as_deref())],
    );
    let main = html! {
        (live::source(&live_path))
        div .panes {
            (inbox::pane(
                &html! { h2 id=(inbox::HEADING_ID) { "Inbox" } },
                &html! { div id=(inbox::ID) { (list) } },
            ))
            section .thread aria-labelledby="thread-title" {
                p .back { a href="/" { "← Inbox" } }
                h1 #thread-title {
                    (title)
                    @if let Some(ends) = &ends {
                        " " small .quiet { "with " (ends.source.as_str()) ", by " (ends.channel) }
                    }
                }
                div .scroll tabindex="0" role="log" aria-label="Messages" {
                    div id=(ID) { (messages(&app, conversation.id, before, &looked)) }
                }
                (composer::composer(&app, conversation.id, ends.as_ref(), &composer::Draft::default()))
            }
        }
    };
    Ok(layout::page(&app, caller, Section::Inbox, &title, &main))
}

pub(super) async fn live(
    State(app): State<App>,
    Extension(session): Extension<Session>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Trouble> {
    let before = before(query.as_deref());
    let id = id_of(&id)?;
    let view = View::read(query.as_deref(), Some(id));
    live::stream(app, session, At::Database, move |app| {
        let view = view.clone();
        async move {
            let looked = look(&app, id, before).await?;
            // Only who has the page before them has read it; a tab in the background has no stream.
            mark_read(&app, id, &looked.page).await?;
            let list = inbox::list(&app, &view).await?;
            Ok(live::parts(&[(ID, messages(&app, id, before, &looked)), (inbox::ID, list)]))
        }
    })
    .await
}

fn not_found() -> Problem {
    Problem::not_found("conversation_not_found", "there is no conversation of this id")
}

/// A conversation's id, as it stands in a URL.
pub(super) fn id_of(text: &str) -> Result<Uuid, Problem> {
    parse_id(text).ok_or_else(not_found)
}

fn before(query: Option<&str>) -> Option<Uuid> {
    Fields::of_query(query).text("before", Text::Line, 64).and_then(|id| parse_id(&id))
}

/// Messages of a conversation, with what came with them.
pub(super) struct Looked {
    page: Page,
    files: Files,
}

/// The messages before `before`, or the newest.
pub(super) async fn look(app: &App, id: Uuid, before: Option<Uuid>) -> Result<Looked, Problem> {
    let filter = Filter { conversation_id: Some(id), ..Filter::default() };
    let wanted = Wanted { body_chars: BODY_CHARS, ..Wanted::new(Order::NewestFirst, before, MESSAGES) };
    let page = list::list(&mut *app.database().await?, &filter, wanted).await?;
    let files = Files::of(app, &page.messages, LISTED_ATTACHMENTS_MAX).await?;
    Ok(Looked { page, files })
}

/// Up to what was received last: what we wrote may have a later id than an answer that another server stores now.
async fn mark_read(app: &App, id: Uuid, page: &Page) -> Result<(), Problem> {
    let received = page.messages.iter().find(|message| message.direction == Direction::Inbound);
    if let Some(newest) = received {
        inbox_rows::mark_read(&*app.database().await?, id, newest.id).await?;
    }
    Ok(())
}

/// What [`look`] found.
pub(super) fn messages(app: &App, id: Uuid, before: Option<Uuid>, looked: &Looked) -> Markup {
    let Looked { page, files } = looked;
    let now = app.clock.now();
    let older = page
        .next
        .map(|next| path_with(&format!("/conversations/{id}"), &[("before", Some(&next.to_string()))]));
    html! {
        // The newest first, shown from below: the list stays at its end by itself as messages come.
        ol .messages reversed {
            @for message in &page.messages { (bubble(message, files, now)) }
        }
        p .more-older {
            @if let Some(older) = older { a href=(older) { "Older messages" } }
            @if before.is_some() { " " a href={ "/conversations/" (id) } { "Newest messages" } }
        }
    }
}

fn bubble(message: &Message, files: &Files, now: Timestamp) -> Markup {
    let is_email = message.channel == Channel::Email;
    let direction = message.direction.as_str();
    let text = as_text(&message.body, is_email);
    html! {
        li id={ "m-" (message.id) } class=(direction) {
            article aria-label={ (direction) " " (message.channel) } {
                @if let Some(subject) = &message.subject { h3 { (cut(subject, SUBJECT_CHARS_MAX)) } }
                p .body { (cut(&text, BODY_CHARS_MAX)) }
                @for link in message.attachments.iter().take(LISTED_ATTACHMENTS_MAX) {
                    p .attachment { (attachment(link, files)) }
                }
                @if message.attachments.len() > LISTED_ATTACHMENTS_MAX {
                    p .attachment {
                        a href={ "/messages/" (message.id) "#content" } {
                            "All " (message.attachments.len()) " attachments"
                        }
                    }
                }
                footer {
                    a href={ "/messages/" (message.id) } { (ago(message.created_at, now)) }
                    " · " (message.channel)
                    @if is_email && providers::is_html(&message.body) {
                        " · " a href={ "/messages/" (message.id) "#content" } { "as HTML" }
                    }
                    @if message.direction == Direction::Outbound { " " (chip(place_of(message, now))) }
                }
            }
        }
    }
}

/// Whom a conversation is with, for its title.
pub(super) fn with(conversation: &Conversation) -> String {
    conversation.participants.join(", ")
}
