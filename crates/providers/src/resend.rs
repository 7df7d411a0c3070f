//! Resend: email (https://resend.com/docs/api-reference/emails/send-email). Its webhooks are `resend/events.rs` and
//! `resend/inbound.rs`, its error codes `resend/error_codes.rs`.

mod error_codes;
mod events;
mod inbound;

use bytes::Bytes;
use http::header::{AUTHORIZATION, USER_AGENT};
use http::{HeaderName, HeaderValue, Response, Uri};
use jiff::Timestamp;
use model::{Channel, Outcome, Reason};
use secrecy::SecretSlice;
use serde_json::{Value, json};
use url::Url;

use self::error_codes::ERROR_CODES;
use crate::email::content::{self, Content};
use crate::email::{self, ATTEMPT_NAME, MESSAGE_ID_NAME};
use crate::error_codes::ErrorCodes;
use crate::inbound_text::code_word;
use crate::response_class::{by_status, unreadable};
use crate::wait::retry_after;
use crate::webhook::require_one_of;
use crate::{
    Call, Kind, Outgoing, Provider, Settings, SettingsError, Webhook, WebhookError, WebhookRequest, base_url,
    credentials, http_call, standard_webhooks,
};

pub(crate) const KIND: Kind = Kind {
    name: "resend",
    channels: &[Channel::Email],
    base_url: "https://api.resend.com",
    receipts: true,
    inbound: true,
    signature: "svix-signature: HMAC-SHA256 with webhook_secret",
    receipts_carry_our_id: true,
    verification_keys: &["webhook_secret"],
    setup: include_str!("resend/setup.toml"),
    configure,
};

const KEYS: &[&str] = &["api_key", "webhook_secret", "from_name"];

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

#[derive(Debug)]
struct Resend {
    emails_uri: Uri,
    /// Below it are the mails that came in.
    received_url: String,
    /// Marked as sensitive, so that `Debug` does not show it.
    authorization: HeaderValue,
    from_name: Option<String>,
    webhook_key: Option<SecretSlice<u8>>,
    codes: ErrorCodes,
    verify: bool,
}

fn configure(settings: &Settings) -> Result<Box<dyn Provider>, SettingsError> {
    settings.only(KEYS)?;
    let authorization = credentials::token("api_key", "Bearer", &settings.required("api_key")?)?;
    let webhook_key = match settings.optional("webhook_secret") {
        Some(secret) => Some(standard_webhooks::signing_key("webhook_secret", &secret)?),
        None => None,
    };
    Ok(Box::new(Resend {
        emails_uri: base_url::join(&settings.base_url, "/emails")?,
        received_url: base_url::join(&settings.base_url, "/emails/receiving")?.to_string(),
        authorization,
        from_name: email::from_name(settings),
        webhook_key,
        codes: ErrorCodes::new(ERROR_CODES, &settings.codes),
        verify: settings.verify,
    }))
}

impl Provider for Resend {
    fn call(&self, message: &Outgoing<'_>) -> Result<Call, Outcome> {
        email::check(message, "resend")?;
        let Content { subject, text, html } = content::of(message);
        let tag = |name: &str, value: String| json!({ "name": name, "value": value });
        let mut body = json!({
            "from": email::mailbox(self.from_name.as_deref(), message.from.as_str()),
            "to": [message.to.as_str()],
            "subject": subject,
            "tags": [
                tag(MESSAGE_ID_NAME, message.message_id.to_string()),
                tag(ATTEMPT_NAME, message.attempt.to_string()),
            ],
        });
        for (name, value) in [("text", text), ("html", html)] {
            if let Some(value) = value {
                body[name] = value.into();
            }
        }
        // Resend gives every mail a Message-ID of its own.
        let threading = email::threading(message);
        if !threading.is_empty() {
            body["headers"] = threading.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        }
        if !message.files.is_empty() {
            let attachments = message.files.iter().map(|file| {
                json!({
                    "filename": file.filename,
                    "content": content::base64(file),
                    "content_type": file.content_type,
                })
            });
            body["attachments"] = attachments.collect();
        }
        let mut request = http_call::post_json(&self.emails_uri, &self.authorization, &body);
        let headers = request.headers_mut();
        // Refused without one.
        headers.insert(USER_AGENT, HeaderValue::from_static("app"));
        // Of the attempt, not of the message alone: the body names the attempt, and a key with another body is refused.
        if let Ok(key) = HeaderValue::try_from(format!("{}-{}", message.message_id, message.attempt)) {
            headers.insert(IDEMPOTENCY_KEY, key);
        }
        Ok(Call::Http(request))
    }

