//! WhatsApp by Meta's Cloud API (https://developers.facebook.com/docs/whatsapp/cloud-api): free text, and a medium by
//! link. What its webhooks say is in `whatsapp/webhook.rs`, of which inbound messages in `whatsapp/inbound.rs`.

mod error_codes;
mod inbound;
mod outgoing_media;
mod webhook;

use bytes::Bytes;
use http::{HeaderValue, Response, Uri};
use jiff::Timestamp;
use model::{Channel, Endpoint, Outcome, Reason};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use self::error_codes::{ERROR_CODES, find};
use crate::error_codes::ErrorCodes;
use crate::response_class::{by_status, unreadable};
use crate::wait::retry_after;
use crate::{
    Call, Kind, Outgoing, Provider, Settings, SettingsError, Webhook, WebhookError, WebhookRequest, base_url,
    callback, credentials, http_call,
};

pub(crate) const KIND: Kind = Kind {
    name: "whatsapp",
    channels: &[Channel::Whatsapp],
    base_url: "https://graph.facebook.com",
    receipts: true,
    inbound: true,
    signature: "X-Hub-Signature-256: HMAC-SHA256 with app_secret; the subscription by verify_token",
    receipts_carry_our_id: true,
    verification_keys: &["app_secret", "verify_token"],
    setup: include_str!("whatsapp/setup.toml"),
    configure,
};

const KEYS: &[&str] = &["access_token", "phone_numbers", "app_secret", "verify_token", "api_version"];

/// https://developers.facebook.com/docs/graph-api/changelog: a version lives about two years.
const API_VERSION: &str = "v25.0";
const BODY_CHARS_MAX: usize = 4096;
const CAPTION_CHARS_MAX: usize = 1024;

#[derive(Debug)]
struct Whatsapp {
    numbers: Vec<OurNumber>,
    /// Marked as sensitive, so that `Debug` does not show it.
    authorization: HeaderValue,
    /// A medium's id after this and a slash is where it is looked up.
    media_url: String,
    app_secret: Option<SecretString>,
    verify_token: Option<SecretString>,
    codes: ErrorCodes,
    verify: bool,
}

/// A number that we send from, as people know it and as Meta does.
#[derive(Debug)]
struct OurNumber {
    e164: String,
    id: String,
    messages_uri: Uri,
}

fn configure(settings: &Settings) -> Result<Box<dyn Provider>, SettingsError> {
    settings.only(KEYS)?;
    let access_token = settings.required("access_token")?;
    let version = settings.optional("api_version");
    let version = version.as_ref().map_or(API_VERSION, |version| version.expose_secret());
    if !version.starts_with('v') || !version.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.') {
        return Err(SettingsError::new("api_version", format!("must be such as {API_VERSION}")));
    }
    let numbers = settings.required("phone_numbers")?;
    let numbers = numbers
        .expose_secret()
        .split(',')
        .map(|pair| our_number(pair, settings, version))
        .collect::<Result<_, _>>()?;
    Ok(Box::new(Whatsapp {
        numbers,
        authorization: credentials::token("access_token", "Bearer", &access_token)?,
        media_url: base_url::join(&settings.base_url, &format!("/{version}"))?.to_string(),
        app_secret: settings.optional("app_secret"),
        verify_token: settings.optional("verify_token"),
        codes: ErrorCodes::new(ERROR_CODES, &settings.codes),
        verify: settings.verify,
    }))
}

/// `+15550783881=106540352242922`
fn our_number(pair: &str, settings: &Settings, version: &str) -> Result<OurNumber, SettingsError> {
    let is_digits =
        |text: &str| !text.is_empty() && text.len() <= 32 && text.bytes().all(|b| b.is_ascii_digit());
    let (e164, id) = pair.split_once('=').map(|(e164, id)| (e164.trim(), id.trim())).unwrap_or_default();
    if !e164.strip_prefix('+').is_some_and(is_digits) || !is_digits(id) {
        return Err(SettingsError::new(
            "phone_numbers",
            "must be each number in E.164, `=` and its phone number id, such as +15550783881=106540352242922; \
             several with commas between them",
        ));
    }
    let messages_uri = base_url::join(&settings.base_url, &format!("/{version}/{id}/messages"))?;
    Ok(OurNumber { e164: e164.to_owned(), id: id.to_owned(), messages_uri })
}

