//! `GET /api/messages`

use app_db::messages::list::{self, Filter, Order, Wanted};
use axum::Json;
use axum::extract::{OriginalUri, RawQuery, State};
use model::{Addressing, Channel, Delivery, Direction, Medium, Status};
use serde::Serialize;
use utoipa::ToSchema;

use crate::App;
use crate::cursor::{List, Place};
use crate::fields::{Fields, Text};
use crate::message_json::MessageJson;
use crate::page::PageRequest;
use crate::problem::Problem;

const PARAMETERS: [&str; 16] = [
    "status",
    "delivery",
    "channel",
    "direction",
    "from",
    "to",
    "conversation_id",
    "provider_id",
    "code",
    "text",
    "problem",
    "since",
    "until",
    "order",
    "limit",
    "cursor",
];

const TEXT_CHARS_MAX: usize = 400;

/// A page of messages.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MessageList)]
pub(crate) struct MessageListJson {
    messages: Vec<MessageJson>,
    /// Where the next page begins; null on the last. With filters a page may be short, or empty, and not the last.
    #[schema(required = true)]
    next_cursor: Option<String>,
}

/// List messages
///
/// Newest first, unless asked otherwise. Filters are joined by "and".
#[utoipa::path(
    get,
    path = "/api/messages",
    tag = "messages",
    operation_id = "list_messages",
    params(
        ("status" = Option<String>, Query, description = "`outbox`, `retry`, `ok` or `failed`"),
        ("delivery" = Option<String>, Query, description = "`none`, `pending`, `unknown`, `sent`, `undelivered`, \
            `delivered`, `read` or `received`"),
        ("channel" = Option<String>, Query, description = "`sms`, `mms`, `email` or `whatsapp`"),
        ("direction" = Option<String>, Query, description = "`inbound` or `outbound`"),
        ("from" = Option<String>, Query, description = "The sender's address"),
        ("to" = Option<String>, Query, description = "The recipient's address"),
        ("conversation_id" = Option<String>, Query, description = "Of this conversation only"),
        ("provider_id" = Option<String>, Query, description = "Sent or received by this provider"),
        ("code" = Option<String>, Query, description = "`code` or `provider_code` of its `status_payload`, such as \
            `canceled` or `30003`"),
        ("text" = Option<String>, Query, description = "Stands somewhere in the subject, the body, an address, the \
            provider's id or its `status_payload`, in upper or lower case. No index helps it: give `since` too, or \
            expect short pages"),
        ("problem" = Option<bool>, Query, description = "`true`: only what is held, failed or undelivered"),
        ("since" = Option<String>, Query, description = "Created at this time (RFC 3339) or later"),
        ("until" = Option<String>, Query, description = "Created before this time (RFC 3339)"),
        ("order" = Option<String>, Query, description = "`desc` (the default) or `asc`"),
        ("limit" = Option<u16>, Query, description = "1 to 200, 50 by default", minimum = 1, maximum = 200),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, description = "A page of messages", body = MessageListJson))
)]
pub(crate) async fn list_messages(
    State(app): State<App>,
    OriginalUri(uri): OriginalUri,
    RawQuery(query): RawQuery,
) -> Result<Json<MessageListJson>, Problem> {
    let mut query = Fields::of_query(query.as_deref());
    let filter = read_filter(&mut query, &app.config.addressing);
    let order = read_order(&mut query, Order::NewestFirst);
    let page = PageRequest::read(&mut query);
    query.refuse_the_rest(&[&PARAMETERS]);
    query.finish()?;
    answer(&app, uri.path(), &filter, order, &page).await
}

/// A page of messages, whichever list it is of.
pub(crate) async fn answer(
    app: &App,
    path: &str,
    filter: &Filter,
    order: Order,
    page: &PageRequest,
) -> Result<Json<MessageListJson>, Problem> {
    let list = List::of(path, &(filter, order));
    let after = page.cursor.as_deref().map(|cursor| list.place(cursor)).transpose()?;
    let mut database = app.database().await?;
    let found =
        list::list(&mut database, filter, Wanted::new(order, after.map(|place| place.id), page.limit))
            .await?;
    Ok(Json(MessageListJson {
        messages: found.messages.into_iter().map(MessageJson::in_list).collect(),
        next_cursor: found.next.map(|id| list.cursor(Place::at(id))),
    }))
}

pub(crate) fn read_order(query: &mut Fields, default: Order) -> Order {
    match query.word::<String>("order", &["asc", "desc"]).as_deref() {
        Some("asc") => Order::OldestFirst,
        Some(_) => Order::NewestFirst,
        None => default,
    }
}

pub(crate) fn read_filter(query: &mut Fields, addressing: &Addressing) -> Filter {
    let conversation_id = query.text("conversation_id", Text::Line, 64).and_then(|text| {
        let id = uuid::Uuid::try_parse(&text).ok();
        if id.is_none() {
            query.wrong("conversation_id", "invalid_id", "must be a conversation's id");
        }
        id
    });
    Filter {
        status: query.word("status", Status::WORDS),
        delivery: query.word("delivery", Delivery::WORDS),
        channel: query.word("channel", &Channel::ALL.map(Channel::as_str)),
        direction: query.word("direction", Direction::WORDS),
        from: address(query, "from", addressing),
        to: address(query, "to", addressing),
        conversation_id,
        provider_id: query.text("provider_id", Text::Line, 64),
        code: query.text("code", Text::Line, 64),
        text: query.text("text", Text::Line, TEXT_CHARS_MAX).filter(|text| !text.is_empty()),
        problem: query.word("problem", &["true", "false"]).unwrap_or(false),
        since: query.time("since"),
        until: query.time("until"),
    }
}

/// Either end may be anything that a sender may be: inbound messages have them turned round.
fn address(query: &mut Fields, name: &str, addressing: &Addressing) -> Option<String> {
    let text = query.text(name, Text::Line, 320)?;
    // A plus that is not written as %2B arrives as a space.
    let text = match text.strip_prefix(' ') {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_digit()) => format!("+{rest}"),
        _ => text,
    };
    let medium = if text.contains('@') { Medium::Email } else { Medium::Phone };
    let on_whatsapp = |error| addressing.received(Medium::Whatsapp, &text).map_err(|_| error);
    match addressing.sender(medium, &text).or_else(on_whatsapp) {
        Ok(endpoint) => Some(endpoint.as_str().to_owned()),
        Err(error) => {
            query.wrong(name, error.code(), error);
            None
        }
    }
}
