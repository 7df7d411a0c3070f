//! `/api/webhook_deliveries`: webhooks that could not be verified or understood, and receipts that match no message: a file
//! per endpoint. For operators: they hold what anybody wrote to anybody.

pub(crate) mod list_webhook_deliveries;
pub(crate) mod replay_webhook_delivery;
pub(crate) mod show_webhook_delivery;

use app_db::quarantine::{self, Delivery, Kept, Reception};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::App;
use crate::problem::Problem;
use crate::times;

/// A webhook that was kept instead of taken in.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookDelivery, example = json!({
    "id": "019a2f7e-3c41-70a4-8000-3f1c52d0a7b1", "provider_id": "twilio-main", "reason": "unverified",
    "detail": "X-Twilio-Signature is not of this request", "body_bytes": 412, "is_cut": false,
    "received_at": "2026-11-23T08:30:00.000000Z", "last_received_at": "2026-11-23T08:42:00.000000Z",
    "deliveries": 3, "peer": "203.0.113.9"
}))]
pub(crate) struct WebhookDeliveryJson {
    id: Uuid,
    /// Whose it is; `generic` for the generic webhooks.
    provider_id: String,
    /// `unverified`, `unparsable`, or `unmatched`: a receipt without a message.
    reason: &'static str,
    /// What is wrong with it, for people.
    detail: String,
    /// Of what is kept.
    body_bytes: i64,
    /// Whether that is only the body's beginning: such a one cannot be processed again.
    is_cut: bool,
    #[schema(format = DateTime)]
    received_at: String,
    /// Of the last of its deliveries.
    #[schema(format = DateTime)]
    last_received_at: String,
    /// How often the same was delivered: provider, reason, URL and body are the same.
    deliveries: i64,
    /// The address that delivered it first; null for an unmatched receipt.
    #[schema(required = true)]
    peer: Option<String>,
}

impl WebhookDeliveryJson {
    fn of(delivery: &Delivery, reception: Reception) -> Self {
        Self {
            id: delivery.id,
            provider_id: delivery.provider_id.clone(),
            reason: delivery.reason.as_str(),
            detail: delivery.detail.clone(),
            body_bytes: i64::try_from(delivery.body.len()).unwrap_or(i64::MAX),
            is_cut: delivery.is_cut,
            received_at: times::format(reception.received_at),
            last_received_at: times::format(reception.last_received_at),
            deliveries: reception.deliveries,
            peer: reception.peer,
        }
    }
}

impl From<Kept> for WebhookDeliveryJson {
    fn from(kept: Kept) -> Self {
        Self {
            id: kept.id,
            provider_id: kept.provider_id,
            reason: kept.reason.as_str(),
            detail: kept.detail,
            body_bytes: i64::from(kept.body_bytes),
            is_cut: kept.is_cut,
            received_at: times::format(kept.reception.received_at),
            last_received_at: times::format(kept.reception.last_received_at),
            deliveries: kept.reception.deliveries,
            peer: kept.reception.peer,
        }
    }
}

/// The one of that id, as it stands in a URL.
///
/// # Errors
/// 404 where it is not kept, or no longer.
pub(crate) async fn find(app: &App, id: &str) -> Result<(Delivery, Reception), Problem> {
    let found = match Uuid::try_parse(id) {
        Ok(id) => quarantine::find(&*app.database().await?, id).await?,
        Err(_) => None,
    };
    found.ok_or_else(|| {
        let detail = "this webhook is not kept, or no longer: it was processed, forgotten, or made room";
        Problem::not_found("webhook_delivery_not_found", detail)
    })
}
