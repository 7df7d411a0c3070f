//! `GET /api/messages/{id}`

use axum::Json;
use axum::extract::{Path, State};

use crate::App;
use crate::message_json::MessageJson;
use crate::problem::Problem;

/// Show a message
#[utoipa::path(
    get,
    path = "/api/messages/{id}",
    tag = "messages",
    operation_id = "show_message",
    params(("id" = String, Path, description = "The message's id")),
    responses(
        (status = 200, description = "The message as it is now", body = MessageJson),
        (status = 404, description = "`message_not_found`", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn show_message(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Json<MessageJson>, Problem> {
    let database = app.database().await?;
    Ok(Json(super::find(&database, &id).await?.into()))
}
