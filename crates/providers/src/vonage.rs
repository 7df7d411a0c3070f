//! Vonage Messages API v1: SMS and MMS (https://developer.vonage.com/en/api/messages). What its webhooks say is in
//! `vonage/webhook.rs`, who sent them in `vonage/signature.rs`.

mod error_codes;
mod signature;
mod webhook;

use bytes::Bytes;
use http::{HeaderValue, Response, Uri};
use jiff::Timestamp;
use model::{Channel, Outcome};
use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};
use url::Url;

use self::error_codes::{ALREADY_SENT, ERROR_CODES};
use self::signature::Account;
use crate::error_codes::{Class, ErrorCodes};
use crate::inbound_text::code_word;
use crate::response_class::{by_code, unreadable};
use crate::text_message::{blame, is_mms, refuse_what_cannot_fit, without_plus};
use crate::{
    Call, Kind, Outgoing, Provider, Settings, SettingsError, Webhook, WebhookError, WebhookRequest, base_url,
    callback, credentials, http_call,
};

pub(crate) const KIND: Kind = Kind {
    name: "vonage",
    channels: &[Channel::Sms, Channel::Mms],
    base_url: "https://api.nexmo.com",
    receipts: true,
    inbound: true,
    signature: "a JSON Web Token in Authorization, HMAC-SHA256 with signature_secret, and its payload_hash",
    receipts_carry_our_id: true,
    verification_keys: &["signature_secret"],
    setup: include_str!("vonage/setup.toml"),
    configure,
};

const KEYS: &[&str] = &["api_key", "api_secret", "application_id", "signature_secret"];

#[derive(Debug)]
struct Vonage {
    messages_uri: Uri,
    /// Marked as sensitive, so that `Debug` does not show it.
    authorization: HeaderValue,
    account: Account,
    codes: ErrorCodes,
    verify: bool,
}

fn configure(settings: &Settings) -> Result<Box<dyn Provider>, SettingsError> {
    settings.only(KEYS)?;
    let api_key = settings.required("api_key")?.expose_secret().to_owned();
    let api_secret = settings.required("api_secret")?;
    Ok(Box::new(Vonage {
        messages_uri: base_url::join(&settings.base_url, "/v1/messages")?,
        authorization: credentials::basic("api_secret", &api_key, &api_secret)?,
        account: Account {
            api_key,
            application_id: settings.optional("application_id").map(|id| id.expose_secret().to_owned()),
            signature_secret: settings.optional("signature_secret"),
        },
        codes: ErrorCodes::new(ERROR_CODES, &settings.codes),
        verify: settings.verify,
    }))
}

impl Provider for Vonage {
    fn call(&self, message: &Outgoing<'_>) -> Result<Call, Outcome> {
        refuse_what_cannot_fit(&KIND, message)?;
        let mut body = content(message);
        body.insert("channel".to_owned(), if is_mms(message) { "mms" } else { "sms" }.into());
        body.insert("to".to_owned(), without_plus(message.to).into());
        body.insert("from".to_owned(), without_plus(message.from).into());
        body.insert("client_ref".to_owned(), callback::reference(message).into());
        body.insert("webhook_url".to_owned(), callback::url(message).into());
        body.insert("webhook_version".to_owned(), "v1".into());
        let body = Value::Object(body);
        Ok(Call::Http(http_call::post_json(&self.messages_uri, &self.authorization, &body)))
    }

    fn http_outcome(&self, response: &Response<Bytes>, now: Timestamp) -> Outcome {
        let answer: Value = serde_json::from_slice(response.body()).unwrap_or_default();
        if response.status().is_success() {
            return match answer["message_uuid"].as_str().and_then(code_word) {
                Some(id) => Outcome::Accepted { provider_message_id: Some(id) },
                // It may not come from Vonage at all, or may: nobody knows whether it has the message.
                None => unreadable(response.status().as_u16(), "without a message id"),
            };
        }
        let code = error_code(&answer);
        if response.status().is_client_error() && is_already_sent(code.as_deref(), &self.codes) {
            return Outcome::Accepted { provider_message_id: None };
        }
        let outcome = by_code(response, &self.codes, code, None, now);
        blame(outcome, answer["invalid_parameters"][0]["name"].as_str())
    }

    fn check_head(&self, head: &WebhookRequest<'_>) -> Result<(), WebhookError> {
        if self.verify { signature::check_head(head, &self.account) } else { Ok(()) }
    }

    fn webhook(&self, request: &WebhookRequest<'_>) -> Result<Webhook, WebhookError> {
        if self.verify {
            signature::verify(request, &self.account)?;
        }
        webhook::read(request, &self.codes)
    }
}

/// `message_type` and what belongs to it. The text of a message with attachments is the first one's caption.
fn content(message: &Outgoing<'_>) -> Map<String, Value> {
    let mut attachments: Vec<(&str, Value)> =
        message.attachments.iter().map(|url| (media_type(url), json!({ "url": url }))).collect();
    if let Some((_, first)) = attachments.first_mut()
        && !message.body.is_empty()
    {
        first["caption"] = message.body.into();
    }
    let (message_type, value) = match attachments.len() {
        0 => ("text", message.body.into()),
        1 => attachments.remove(0),
        _ => ("content", attachments.into_iter().map(item).collect()),
    };
    let mut content = Map::new();
    content.insert("message_type".to_owned(), message_type.into());
    content.insert(message_type.to_owned(), value);
    content
}

fn item((media_type, mut attachment): (&str, Value)) -> Value {
    attachment["type"] = media_type.into();
    attachment
}

/// The word for what a URL's ending promises (https://developer.vonage.com/en/messages/concepts/mms).
fn media_type(url: &str) -> &'static str {
    let path = Url::parse(url).map(|url| url.path().to_ascii_lowercase()).unwrap_or_default();
    match path.rsplit_once('.').map(|(_, ending)| ending) {
        Some("jpg" | "jpeg" | "png" | "gif") => "image",
        Some("mp3") => "audio",
        Some("mp4") => "video",
        Some("vcf") => "vcard",
        _ => "file",
    }
}

/// The fragment of a problem's `type`, such as `…/messages#1120`; the title holds the same number in webhooks.
fn error_code(problem: &Value) -> Option<String> {
    let number = |text: &str| text.parse::<u32>().ok().map(|code| code.to_string());
    let fragment = problem["type"].as_str().and_then(|text| number(text.rsplit_once('#')?.1));
    fragment.or_else(|| problem["title"].as_str().and_then(number))
}

/// Vonage refuses to send a second time what it has sent: the first is on its way. The configuration may differ.
fn is_already_sent(code: Option<&str>, codes: &ErrorCodes) -> bool {
    code.and_then(|code| codes.find(code))
        .is_some_and(|known| known.code == ALREADY_SENT && known.class == Class::Unknown)
}
