//! `GET /api/webhook_deliveries/{id}`

use axum::Json;
use axum::extract::{Path, State};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::WebhookDeliveryJson;
use crate::App;
use crate::problem::Problem;

/// A kept webhook, whole.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WholeWebhookDelivery)]
pub(crate) struct WholeWebhookDeliveryJson {
    #[serde(flatten)]
    delivery: WebhookDeliveryJson,
    method: String,
    /// Path and query.
    target: String,
    /// Names, each with its values; credentials are never kept.
    #[schema(value_type = std::collections::HashMap<String, Vec<String>>)]
    headers: Value,
    /// Null where it is no UTF-8.
    #[schema(required = true)]
    body: Option<String>,
    /// Where it is no UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, value_type = String)]
    body_base64: Option<String>,
}

/// Show a kept webhook
///
/// As it came, without credentials; a receipt that matches no message, as it was understood. With an operator's key.
#[utoipa::path(
    get,
    path = "/api/webhook_deliveries/{id}",
    tag = "webhooks",
    operation_id = "show_webhook_delivery",
    params(("id" = String, Path, description = "The kept webhook's id")),
    responses(
        (status = 200, description = "What came", body = WholeWebhookDeliveryJson),
        (status = 403, description = "`not_an_operators_key`", body = Problem,
            content_type = "application/problem+json"),
        (status = 404, description = "`webhook_delivery_not_found`", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn show_webhook_delivery(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Json<WholeWebhookDeliveryJson>, Problem> {
    let (delivery, reception) = super::find(&app, &id).await?;
    let json = WebhookDeliveryJson::of(&delivery, reception);
    let (body, body_base64) = match String::from_utf8(delivery.body) {
        Ok(text) => (Some(text), None),
        Err(bytes) => (None, Some(BASE64.encode(bytes.as_bytes()))),
    };
    Ok(Json(WholeWebhookDeliveryJson {
        delivery: json,
        method: delivery.method,
        target: delivery.target,
        headers: delivery.headers,
        body,
        body_base64,
    }))
}
