//! `POST /api/messages/email`

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;
use model::Medium;

use super::send_sms::send;
use crate::App;
use crate::authentication::Caller;
use crate::content::{EMAIL_FIELDS, describe_sending};
use crate::message_json::MessageJson;
use crate::problem::Problem;

describe_sending! {
    /// An email to send.
    #[schema(example = json!({
        "from": "shop@example.com", "to": "ann@example.org", "subject": "Your order", "body": "<p>It is on its way.</p>"
    }))]
    SendEmail {
        /// An email address, without a name.
        from: String,
        /// An email address, without a name.
        to: String,
        /// `email`, if anything.
        #[schema(required = false, pattern = "^email$")]
        r#type: Option<String>,
        /// One line of up to 998 characters.
        #[schema(required = false, max_length = 998)]
        subject: Option<String>,
        /// Text or HTML. May be empty only where there are attachments.
        #[schema(required = false)]
        body: Option<String>,
    }
}

/// Send an email
///
/// Answered when the message is stored durably; it is sent soon after, or at `send_at`.
#[utoipa::path(
    post,
    path = "/api/messages/email",
    tag = "messages",
    operation_id = "send_email",
    params(
        ("Idempotency-Key" = Option<String>, Header,
            description = "1 to 255 visible characters. The same request under the same key is accepted once and \
                answered the same, for at least 24 hours."),
    ),
    request_body(content = SendEmail, description = "The message"),
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
pub(crate) async fn send_email(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Problem> {
    send(&app, caller, request, Medium::Email, &EMAIL_FIELDS).await
}
