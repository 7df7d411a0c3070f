//! Twilio SendGrid: email (https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send).
//! Its two webhooks are `sendgrid/event_webhook.rs` and
//! `sendgrid/inbound_parse.rs`.

mod event_webhook;
mod inbound_parse;
mod signature;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, Uri};
use jiff::Timestamp;
use model::{Channel, Outcome, Reason};
use p256::ecdsa::VerifyingKey;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};

use crate::email::content::{self, Content};
use crate::email::{self, ATTEMPT_NAME, MESSAGE_ID_NAME};
use crate::inbound_text::code_word;
use crate::response_class::by_status;
use crate::webhook::{unparsable, unverified};
use crate::{
    Call, Kind, Outgoing, Provider, Settings, SettingsError, Webhook, WebhookError, WebhookRequest, base_url,
    credentials, http_call,
};

pub(crate) const KIND: Kind = Kind {
    name: "sendgrid",
    channels: &[Channel::Email],
    base_url: "https://api.sendgrid.com",
    receipts: true,
    inbound: true,
    signature: "Event Webhook: ECDSA P-256 with webhook_public_key; Inbound Parse: ?secret= with inbound_secret",
    receipts_carry_our_id: true,
    verification_keys: &["webhook_public_key", "inbound_secret"],
    setup: include_str!("sendgrid/setup.toml"),
    configure,
};

const KEYS: &[&str] = &["api_key", "webhook_public_key", "inbound_secret", "from_name"];

const MESSAGE_ID: &str = "x-message-id";
/// Absolute, in unix seconds. Mail send answers 429 with it and without `Retry-After`.
const RESET_HEADER: &str = "x-ratelimit-reset";

#[derive(Debug)]
struct SendGrid {
    mail_send_uri: Uri,
    /// Marked as sensitive, so that `Debug` does not show it.
    authorization: HeaderValue,
    webhook_public_key: Option<VerifyingKey>,
    inbound_secret: Option<SecretString>,
    from_name: Option<String>,
    verify: bool,
}

fn configure(settings: &Settings) -> Result<Box<dyn Provider>, SettingsError> {
    settings.only(KEYS)?;
    let api_key = settings.required("api_key")?;
    let authorization = credentials::token("api_key", "Bearer", &api_key)?;
    let webhook_public_key = match settings.optional("webhook_public_key") {
        Some(text) => Some(signature::public_key(text.expose_secret())?),
        None => None,
    };
    Ok(Box::new(SendGrid {
        mail_send_uri: base_url::join(&settings.base_url, "/v3/mail/send")?,
        authorization,
        webhook_public_key,
        inbound_secret: settings.optional("inbound_secret"),
        from_name: email::from_name(settings),
        verify: settings.verify,
    }))
}

impl Provider for SendGrid {
    fn call(&self, message: &Outgoing<'_>) -> Result<Call, Outcome> {
        email::check(message, "sendgrid")?;
        let Content { subject, text, html } = content::of(message);
        let part = |media_type: &str, value: String| json!({ "type": media_type, "value": value });
        // Mail send demands text before HTML.
        let parts: Vec<Value> =
            [text.map(|text| part("text/plain", text)), html.map(|html| part("text/html", html))]
                .into_iter()
                .flatten()
                .collect();
        let mut from = json!({ "email": message.from.as_str() });
        if let Some(name) = &self.from_name {
            from["name"] = name.as_str().into();
        }
        let headers: Map<String, Value> = email::headers(message)
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect();
        let mut body = json!({
            "personalizations": [{
                "to": [{ "email": message.to.as_str() }],
                // Strings: a number is answered with a 400 that names no field. Every event repeats them at its top
                // level: their prefix keeps them off SendGrid's own fields (`attempt` is one).
                "custom_args": {
                    MESSAGE_ID_NAME: message.message_id.to_string(),
                    ATTEMPT_NAME: message.attempt.to_string(),
                },
            }],
            "from": from,
            "subject": subject,
            "content": parts,
            "headers": headers,
        });
        if !message.files.is_empty() {
            let attachments = message.files.iter().map(|file| {
                json!({
                    "content": content::base64(file),
                    "type": file.content_type,
                    "filename": file.filename,
                    "disposition": "attachment",
                })
            });
            body["attachments"] = attachments.collect();
        }
        Ok(Call::Http(http_call::post_json(&self.mail_send_uri, &self.authorization, &body)))
    }

