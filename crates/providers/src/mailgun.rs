//! Mailgun: email (https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/messages). Its event
//! webhooks are `mailgun/events.rs`, its routes `mailgun/inbound.rs`.

mod events;
mod inbound;
mod signature;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, Uri};
use jiff::Timestamp;
use model::{Outcome, Reason};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::email::content::{self, Content};
use crate::email::{self, ATTEMPT_NAME, MESSAGE_ID_NAME};
use crate::error_codes::{Class, ErrorCode, ErrorCodes, RETRY, entry};
use crate::http_call::{self, FORM};
use crate::response_class::{by_status, unreadable};
use crate::wait::retry_after;
use crate::{
    Call, File, Kind, Outgoing, Provider, Settings, SettingsError, Webhook, WebhookError, WebhookRequest,
    base_url, credentials, form_data,
};

pub(crate) const KIND: Kind = Kind {
    name: "mailgun",
    channels: &[model::Channel::Email],
    base_url: "https://api.mailgun.net",
    receipts: true,
    inbound: true,
    signature: "HMAC-SHA256 over timestamp and token, with webhook_signing_key",
    receipts_carry_our_id: true,
    verification_keys: &["webhook_signing_key"],
    setup: include_str!("mailgun/setup.toml"),
    configure,
};

const KEYS: &[&str] = &["api_key", "domain", "webhook_signing_key", "from_name"];

/// Mailgun has no codes of its own: its HTTP statuses stand in for them.
const ERROR_CODES: &[ErrorCode] = &[
    entry("400", Class::Refuse, "HTTP 400: a parameter is missing or not valid"),
    entry("401", Class::Halt, "HTTP 401: the API key is wrong"),
    entry("402", Class::Halt, "HTTP 402: the account's limits or credit are used up"),
    entry("403", Class::Forbidden, "HTTP 403: the domain is disabled, or the API key may not send this"),
    entry("404", Class::Configuration, "HTTP 404: no such domain in this region; check domain and base_url"),
    entry("413", Class::Content, "HTTP 413: the message is larger than 25 MB"),
    entry("429", Class::Throttle, "HTTP 429: too many requests"),
    entry("500", RETRY, "HTTP 500: internal error at Mailgun"),
];

#[derive(Debug)]
struct Mailgun {
    messages_uri: Uri,
    /// Marked as sensitive, so that `Debug` does not show it.
    authorization: HeaderValue,
    from_name: Option<String>,
    webhook_signing_key: Option<SecretString>,
    codes: ErrorCodes,
    verify: bool,
}

fn configure(settings: &Settings) -> Result<Box<dyn Provider>, SettingsError> {
    settings.only(KEYS)?;
    let authorization = credentials::basic("api_key", "api", &settings.required("api_key")?)?;
    let domain = settings.required("domain")?;
    let domain = domain.expose_secret();
    if !domain.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-')) {
        return Err(SettingsError::new("domain", "must be the sending domain, such as mg.example.com"));
    }
    Ok(Box::new(Mailgun {
        messages_uri: base_url::join(&settings.base_url, &format!("/v3/{domain}/messages"))?,
        authorization,
        from_name: email::from_name(settings),
        webhook_signing_key: settings.optional("webhook_signing_key"),
        codes: ErrorCodes::new(ERROR_CODES, &settings.codes),
        verify: settings.verify,
    }))
}

impl Provider for Mailgun {
    fn call(&self, message: &Outgoing<'_>) -> Result<Call, Outcome> {
        email::check(message, "mailgun")?;
        let Content { subject, text, html } = content::of(message);
        let mut fields = vec![
            ("from", email::mailbox(self.from_name.as_deref(), message.from.as_str())),
            ("to", message.to.as_str().to_owned()),
            ("subject", subject),
        ];
        fields.extend(text.map(|text| ("text", text)));
        fields.extend(html.map(|html| ("html", html)));
        let headers = email::headers(message);
        // Spelt as Mailgun's own description has it.
        let name = |name: &str| format!("h:{}", name.replace("Message-ID", "Message-Id"));
        let headers: Vec<(String, String)> =
            headers.into_iter().map(|(header, value)| (name(header), value)).collect();
        fields.extend(headers.iter().map(|(name, value)| (name.as_str(), value.clone())));
        let (id_name, attempt_name) = (format!("v:{MESSAGE_ID_NAME}"), format!("v:{ATTEMPT_NAME}"));
        fields.push((&id_name, message.message_id.to_string()));
        fields.push((&attempt_name, message.attempt.to_string()));
        let (content_type, body) = form(&fields, message.files);
        Ok(Call::Http(http_call::post(&self.messages_uri, &self.authorization, &content_type, body)))
    }

    fn http_outcome(&self, response: &Response<Bytes>, now: Timestamp) -> Outcome {
        let (status, headers) = (response.status(), response.headers());
        match status.as_u16() {
            200 => accepted(response),
            201..=299 => Outcome::Uncertain {
                reason: Reason::UnreadableAnswer,
                detail: format!("HTTP {}, where Mailgun answers 200", status.as_u16()),
            },
            400 if is_about_the_recipient(response) => Outcome::Rejected {
                reason: Reason::InvalidRecipient,
                provider_code: Some("400".to_owned()),
                detail: "HTTP 400: the recipient is not a valid address".to_owned(),
            },
            _ => match self.codes.find(status.as_str()) {
                Some(known) => known.outcome(retry_after(headers, None, now)),
                None => by_status(status, headers, None, None, now),
            },
        }
    }

    /// Events are JSON, mail that a route forwards is a form.
    fn webhook(&self, request: &WebhookRequest<'_>) -> Result<Webhook, WebhookError> {
        let key = if self.verify { Some(self.webhook_signing_key.as_ref()) } else { None };
        let content_type = request.header(CONTENT_TYPE).unwrap_or_default();
        let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if media_type == "application/json" {
            events::read(request, key)
        } else {
            inbound::read(request, content_type, key)
        }
    }
}

/// Files need a multipart form; anything else travels as the simpler one.
fn form(fields: &[(&str, String)], files: &[File]) -> (String, Bytes) {
    if files.is_empty() {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        return (FORM.to_owned(), Bytes::from(body));
    }
    let files: Vec<(&str, &File)> = files.iter().map(|file| ("attachment", file)).collect();
    let (content_type, body) = form_data::write(fields, &files);
    (content_type, Bytes::from(body))
}

/// The id is the Message-ID, here with its angle brackets and in events without them.
fn accepted(response: &Response<Bytes>) -> Outcome {
    let answer: Value = serde_json::from_slice(response.body()).unwrap_or_default();
    match answer["id"].as_str().and_then(bare_message_id) {
        Some(id) => Outcome::Accepted { provider_message_id: Some(id) },
        None => unreadable(200, "without a message id"),
    }
}

fn bare_message_id(id: &str) -> Option<String> {
    let id = id.trim().trim_start_matches('<').trim_end_matches('>');
    let fits = (3..=255).contains(&id.len()) && id.contains('@') && id.bytes().all(|b| b.is_ascii_graphic());
    fits.then(|| id.to_owned())
}

/// The text names the parameter; it may quote the address too, and is not passed on.
fn is_about_the_recipient(response: &Response<Bytes>) -> bool {
    let answer: Value = serde_json::from_slice(response.body()).unwrap_or_default();
    answer["message"].as_str().is_some_and(|message| message.contains("'to' parameter"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn codes_ascend() {
        crate::error_codes::assert_ascending(super::ERROR_CODES);
    }
}
