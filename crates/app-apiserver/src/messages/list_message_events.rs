//! `GET /api/messages/{id}/events`

use app_db::messages::events::{self, Event};
use axum::Json;
use axum::extract::{OriginalUri, Path, RawQuery, State};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::App;
use crate::cursor::{List, Place};
use crate::fields::Fields;
use crate::page::PageRequest;
use crate::problem::Problem;
use crate::times;

/// A step in the life of a message.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Event, example = json!({
    "id": "019a2f7e-3e90-70a4-8000-1d0c4aa1b2c3", "type": "sent", "status": "ok", "delivery": "pending",
    "attempt": 1, "provider_id": "twilio-main", "code": null, "provider_code": null, "detail": null,
    "created_at": "2026-11-23T08:30:00.223456Z"
}))]
struct EventJson {
    id: Uuid,
    /// `accepted`, `sent`, `retrying`, `failed`, `canceled`, `outcome_unknown`, `held`, `requeued`, `receipt` or
    /// `received`.
    #[serde(rename = "type")]
    kind: String,
    /// The message's `status` after it.
    status: String,
    /// The message's `delivery` after it.
    delivery: String,
    attempt: i32,
    #[schema(required = true)]
    provider_id: Option<String>,
    /// A stable word for why.
    #[schema(required = true)]
    code: Option<String>,
    /// The provider's own code.
    #[schema(required = true)]
    provider_code: Option<String>,
    #[schema(required = true)]
    detail: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
}

/// A page of events.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EventList)]
pub(crate) struct EventListJson {
    events: Vec<EventJson>,
    /// Where the next page begins; null on the last.
    #[schema(required = true)]
    next_cursor: Option<String>,
}

/// List what happened to a message
///
/// Oldest first. The first event is that it was accepted, or received.
#[utoipa::path(
    get,
    path = "/api/messages/{id}/events",
    tag = "messages",
    operation_id = "list_message_events",
    params(
        ("id" = String, Path, description = "The message's id"),
        ("limit" = Option<u16>, Query, description = "1 to 200, 50 by default", minimum = 1, maximum = 200),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses(
        (status = 200, description = "A page of events", body = EventListJson),
        (status = 404, description = "`message_not_found`", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list_message_events(
    State(app): State<App>,
    Path(id): Path<String>,
    OriginalUri(uri): OriginalUri,
    RawQuery(query): RawQuery,
) -> Result<Json<EventListJson>, Problem> {
    let mut query = Fields::of_query(query.as_deref());
    let page = PageRequest::read(&mut query);
    query.refuse_the_rest(&[&PageRequest::NAMES]);
    query.finish()?;
    let list = List::of(uri.path(), &());
    let after = page.cursor.as_deref().map(|cursor| list.place(cursor)).transpose()?;

    let database = app.database().await?;
    let message = super::find(&database, &id).await?;
    // The first event has no row. A cursor at no id says that it has been seen.
    let mut found = if after.is_none() { vec![events::first_of(&message)] } else { Vec::new() };
    let after_id = after.map_or(Uuid::nil(), |place| place.id);
    let wanted = page.limit + 1 - found.len();
    found.extend(
        events::list(&database, message.id, after_id, i64::try_from(wanted).unwrap_or(i64::MAX)).await?,
    );

    let more = found.len() > page.limit;
    found.truncate(page.limit);
    let last = found.last().map_or(Uuid::nil(), |event| event.id);
    let last = if last == message.id { Uuid::nil() } else { last };
    let next_cursor = more.then(|| list.cursor(Place::at(last)));
    Ok(Json(EventListJson { events: found.into_iter().map(EventJson::from).collect(), next_cursor }))
}

impl From<Event> for EventJson {
    fn from(event: Event) -> Self {
        Self {
            id: event.id,
            kind: event.kind,
            status: event.status,
            delivery: event.delivery,
            attempt: event.attempt,
            provider_id: event.provider_id,
            code: event.code,
            provider_code: event.provider_code,
            detail: event.detail,
            created_at: times::format(event.created_at),
        }
    }
}
