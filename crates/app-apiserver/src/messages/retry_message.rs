//! `POST /api/messages/{id}/retry`

use app_db::audit;
use axum::extract::{Path, RawQuery, State};
use axum::{Extension, Json};
use http::StatusCode;
use jiff::Timestamp;
use model::{Bucket, Direction, Facts, Message};
use serde_json::json;

use crate::App;
use crate::audit::Actor;
use crate::fields::Fields;
use crate::message_json::MessageJson;
use crate::problem::Problem;
use crate::state::Turn;

/// Try a message again
///
/// For messages that failed, or that are held because nobody knows whether the provider has them: sending such a
/// one again may send it twice. It is due at once: a `send_at` that lies ahead is not waited for again.
#[utoipa::path(
    post,
    path = "/api/messages/{id}/retry",
    tag = "messages",
    operation_id = "retry_message",
    params(("id" = String, Path, description = "The message's id")),
    responses(
        (status = 202, description = "It is due now: the message as it is", body = MessageJson),
        (status = 404, description = "`message_not_found`", body = Problem,
            content_type = "application/problem+json"),
        (status = 409, description = "`not_retryable`: it neither failed nor is held; `expired`: its `expires_at` \
            has passed", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn retry_message(
    State(app): State<App>,
    Extension(actor): Extension<Actor>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<(StatusCode, Json<MessageJson>), Problem> {
    let mut fields = Fields::default();
    fields.refuse_query(query.as_deref());
    fields.finish()?;
    let mut database = app.database().await?;
    let message = super::find(&database, &id).await?;
    retry(&app, &mut database, &message, None, Some(actor)).await?;
    Ok((StatusCode::ACCEPTED, Json(super::find(&database, &id).await?.into())))
}

/// With `as_of`, only if nothing has happened to it since. An actor's own request is recorded; a job is recorded as a
/// whole.
///
/// # Errors
/// 409 `not_retryable` or `expired`.
pub(crate) async fn retry(
    app: &App,
    database: &mut Turn<'_>,
    message: &Message,
    as_of: Option<Timestamp>,
    actor: Option<Actor>,
) -> Result<(), Problem> {
    let not_retryable = |detail: &str| Err(Problem::conflict("not_retryable", detail));
    if message.direction == Direction::Inbound {
        return not_retryable("the message was received, not sent");
    }
    if message.expires_at.is_some_and(|expires_at| expires_at <= app.clock.now()) {
        let detail = "the message's expires_at has passed; send a new one";
        return Err(Problem::conflict("expired", detail));
    }
    let route = app.config.routes.matching(&Facts {
        channel: message.channel,
        source: &message.source,
        target: &message.target,
        priority: message.priority,
        metadata: &message.metadata,
    });
    let route = route.map_or("", |route| route.name.as_str());
    let event_id = app.ids.next(app.database_clock.now(), Bucket::of(message.id));
    let transaction = app_db::begin(database).await?;
    if !app_db::requeue::requeue_within(&transaction, message.id, route, event_id, as_of).await? {
        return not_retryable("only messages that failed or are held can be tried again");
    }
    if let Some(actor) = actor {
        let entry = actor.entry(app, "message.retry", message.id.to_string(), json!({}));
        audit::write(&transaction, &entry).await?;
    }
    app_db::commit(transaction).await?;
    app.after_commit.wake();
    Ok(())
}
