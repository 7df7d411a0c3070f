//! `POST /api/messages/sms`

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;
use model::Medium;

use crate::App;
use crate::authentication::Caller;
use crate::content::{Content, PHONE_FIELDS, describe_sending};
use crate::message_json::MessageJson;
use crate::problem::Problem;
use crate::send::{self, Ends, Sending};

describe_sending! {
    /// An SMS or MMS to send.
    #[schema(example = json!({
        "from": "+12025550100", "to": "+12025550199", "body": "Hello"
    }))]
    SendSms {
        /// An E.164 number, a short code (3 to 8 digits) or an alphanumeric sender id (up to 11 characters).
        from: String,
        /// A phone number, best in E.164 with its plus.
        to: String,
        /// `sms` or `mms`; without it, a message with attachments is an MMS.
        #[schema(required = false, pattern = "^(sms|mms)$")]
        r#type: Option<String>,
        /// Up to 1,600 characters. May be empty only where there are attachments.
        #[schema(required = false, max_length = 1600)]
        body: Option<String>,
    }
}

/// Send an SMS or MMS
///
/// Answered when the message is stored durably; it is sent soon after, or at `send_at`.
#[utoipa::path(
    post,
    path = "/api/messages/sms",
    tag = "messages",
    operation_id = "send_sms",
    params(
        ("Idempotency-Key" = Option<String>, Header,
            description = "1 to 255 visible characters. The same request under the same key is accepted once and \
                answered the same, for at least 24 hours."),
    ),
    request_body(content = SendSms, description = "The message"),
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
pub(crate) async fn send_sms(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Problem> {
    send(&app, caller, request, Medium::Phone, &PHONE_FIELDS).await
}

/// What the endpoints that name both ends do.
pub(super) async fn send(
    app: &App,
    caller: Caller,
    request: Request,
    medium: Medium,
    fields: &[&str],
) -> Result<Response, Problem> {
    accept_between(app, Sending::read(app, caller, request).await?, medium, fields).await
}

/// Whoever asks for it.
pub(crate) async fn accept_between(
    app: &App,
    mut sending: Sending,
    medium: Medium,
    fields: &[&str],
) -> Result<Response, Problem> {
    let addressing = &app.config.addressing;
    let from = sending.fields.endpoint("from", |text| addressing.sender(medium, text));
    let to = sending.fields.endpoint("to", |text| addressing.recipient(medium, text));
    let content = Content::read(&mut sending.fields, medium, sending.now);
    sending.fields.refuse_the_rest(&[&["from", "to"], fields]);
    let idempotency = sending.idempotency(|| content.meaning(from.as_ref(), to.as_ref()));
    let share = sending.share();
    if let Some(before) = sending.check(app, &content, idempotency.as_ref()).await? {
        return send::answer(before);
    }
    let (Some(from), Some(to)) = (from, to) else { return Err(Problem::internal()) };
    send::accept(app, medium, Ends { from, to }, content, idempotency, share).await
}