    fn http_outcome(&self, response: &Response<Bytes>, now: Timestamp) -> Outcome {
        let (status, headers) = (response.status(), response.headers());
        match status.as_u16() {
            // 200 is the sandbox's answer. SendGrid's have an id, or at least no body; with one they are somebody else's.
            202 if headers.contains_key(MESSAGE_ID) || response.body().is_empty() => accepted(response),
            200 if response.body().is_empty() => accepted(response),
            200..=299 => Outcome::Uncertain {
                reason: Reason::UnreadableAnswer,
                detail: format!("HTTP {}, not in the form of SendGrid's 202", status.as_u16()),
            },
            400 => invalid(response),
            401 if error_text(response).contains("credits") => Outcome::Halted {
                provider_code: Some("401".to_owned()),
                detail: "HTTP 401: the account's credits are used up".to_owned(),
            },
            403 if is_about_the_sender(response) => Outcome::Rejected {
                reason: Reason::Configuration,
                provider_code: Some("403".to_owned()),
                detail: "HTTP 403: the sender is not a verified sender identity".to_owned(),
            },
            403 => Outcome::Forbidden {
                provider_code: Some("403".to_owned()),
                detail: "HTTP 403: the API key may not send this mail; check its scopes".to_owned(),
            },
            _ => by_status(status, headers, Some(RESET_HEADER), None, now),
        }
    }

    fn check_head(&self, head: &WebhookRequest<'_>) -> Result<(), WebhookError> {
        let content_type = head.header(CONTENT_TYPE).unwrap_or_default();
        let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match media_type.as_str() {
            "application/json" if self.verify => signature::check_head_of_events(head),
            "multipart/form-data" if self.verify => {
                signature::verify_inbound(head, self.inbound_secret.as_ref())
            }
            _ => Ok(()),
        }
    }

    /// Both webhooks arrive at one address; events are JSON, mail is a form.
    fn webhook(&self, request: &WebhookRequest<'_>) -> Result<Webhook, WebhookError> {
        let content_type = request.header(CONTENT_TYPE).unwrap_or_default();
        let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match media_type.as_str() {
            "application/json" => {
                if self.verify {
                    signature::verify_events(request, self.webhook_public_key.as_ref())?;
                }
                event_webhook::read(request.body)
            }
            "multipart/form-data" => {
                if self.verify {
                    signature::verify_inbound(request, self.inbound_secret.as_ref())?;
                }
                inbound_parse::read(content_type, request.body, request.now)
            }
            _ => {
                let why = "its content type is neither application/json (Event Webhook) nor multipart/form-data \
                           (Inbound Parse)";
                // Which of its proofs it should bring is not known then.
                Err(if self.verify { unverified(why) } else { unparsable(why) })
            }
        }
    }
}

/// 202 has no body. The id stands in a header, and a message without one is accepted all the same: events bring
/// back our own.
fn accepted(response: &Response<Bytes>) -> Outcome {
    let id = response.headers().get(MESSAGE_ID).and_then(|value| value.to_str().ok()).and_then(code_word);
    Outcome::Accepted { provider_message_id: id }
}

/// A 400's `field` says who is to blame. Its `message` may quote addresses, and is not passed on.
fn invalid(response: &Response<Bytes>) -> Outcome {
    let field = errors(response).into_iter().find_map(|error| code_word(error["field"].as_str()?));
    let field = field.as_deref().unwrap_or_default();
    let reason = match field.split('.').collect::<Vec<_>>()[..] {
        ["from" | "reply_to" | "custom_args", ..] => Reason::Configuration,
        ["personalizations", _, "to" | "cc" | "bcc", ..] => Reason::InvalidRecipient,
        ["subject" | "content" | "attachments", ..] | ["personalizations", _, "subject"] => {
            Reason::ContentRejected
        }
        _ => Reason::Rejected,
    };
    let detail = if field.is_empty() { "HTTP 400".to_owned() } else { format!("HTTP 400 at {field}") };
    Outcome::Rejected { reason, provider_code: Some("400".to_owned()), detail }
}

fn is_about_the_sender(response: &Response<Bytes>) -> bool {
    errors(response)
        .iter()
        .any(|error| error["field"].as_str().is_some_and(|field| field.starts_with("from")))
        || error_text(response).contains("sender identity")
}

fn error_text(response: &Response<Bytes>) -> String {
    let errors = errors(response);
    let messages: Vec<&str> = errors.iter().filter_map(|error| error["message"].as_str()).collect();
    messages.join("\n").to_lowercase()
}

fn errors(response: &Response<Bytes>) -> Vec<Value> {
    match serde_json::from_slice(response.body()) {
        Ok(Value::Object(mut answer)) => match answer.remove("errors") {
            Some(Value::Array(errors)) => errors,
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}
