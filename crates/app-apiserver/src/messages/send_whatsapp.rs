//! `POST /api/messages/whatsapp`

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;
use model::Medium;

use super::send_sms::send;
use crate::App;
use crate::authentication::Caller;
use crate::content::{WHATSAPP_FIELDS, describe_sending};
use crate::message_json::MessageJson;
use crate::problem::Problem;

describe_sending! {
    /// A message to send by WhatsApp.
    #[schema(example = json!({
        "from": "+12025550100", "to": "+12025550199", "body": "Your order is on its way."
    }))]
    SendWhatsapp {
        /// The business's number, in E.164.
        from: String,
        /// A phone number, best in E.164 with its plus; or the id of a user who shows none, as inbound messages have
        /// it.
        to: String,
        /// Up to 4,096 characters; providers may take fewer, with an attachment mostly 1,024. May be empty only where
        /// there is an attachment.
        #[schema(required = false, max_length = 4096)]
        body: Option<String>,
    }
}

/// Send a WhatsApp message
///
/// Answered when the message is stored durably; it is sent soon after, or at `send_at`. WhatsApp takes free text only
/// within 24 hours of the recipient's last message; outside of it the message fails as `content_rejected`.
#[utoipa::path(
    post,
    path = "/api/messages/whatsapp",
    tag = "messages",
    operation_id = "send_whatsapp",
    params(
        ("Idempotency-Key" = Option<String>, Header,
            description = "1 to 255 visible characters. The same request under the same key is accepted once and \
                answered the same, for at least 24 hours."),
    ),
    request_body(content = SendWhatsapp, description = "The message"),
    responses(
        (status = 202, description = "Accepted, or accepted before under this Idempotency-Key", body = MessageJson,
            headers(
                ("Location" = String, description = "Where the message is"),
                ("Idempotent-Replayed" = Option<String>, description = "`true` where this answer was given before"),
            )),
        (status = 410, description = "`message_gone`: accepted before, and removed since", body = Problem,
            content_type = "application/problem+json"),
        (status = 422, description = "`idempotency_key_reused`: another request came under this key",
            body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn send_whatsapp(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Problem> {
    send(&app, caller, request, Medium::Whatsapp, &WHATSAPP_FIELDS).await
}
