//! `GET /api/conversations`

use app_db::conversations;
use axum::Json;
use axum::extract::{OriginalUri, RawQuery, State};
use serde::Serialize;
use utoipa::ToSchema;

use super::ConversationJson;
use crate::App;
use crate::cursor::{List, Place};
use crate::fields::Fields;
use crate::page::PageRequest;
use crate::problem::Problem;

/// A page of conversations.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConversationList)]
pub(crate) struct ConversationListJson {
    conversations: Vec<ConversationJson>,
    /// Where the next page begins; null on the last.
    #[schema(required = true)]
    next_cursor: Option<String>,
}

/// List conversations
///
/// The newest activity first.
#[utoipa::path(
    get,
    path = "/api/conversations",
    tag = "conversations",
    operation_id = "list_conversations",
    params(
        ("limit" = Option<u16>, Query, description = "1 to 200, 50 by default", minimum = 1, maximum = 200),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, description = "A page of conversations", body = ConversationListJson))
)]
pub(crate) async fn list_conversations(
    State(app): State<App>,
    OriginalUri(uri): OriginalUri,
    RawQuery(query): RawQuery,
) -> Result<Json<ConversationListJson>, Problem> {
    let mut query = Fields::of_query(query.as_deref());
    let page = PageRequest::read(&mut query);
    query.refuse_the_rest(&[&PageRequest::NAMES]);
    query.finish()?;
    let list = List::of(uri.path(), &());
    let after = page.cursor.as_deref().map(|cursor| list.place(cursor)).transpose()?;

    let database = app.database().await?;
    let after = after.map(|place| (place.time, place.id));
    let wanted = i64::try_from(page.limit + 1).unwrap_or(i64::MAX);
    let mut found = conversations::list(&database, after, wanted).await?;
    let more = found.len() > page.limit;
    found.truncate(page.limit);
    let place = found.last().map(|last| Place { time: last.last_message_at, id: last.id });
    let next_cursor = place.filter(|_| more).map(|place| list.cursor(place));
    Ok(Json(ConversationListJson {
        conversations: found.into_iter().map(ConversationJson::from).collect(),
        next_cursor,
    }))
}
