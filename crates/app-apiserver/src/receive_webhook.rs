//! `POST` and `GET /api/webhooks/{provider_id}`: a provider's own format, verified by its adapter. What it says is
//! stored before it is answered; what cannot be verified or understood is kept and answered 4xx.

pub(crate) mod documents;
pub(crate) mod generic;
mod keep;
mod masking;
mod park;
pub(crate) mod parse_memory;
pub(crate) mod receive_email;
pub(crate) mod receive_sms;
pub(crate) mod replay;
pub(crate) mod store;
mod understand;

use std::sync::Arc;

use app_db::quarantine::Reason;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use jiff::Timestamp;
use providers::{Provider, Webhook, WebhookError, WebhookReply};
use service::ProviderConfig;
use service::metrics::ProviderResult;
use url::Url;

use self::keep::Arrived;
use self::understand::{Reader, understand};
use crate::App;
use crate::body;
use crate::problem::Problem;

/// Receive a provider's webhook
///
/// Inbound messages and receipts of a configured provider, in its own format, verified by its signature. Answered
/// when what it says is stored.
#[utoipa::path(
    post,
    path = "/api/webhooks/{provider_id}",
    tag = "webhooks",
    operation_id = "receive_webhook",
    security(()),
    params(("provider_id" = String, Path, description = "The `id` of a configured provider")),
    request_body(content = Vec<u8>, content_type = "*/*", description = "As the provider sends it"),
    responses(
        (status = 200, description = "Stored, or stored before; what the provider wants to see"),
        (status = 400, description = "`webhook_not_understood`: kept in `webhook_deliveries`", body = Problem,
            content_type = "application/problem+json"),
        (status = 403, description = "`webhook_not_verified`: kept in `webhook_deliveries`", body = Problem,
            content_type = "application/problem+json"),
        (status = 404, description = "`provider_not_found`", body = Problem,
            content_type = "application/problem+json"),
        (status = 503, description = "`webhook_document_unavailable`, `webhook_not_confirmed`: deliver it again",
            body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn receive_webhook(
    State(app): State<App>,
    Path(provider_id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let Some(provider) = app.config.provider(&provider_id) else {
        let detail = "no provider of this id is configured; it is the last part of the URL";
        return Err(Problem::not_found("provider_not_found", detail));
    };
    let (parts, mut body) = request.into_parts();
    if !provider.verifies {
        app.keys.check_unauthenticated(&parts.headers)?;
    }
    let mut arrived = Arrived::head(provider_id, &parts);
    if let Err(error) = check_head(&app, provider, &arrived) {
        let (beginning, is_whole) = body::read_little(&mut body).await;
        (arrived.body, arrived.is_cut) = (beginning, !is_whole);
        return Err(refuse(&app, &arrived, error).await?);
    }
    let read_body = app.webhook_bodies.read(&parts, body, app.config.server.webhook_bytes_max).await?;
    (arrived.body, arrived.share) = (read_body.bytes, read_body.share);
    let (arrived, understood) = read(&app, provider, &provider.adapter, arrived, app.clock.now()).await?;
    if provider.verifies && matches!(understood, Ok(_) | Err(WebhookError::Unparsable(_))) {
        app.peers.note_verified(arrived.peer);
    }
    let taken = match understood {
        Ok(webhook) => store(&app, &arrived, &provider.base_url, webhook).await?,
        Err(error) => Err(error),
    };
    match taken {
        Ok(reply) if reply.content_type.is_empty() => Ok(StatusCode::OK.into_response()),
        Ok(reply) => Ok(([(CONTENT_TYPE, reply.content_type)], reply.body).into_response()),
        Err(error) => Err(refuse(&app, &arrived, error).await?),
    }
}

/// Whether the head alone shows that the webhook is not the provider's.
fn check_head(app: &App, provider: &ProviderConfig, arrived: &Arrived) -> Result<(), WebhookError> {
    let url = format!("{}{}", app.config.public_url, arrived.target);
    provider.adapter.check_head(&understand::request(arrived, &url, &[], app.clock.now()))
}

/// The problem to answer with, once the webhook is kept.
async fn refuse(app: &App, arrived: &Arrived, error: WebhookError) -> Result<Problem, Problem> {
    match error {
        WebhookError::Unverified(why) => {
            arrived.keep(app, Reason::Unverified, &why).await?;
            let detail = "the webhook does not prove that the provider sent it; it is kept in webhook_deliveries, \
                          with the reason";
            Ok(Problem::new(StatusCode::FORBIDDEN, "webhook_not_verified", detail))
        }
        WebhookError::Unparsable(why) => {
            arrived.keep(app, Reason::Unparsable, &why).await?;
            let detail =
                "the webhook cannot be understood; it is kept in webhook_deliveries, with the reason";
            Ok(Problem::bad_request("webhook_not_understood", detail))
        }
        WebhookError::Needs(url) => {
            let why = format!("the document {url} that proves it cannot be had");
            arrived.keep(app, Reason::Unverified, &why).await?;
            // That may pass: the provider is to try again.
            Ok(Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "webhook_document_unavailable",
                "a document that proves the webhook cannot be had now; it is kept in webhook_deliveries",
            ))
        }
    }
}

/// As this adapter of the provider's reads it at that time.
async fn read(
    app: &App,
    provider: &ProviderConfig,
    adapter: &Arc<dyn Provider>,
    arrived: Arrived,
    now: Timestamp,
) -> Result<(Arrived, Result<Webhook, WebhookError>), Problem> {
    let reader = Reader {
        documents: &app.documents,
        budget: &app.webhook_bodies,
        parsing: &app.parsing,
        adapter,
        base_url: &provider.base_url,
        public_url: &app.config.public_url,
        private_bytes_max: app.config.server.webhook_bytes_max,
        now,
    };
    understand(&reader, arrived).await
}

/// Receive a provider's webhook by GET
///
/// As the same path by POST, for providers that are told to call so.
#[utoipa::path(
    get,
    path = "/api/webhooks/{provider_id}",
    tag = "webhooks",
    operation_id = "receive_webhook_by_get",
    security(()),
    params(("provider_id" = String, Path, description = "The `id` of a configured provider")),
    responses(
        (status = 200, description = "Stored, or stored before; what the provider wants to see"),
        (status = 400, description = "`webhook_not_understood`: kept in `webhook_deliveries`", body = Problem,
            content_type = "application/problem+json"),
        (status = 403, description = "`webhook_not_verified`: kept in `webhook_deliveries`", body = Problem,
            content_type = "application/problem+json"),
        (status = 404, description = "`provider_not_found`", body = Problem,
            content_type = "application/problem+json"),
        (status = 503, description = "`webhook_document_unavailable`, `webhook_not_confirmed`: deliver it again",
            body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn receive_webhook_by_get(
    state: State<App>,
    provider_id: Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    receive_webhook(state, provider_id, request).await
}

/// Stores what it says. What is wrong with a message of it is said once the others are stored: delivered or processed
/// again, they are the same messages.
async fn store(
    app: &App,
    arrived: &Arrived,
    base_url: &Url,
    webhook: Webhook,
) -> Result<Result<WebhookReply, WebhookError>, Problem> {
    let count = |result: &str| {
        let labels = ProviderResult::new(&arrived.provider_id, result);
        app.metrics.webhooks_received.get_or_create(&labels).inc();
    };
    let mut not_normal = None;
    let mut tickets = Vec::with_capacity(webhook.inbound.len());
    for message in webhook.inbound {
        match store::normalise(app, &arrived.provider_id, arrived, message) {
            Ok(inbound) => tickets.push(app.inbound.enter(inbound, arrived.share.clone())?),
            Err((field, error)) => not_normal = Some(format!("{field} {error}")),
        }
    }
    for ticket in tickets {
        count(if ticket.committed().await?.new { "received" } else { "duplicate" });
    }
    if !webhook.receipts.is_empty() {
        let unmatched = store::apply(app, arrived, webhook.receipts).await?;
        count(if unmatched == 0 { "receipt" } else { "unmatched" });
    }
    if let Some(why) = not_normal {
        return Ok(Err(WebhookError::Unparsable(why)));
    }
    if let Some(url) = &webhook.confirm {
        app.documents.confirm(url, base_url, &app.webhook_bodies).await.map_err(|why| {
            tracing::warn!(provider.id = arrived.provider_id, why, "a subscription cannot be confirmed");
            let detail = "the subscription cannot be confirmed now; try again";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "webhook_not_confirmed", detail)
        })?;
        tracing::info!(provider.id = arrived.provider_id, "a subscription of webhooks is confirmed");
    }
    Ok(Ok(webhook.reply))
}