impl Provider for Whatsapp {
    fn call(&self, message: &Outgoing<'_>) -> Result<Call, Outcome> {
        let number = self.sender(message)?;
        let mut body = json!({
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            "biz_opaque_callback_data": callback::reference(message),
        });
        let (name, recipient) = recipient(message.to);
        body[name] = json!(recipient);
        let (kind, content) = match message.attachments.first() {
            Some(url) => outgoing_media::of(url, message.body),
            None => ("text", json!({ "preview_url": false, "body": message.body })),
        };
        body["type"] = json!(kind);
        body[kind] = content;
        Ok(Call::Http(http_call::post_json(&number.messages_uri, &self.authorization, &body)))
    }

    fn http_outcome(&self, response: &Response<Bytes>, now: Timestamp) -> Outcome {
        let (status, headers) = (response.status(), response.headers());
        let answer: Value = serde_json::from_slice(response.body()).unwrap_or_default();
        // Before the status: permissions that are missing have been answered with 500.
        let code = error_codes::code_of(&answer["error"]);
        if let Some(known) = code.as_deref().and_then(|code| find(&self.codes, code))
            && !status.is_redirection()
        {
            return known.outcome(retry_after(headers, None, now));
        }
        if !status.is_success() {
            return by_status(status, headers, None, code, now);
        }
        let id = webhook::message_id(&answer["messages"][0]["id"]);
        match id.filter(|_| answer["error"].is_null()) {
            Some(id) => Outcome::Accepted { provider_message_id: Some(id) },
            None => unreadable(status.as_u16(), "without a message id"),
        }
    }

    fn check_head(&self, head: &WebhookRequest<'_>) -> Result<(), WebhookError> {
        if self.verify { webhook::check_head(head) } else { Ok(()) }
    }

    fn webhook(&self, request: &WebhookRequest<'_>) -> Result<Webhook, WebhookError> {
        webhook::read(self, request)
    }

    fn reads_parameter(&self, name: &str) -> bool {
        matches!(name, "hub.mode" | "hub.challenge")
    }
}

impl Whatsapp {
    /// The number that the message goes out from; or why it cannot.
    fn sender(&self, message: &Outgoing<'_>) -> Result<&OurNumber, Outcome> {
        let chars = message.body.chars().count();
        let number = self.numbers.iter().find(|number| number.e164 == message.from.as_str());
        let (reason, detail) = if message.channel != Channel::Whatsapp {
            (Reason::Configuration, "whatsapp sends whatsapp")
        } else if message.body.is_empty() && message.attachments.is_empty() {
            (Reason::ContentRejected, "whatsapp sends no message without body and attachment")
        } else if message.attachments.len() > 1 {
            (Reason::ContentRejected, "a WhatsApp message carries one attachment")
        } else if chars > BODY_CHARS_MAX {
            (Reason::ContentRejected, "whatsapp takes bodies of up to 4096 characters")
        } else if chars > CAPTION_CHARS_MAX && !message.attachments.is_empty() {
            (Reason::ContentRejected, "whatsapp takes up to 1024 characters beside an attachment")
        } else if let Some(number) = number {
            return Ok(number);
        } else {
            (Reason::Configuration, "the sender is none of phone_numbers")
        };
        Err(Outcome::Rejected { reason, provider_code: None, detail: detail.to_owned() })
    }
}

/// Numbers go by their digits; the id of a user who shows none has a field of its own
/// (https://developers.facebook.com/documentation/business-messaging/whatsapp/business-scoped-user-ids).
fn recipient(to: &Endpoint) -> (&'static str, &str) {
    match to.as_str().strip_prefix('+') {
        Some(digits) => ("to", digits),
        None => ("recipient", to.as_str()),
    }
}
