//! `POST /api/conversations/{id}/messages`

use app_db::conversations::reply_ends;
use axum::Extension;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use model::Channel;

use crate::App;
use crate::authentication::Caller;
use crate::content::{Content, SUBJECT_CHARS_MAX, describe_sending, known_fields};
use crate::message_json::MessageJson;
use crate::problem::Problem;
use crate::send::{self, Ends, Sending};

describe_sending! {
    /// A message in a conversation; the ends are those of its newest message.
    #[schema(example = json!({"body": "Thank you!"}))]
    Reply {
        /// `sms` or `mms` on the phone, `email` in email; not on WhatsApp.
        #[schema(required = false, pattern = "^(sms|mms|email)$")]
        r#type: Option<String>,
        /// In email only; without it, `Re:` and the newest subject.
        #[schema(required = false, max_length = 998)]
        subject: Option<String>,
        /// May be empty only where there are attachments.
        #[schema(required = false)]
        body: Option<String>,
    }
}

/// Reply in a conversation
///
/// From the end that is ours to the other, as its newest message has them.
#[utoipa::path(
    post,
    path = "/api/conversations/{id}/messages",
    tag = "conversations",
    operation_id = "reply",
    params(
        ("id" = String, Path, description = "The conversation's id"),
        ("Idempotency-Key" = Option<String>, Header,
            description = "1 to 255 visible characters. The same request under the same key is accepted once and \
                answered the same, for at least 24 hours."),
    ),
    request_body(content = Reply, description = "The message"),
    responses(
        (status = 202, description = "Accepted, or accepted before under this Idempotency-Key", body = MessageJson,
            headers(
                ("Location" = String, description = "Where the message is"),
                ("Idempotent-Replayed" = Option<String>, description = "`true` where this answer was given before"),
            )),
        (status = 404, description = "`conversation_not_found`", body = Problem,
            content_type = "application/problem+json"),
        (status = 409, description = "`conversation_empty`: its messages were removed, so nobody knows the ends",
            body = Problem, content_type = "application/problem+json"),
        (status = 410, description = "`message_gone`: accepted before, and removed since", body = Problem,
            content_type = "application/problem+json"),
        (status = 422, description = "`idempotency_key_reused`: another request came under this key",
            body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn reply(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let sending = Sending::read(&app, caller, request).await?;
    accept_reply(&app, &id, sending).await
}

/// Whoever asks for it.
pub(crate) async fn accept_reply(app: &App, id: &str, mut sending: Sending) -> Result<Response, Problem> {
    let newest = {
        let database = app.database().await?;
        let conversation = super::find(&database, id).await?;
        reply_ends(&database, conversation.id).await?
    };
    let Some(newest) = newest else {
        let detail = "the conversation has no messages left; send to its participants instead";
        return Err(Problem::conflict("conversation_empty", detail));
    };
    let medium = newest.channel.medium();
    let mut content = Content::read(&mut sending.fields, medium, sending.now);
    sending.fields.refuse_the_rest(&[known_fields(medium)]);
    // The request as it came: a repetition of it must not be another one because the conversation went on.
    let idempotency = sending.idempotency(|| content.meaning(None, None));
    let share = sending.share();
    if let Some(before) = sending.check(app, &content, idempotency.as_ref()).await? {
        return send::answer(before);
    }
    if content.channel == Channel::Email && content.subject.is_none() {
        content.subject = newest.subject.as_deref().map(reply_subject);
    }
    let ends = Ends { from: newest.source, to: newest.target };
    send::accept(app, medium, ends, content, idempotency, share).await
}

/// RFC 5322 section 3.6.5.
pub(crate) fn reply_subject(subject: &str) -> String {
    let is_reply = subject.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("re:"));
    // An inbound subject may hold what a header must not.
    let subject = subject.chars().map(|c| if c.is_control() { ' ' } else { c });
    let start = if is_reply { "" } else { "Re: " };
    start.chars().chain(subject).take(SUBJECT_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_marked_once_and_stays_one_line() {
        assert_eq!(reply_subject("Your order"), "Re: Your order");
        assert_eq!(reply_subject("RE: Your order"), "RE: Your order");
        assert_eq!(reply_subject("a\r\nBcc: x"), "Re: a  Bcc: x");
        assert_eq!(reply_subject("né"), "Re: né");
        assert_eq!(reply_subject(&"x".repeat(2000)).chars().count(), SUBJECT_CHARS_MAX);
    }
}
