//! `POST /api/webhook_deliveries/{id}/replay`

use axum::extract::{Path, RawQuery, State};
use axum::{Extension, Json};

use super::WebhookDeliveryJson;
use crate::App;
use crate::audit::Actor;
use crate::fields::Fields;
use crate::problem::Problem;
use crate::receive_webhook::replay::{Grounds, replay};

/// Process a kept webhook again
///
/// Under the configuration of now, and as of when it came: a signature is not too old for having waited here. What it says
/// is stored, and it is kept no longer. What still cannot be taken in stays, and the answer says why; a person may trust in
/// the console what proves nothing. With an operator's key.
#[utoipa::path(
    post,
    path = "/api/webhook_deliveries/{id}/replay",
    tag = "webhooks",
    operation_id = "replay_webhook_delivery",
    params(("id" = String, Path, description = "The kept webhook's id")),
    responses(
        (status = 200, description = "It is taken in: as it was kept", body = WebhookDeliveryJson),
        (status = 400, description = "`validation_failed`: it takes no parameters", body = Problem,
            content_type = "application/problem+json"),
        (status = 403, description = "`not_an_operators_key`", body = Problem,
            content_type = "application/problem+json"),
        (status = 404, description = "`webhook_delivery_not_found`", body = Problem,
            content_type = "application/problem+json"),
        (status = 409, description = "`not_replayable`: it still cannot be taken in, and why", body = Problem,
            content_type = "application/problem+json"),
        (status = 503, description = "`database_unavailable` or `overloaded`: try again after `Retry-After` seconds; \
            `webhook_not_confirmed`: its provider does not take the confirmation now",
            body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn replay_webhook_delivery(
    State(app): State<App>,
    Extension(actor): Extension<Actor>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<WebhookDeliveryJson>, Problem> {
    let mut fields = Fields::default();
    fields.refuse_query(query.as_deref());
    fields.finish()?;
    let (delivery, reception) = super::find(&app, &id).await?;
    let taken = WebhookDeliveryJson::of(&delivery, reception.clone());
    replay(&app, delivery, reception.received_at, Grounds::Proof, Some(actor)).await?;
    tracing::info!(
        webhook.delivery_id = %taken.id,
        api_key.id = actor.scope(),
        "a kept webhook was processed again, and is kept no longer"
    );
    Ok(Json(taken))
}
