//! `GET /api/webhook_deliveries`

use app_db::quarantine::{self, Reason, Which};
use axum::Json;
use axum::extract::{OriginalUri, RawQuery, State};
use serde::Serialize;
use utoipa::ToSchema;

use super::WebhookDeliveryJson;
use crate::App;
use crate::cursor::{List, Place};
use crate::fields::{Fields, Text};
use crate::page::PageRequest;
use crate::problem::Problem;

/// A page of kept webhooks.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookDeliveryList)]
pub(crate) struct WebhookDeliveryListJson {
    webhook_deliveries: Vec<WebhookDeliveryJson>,
    /// Where the next page begins; null on the last.
    #[schema(required = true)]
    next_cursor: Option<String>,
}

/// List kept webhooks
///
/// What was delivered and could not be verified or understood, and receipts that match no message yet; the newest first.
/// Of each provider and reason about 5,000 are kept, and 64 MiB, which the delivering addresses share; receipts for 72
/// hours. The same, delivered again, is counted in `deliveries`. With an operator's key.
#[utoipa::path(
    get,
    path = "/api/webhook_deliveries",
    tag = "webhooks",
    operation_id = "list_webhook_deliveries",
    params(
        ("reason" = Option<String>, Query, description = "`unverified`, `unparsable` or `unmatched`"),
        ("provider_id" = Option<String>, Query, description = "Delivered for this provider; `generic` for the generic \
            webhooks"),
        ("limit" = Option<u16>, Query, description = "1 to 200, 50 by default", minimum = 1, maximum = 200),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses(
        (status = 200, description = "A page of them", body = WebhookDeliveryListJson),
        (status = 403, description = "`not_an_operators_key`", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list_webhook_deliveries(
    State(app): State<App>,
    OriginalUri(uri): OriginalUri,
    RawQuery(query): RawQuery,
) -> Result<Json<WebhookDeliveryListJson>, Problem> {
    let mut query = Fields::of_query(query.as_deref());
    let which = Which {
        reason: query.word("reason", &Reason::ALL.map(Reason::as_str)),
        provider_id: query.text("provider_id", Text::Line, 64),
        up_to: None,
    };
    let page = PageRequest::read(&mut query);
    query.refuse_the_rest(&[&["reason", "provider_id"], &PageRequest::NAMES]);
    query.finish()?;
    let list = List::of(uri.path(), &which);
    let before = page.cursor.as_deref().map(|cursor| list.place(cursor)).transpose()?;
    // One more tells whether there are more.
    let wanted = i64::try_from(page.limit + 1).unwrap_or(i64::MAX);
    let database = app.database().await?;
    let mut kept = quarantine::list(&database, &which, before.map(|place| place.id), wanted).await?;
    let is_last = kept.len() <= page.limit;
    kept.truncate(page.limit);
    let next_cursor = kept.last().filter(|_| !is_last).map(|last| list.cursor(Place::at(last.id)));
    let webhook_deliveries = kept.into_iter().map(WebhookDeliveryJson::from).collect();
    Ok(Json(WebhookDeliveryListJson { webhook_deliveries, next_cursor }))
}
