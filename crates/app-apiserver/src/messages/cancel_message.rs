//! `POST /api/messages/{id}/cancel`

use app_db::audit;
use axum::extract::{Path, RawQuery, State};
use axum::{Extension, Json};
use model::{Bucket, Message, Status};
use serde_json::json;
use service::metrics::ChannelStatusCode;

use crate::App;
use crate::audit::Actor;
use crate::fields::Fields;
use crate::message_json::MessageJson;
use crate::problem::Problem;
use crate::state::Turn;

/// Cancel a message
///
/// Possible as long as no processor holds it and it is not settled. It is `failed` then, with the code `canceled`.
#[utoipa::path(
    post,
    path = "/api/messages/{id}/cancel",
    tag = "messages",
    operation_id = "cancel_message",
    params(("id" = String, Path, description = "The message's id")),
    responses(
        (status = 200, description = "Canceled: the message as it is now", body = MessageJson),
        (status = 404, description = "`message_not_found`", body = Problem,
            content_type = "application/problem+json"),
        (status = 409, description = "`not_cancelable`: it is being sent, or settled", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn cancel_message(
    State(app): State<App>,
    Extension(actor): Extension<Actor>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<MessageJson>, Problem> {
    let mut fields = Fields::default();
    fields.refuse_query(query.as_deref());
    fields.finish()?;
    let mut database = app.database().await?;
    let message = super::find(&database, &id).await?;
    cancel(&app, &mut database, &message, Some(actor)).await?;
    Ok(Json(super::find(&database, &id).await?.into()))
}

/// An actor's own request is recorded; a job is recorded as a whole.
///
/// # Errors
/// 409 `not_cancelable`.
pub(crate) async fn cancel(
    app: &App,
    database: &mut Turn<'_>,
    message: &Message,
    actor: Option<Actor>,
) -> Result<(), Problem> {
    let event_id = app.ids.next(app.database_clock.now(), Bucket::of(message.id));
    let transaction = app_db::begin(database).await?;
    if !app_db::cancel::cancel(&transaction, message.id, event_id).await? {
        let detail = match message.status {
            Status::Outbox | Status::Retry => "the message is being sent right now",
            Status::Ok => "the message has been sent or received",
            Status::Failed => "the message has failed; it will not be sent",
        };
        return Err(Problem::conflict("not_cancelable", detail));
    }
    if let Some(actor) = actor {
        let entry = actor.entry(app, "message.cancel", message.id.to_string(), json!({}));
        audit::write(&transaction, &entry).await?;
    }
    app_db::commit(transaction).await?;
    let labels = ChannelStatusCode::new(message.channel.as_str(), "failed", "canceled");
    app.metrics.messages_settled.get_or_create(&labels).inc();
    Ok(())
}
