//! `GET /api/conversations/{id}/messages`

use app_db::messages::list::{Filter, Order};
use axum::Json;
use axum::extract::{OriginalUri, Path, RawQuery, State};

use crate::App;
use crate::fields::Fields;
use crate::messages::list_messages::{self, MessageListJson};
use crate::page::PageRequest;
use crate::problem::Problem;

const PARAMETERS: [&str; 3] = ["order", "limit", "cursor"];

/// List a conversation's messages
///
/// Oldest first, unless asked otherwise.
#[utoipa::path(
    get,
    path = "/api/conversations/{id}/messages",
    tag = "conversations",
    operation_id = "list_conversation_messages",
    params(
        ("id" = String, Path, description = "The conversation's id"),
        ("order" = Option<String>, Query, description = "`asc` (the default) or `desc`"),
        ("limit" = Option<u16>, Query, description = "1 to 200, 50 by default", minimum = 1, maximum = 200),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses(
        (status = 200, description = "A page of messages", body = MessageListJson),
        (status = 404, description = "`conversation_not_found`", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list_conversation_messages(
    State(app): State<App>,
    Path(id): Path<String>,
    OriginalUri(uri): OriginalUri,
    RawQuery(query): RawQuery,
) -> Result<Json<MessageListJson>, Problem> {
    let mut query = Fields::of_query(query.as_deref());
    let order = list_messages::read_order(&mut query, Order::OldestFirst);
    let page = PageRequest::read(&mut query);
    query.refuse_the_rest(&[&PARAMETERS]);
    query.finish()?;
    let conversation = super::find(&app.database().await?, &id).await?;
    let filter = Filter { conversation_id: Some(conversation.id), ..Filter::default() };
    list_messages::answer(&app, uri.path(), &filter, order, &page).await
}
