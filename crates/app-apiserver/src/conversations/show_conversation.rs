//! `GET /api/conversations/{id}`

use axum::Json;
use axum::extract::{Path, State};

use super::ConversationJson;
use crate::App;
use crate::problem::Problem;

/// Show a conversation
#[utoipa::path(
    get,
    path = "/api/conversations/{id}",
    tag = "conversations",
    operation_id = "show_conversation",
    params(("id" = String, Path, description = "The conversation's id")),
    responses(
        (status = 200, description = "The conversation", body = ConversationJson),
        (status = 404, description = "`conversation_not_found`", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn show_conversation(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Json<ConversationJson>, Problem> {
    let database = app.database().await?;
    Ok(Json(super::find(&database, &id).await?.into()))
}
