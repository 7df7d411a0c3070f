//! Every route, a line each; the console's are in [`console`].

use axum::Router;
use axum::middleware::from_fn;
use axum::routing::{get, post};
use http::HeaderMap;

use crate::App;
use crate::audit::list_audit_entries::list_audit_entries;
use crate::authentication::{with_key, with_named_host, with_operators_key};
use crate::console;
use crate::conversations::list_conversation_messages::list_conversation_messages;
use crate::conversations::list_conversations::list_conversations;
use crate::conversations::reply::reply;
use crate::conversations::show_conversation::show_conversation;
use crate::health::{healthz, readyz};
use crate::messages::cancel_message::cancel_message;
use crate::messages::explain_message::explain_message;
use crate::messages::list_message_events::list_message_events;
use crate::messages::list_messages::list_messages;
use crate::messages::retry_message::retry_message;
use crate::messages::send_email::send_email;
use crate::messages::send_sms::send_sms;
use crate::messages::send_whatsapp::send_whatsapp;
use crate::messages::show_message::show_message;
use crate::observe::{not_found, observed};
use crate::openapi::{docs, show_document};
use crate::receive_webhook::receive_email::receive_email;
use crate::receive_webhook::receive_sms::receive_sms;
use crate::receive_webhook::{receive_webhook, receive_webhook_by_get};
use crate::show_media::show_media;
use crate::show_metrics::show_metrics;
use crate::webhook_deliveries::list_webhook_deliveries::list_webhook_deliveries;
use crate::webhook_deliveries::replay_webhook_delivery::replay_webhook_delivery;
use crate::webhook_deliveries::show_webhook_delivery::show_webhook_delivery;

pub(crate) fn router(app: App) -> Router {
    let for_callers = Router::new()
        .route("/api/messages", get(list_messages))
        .route("/api/messages/sms", post(send_sms))
        .route("/api/messages/email", post(send_email))
        .route("/api/messages/whatsapp", post(send_whatsapp))
        .route("/api/messages/{id}", get(show_message))
        .route("/api/messages/{id}/events", get(list_message_events))
        .route("/api/messages/{id}/explain", get(explain_message))
        .route("/api/messages/{id}/cancel", post(cancel_message))
        .route("/api/messages/{id}/retry", post(retry_message))
        .route("/api/conversations", get(list_conversations))
        .route("/api/conversations/{id}", get(show_conversation))
        .route("/api/conversations/{id}/messages", get(list_conversation_messages).post(reply))
        .route("/api/media/{id}", get(show_media));
    let for_operators = Router::new()
        .route("/api/webhook_deliveries", get(list_webhook_deliveries))
        .route("/api/webhook_deliveries/{id}", get(show_webhook_delivery))
        .route("/api/webhook_deliveries/{id}/replay", post(replay_webhook_delivery))
        .route("/api/audit", get(list_audit_entries));
    let with_their_own = Router::new()
        .route("/api/webhooks/sms", post(receive_sms))
        .route("/api/webhooks/email", post(receive_email))
        .route("/api/webhooks/{provider_id}", post(receive_webhook).get(receive_webhook_by_get))
        .route("/metrics", get(show_metrics));
    let open = Router::new().route("/healthz", get(healthz)).route("/readyz", get(readyz));
    let documents = Router::new()
        .route("/openapi.json", get(show_document))
        .merge(Router::from(docs()).layer(from_fn(crate::openapi::contain)));
    let all = Router::new()
        .merge(with_key(&app, for_callers))
        .merge(with_operators_key(&app, for_operators))
        .merge(with_their_own)
        .merge(open)
        .merge(console::routes(&app))
        .merge(with_named_host(&app, documents))
        .fallback(async |headers: HeaderMap| console::as_page(&headers, not_found()));
    observed(&app, all).with_state(app)
}