    fn http_outcome(&self, response: &Response<Bytes>, now: Timestamp) -> Outcome {
        let (status, headers) = (response.status(), response.headers());
        let answer: Value = serde_json::from_slice(response.body()).unwrap_or_default();
        if status.is_success() {
            return match answer["id"].as_str().and_then(code_word) {
                Some(id) if status == 200 => Outcome::Accepted { provider_message_id: Some(id) },
                _ => unreadable(status.as_u16(), "without a message id"),
            };
        }
        let name = answer["name"].as_str().and_then(code_word);
        match name.as_deref().and_then(|name| self.codes.find(name)) {
            // A redirect is never Resend's verdict.
            Some(known) if !status.is_redirection() => match known.outcome(retry_after(headers, None, now)) {
                Outcome::Rejected { reason: Reason::Rejected, provider_code, detail } => {
                    let reason = reason_of(status.as_u16(), &answer);
                    Outcome::Rejected { reason, provider_code, detail }
                }
                outcome => outcome,
            },
            _ => by_status(status, headers, None, name, now),
        }
    }

    fn check_head(&self, head: &WebhookRequest<'_>) -> Result<(), WebhookError> {
        if self.verify { require_one_of(head, &["svix-signature"]) } else { Ok(()) }
    }

    fn webhook(&self, request: &WebhookRequest<'_>) -> Result<Webhook, WebhookError> {
        if self.verify {
            standard_webhooks::verify(request, "svix", "webhook_secret", self.webhook_key.as_ref())?;
        }
        let Ok(Value::Object(event)) = serde_json::from_slice(request.body) else {
            return Err(WebhookError::Unparsable("expected a JSON object".to_owned()));
        };
        let event = Value::Object(event);
        match event["type"].as_str() {
            Some("email.received") => inbound::read(&event["data"], request, self),
            word => Ok(events::read(word.unwrap_or_default(), &event)),
        }
    }

    /// The mails that came in are read with our key, and their sources, elsewhere, without it.
    fn document_authorization(&self, url: &str) -> Option<(HeaderName, HeaderValue)> {
        self.is_below_base(url).then(|| (AUTHORIZATION, self.authorization.clone()))
    }
}

impl Resend {
    fn is_below_base(&self, url: &str) -> bool {
        url.strip_prefix(&self.received_url).is_some_and(|rest| rest.starts_with('/'))
    }

    /// Whether a document that a mail refers to is at Resend, whose hosts are all below its domain, or at what is
    /// configured in its place.
    fn has_document(&self, url: &str) -> bool {
        let is_host = |host: &str| host.ends_with(".resend.com");
        self.is_below_base(url)
            || Url::parse(url).is_ok_and(|url| url.scheme() == "https" && url.host_str().is_some_and(is_host))
    }
}

/// One name covers every field of a request; who is to blame stands in the status and in the text, which may quote
/// addresses and is not passed on.
fn reason_of(status: u16, answer: &Value) -> Reason {
    let message = answer["message"].as_str().unwrap_or_default();
    if message.contains("`to`") {
        Reason::InvalidRecipient
    } else if message.contains("`from`") || status == 403 {
        Reason::Configuration
    } else {
        Reason::Rejected
    }
}
