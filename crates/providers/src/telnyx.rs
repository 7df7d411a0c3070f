//! Telnyx Messaging v2: SMS and MMS (https://developers.telnyx.com/api/messaging/send-message). What its webhooks say
//! is in `telnyx/webhook.rs`, who sent them in `telnyx/signature.rs`.

mod error_codes;
mod signature;
mod webhook;

use bytes::Bytes;
use ed25519_dalek::VerifyingKey;
use http::{HeaderName, HeaderValue, Response, Uri};
use jiff::Timestamp;
use model::{Channel, Outcome, Reason};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use self::error_codes::ERROR_CODES;
use crate::error_codes::ErrorCodes;
use crate::inbound_text::code_word;
use crate::json_field::code;
use crate::response_class::{by_code, unreadable};
use crate::text_message::{blame, is_mms, refuse_what_cannot_fit};
use crate::{
    Call, Kind, Outgoing, Provider, Settings, SettingsError, Webhook, WebhookError, WebhookRequest, base_url,
    callback, credentials, http_call,
};

pub(crate) const KIND: Kind = Kind {
    name: "telnyx",
    channels: &[Channel::Sms, Channel::Mms],
    base_url: "https://api.telnyx.com",
    receipts: true,
    inbound: true,
    signature: "telnyx-signature-ed25519: Ed25519 over timestamp and body, checked with public_key",
    receipts_carry_our_id: true,
    verification_keys: &["public_key"],
    setup: include_str!("telnyx/setup.toml"),
    configure,
};

const KEYS: &[&str] = &["api_key", "public_key", "messaging_profile_id"];

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Seconds to wait, not a point in time.
const RESET_HEADER: &str = "x-ratelimit-reset";

#[derive(Debug)]
struct Telnyx {
    messages_uri: Uri,
    /// Marked as sensitive, so that `Debug` does not show it.
    authorization: HeaderValue,
    public_key: Option<VerifyingKey>,
    messaging_profile_id: Option<String>,
    codes: ErrorCodes,
    verify: bool,
}

fn configure(settings: &Settings) -> Result<Box<dyn Provider>, SettingsError> {
    settings.only(KEYS)?;
    let api_key = settings.required("api_key")?;
    let public_key = match settings.optional("public_key") {
        Some(text) => Some(signature::public_key(text.expose_secret())?),
        None => None,
    };
    Ok(Box::new(Telnyx {
        messages_uri: base_url::join(&settings.base_url, "/v2/messages")?,
        authorization: credentials::token("api_key", "Bearer", &api_key)?,
        public_key,
        messaging_profile_id: settings
            .optional("messaging_profile_id")
            .map(|id| id.expose_secret().to_owned()),
        codes: ErrorCodes::new(ERROR_CODES, &settings.codes),
        verify: settings.verify,
    }))
}

impl Provider for Telnyx {
    fn call(&self, message: &Outgoing<'_>) -> Result<Call, Outcome> {
        refuse_what_cannot_fit(&KIND, message)?;
        let is_mms = is_mms(message);
        let mut body = json!({
            "from": message.from.as_str(),
            "to": message.to.as_str(),
            "type": if is_mms { "MMS" } else { "SMS" },
            "webhook_url": callback::url(message),
        });
        if !message.body.is_empty() {
            body["text"] = message.body.into();
        }
        if !message.attachments.is_empty() {
            body["media_urls"] = message.attachments.into();
        }
        if let Some(subject) = message.subject.filter(|_| is_mms) {
            body["subject"] = subject.into();
        }
        if let Some(profile) = &self.messaging_profile_id {
            body["messaging_profile_id"] = profile.as_str().into();
        }
        let mut request = http_call::post_json(&self.messages_uri, &self.authorization, &body);
        // With the attempt, which the body holds as well: a key that comes again with other bytes is answered 422.
        if let Ok(key) = HeaderValue::from_str(&callback::reference(message)) {
            request.headers_mut().insert(IDEMPOTENCY_KEY, key);
        }
        Ok(Call::Http(request))
    }

    fn http_outcome(&self, response: &Response<Bytes>, now: Timestamp) -> Outcome {
        let answer: Value = serde_json::from_slice(response.body()).unwrap_or_default();
        if response.status().is_success() {
            return accepted(response.status().as_u16(), &answer["data"], &self.codes);
        }
        let code = error_code(&answer["errors"], &self.codes);
        let outcome = by_code(response, &self.codes, code, Some(RESET_HEADER), now);
        blame(outcome, answer["errors"][0]["source"]["pointer"].as_str())
    }

    fn check_head(&self, head: &WebhookRequest<'_>) -> Result<(), WebhookError> {
        if self.verify { signature::check_head(head) } else { Ok(()) }
    }

    fn webhook(&self, request: &WebhookRequest<'_>) -> Result<Webhook, WebhookError> {
        if self.verify {
            signature::verify(request, self.public_key.as_ref())?;
        }
        webhook::read(request, &self.codes)
    }
}

/// A 2xx without a readable id may not come from Telnyx at all, or may: nobody knows whether it has the message.
fn accepted(status: u16, data: &Value, codes: &ErrorCodes) -> Outcome {
    let Some(id) = data["id"].as_str().and_then(code_word) else {
        return unreadable(status, "without a message id");
    };
    // Queued mostly; but a status that is final already is not reported again.
    if !matches!(data["to"][0]["status"].as_str(), Some("sending_failed" | "delivery_failed" | "expired")) {
        return Outcome::Accepted { provider_message_id: Some(id) };
    }
    let code = error_code(&data["errors"], codes);
    match code.as_deref().and_then(|code| codes.find(code)) {
        Some(known) => known.outcome(None),
        None => Outcome::Rejected {
            reason: Reason::Rejected,
            provider_code: code,
            detail: "Telnyx took the message and failed it at once".to_owned(),
        },
    }
}

/// The first code of a list of errors that the table knows, else the first. Documented as a string; a number is
/// understood as well.
fn error_code(errors: &Value, codes: &ErrorCodes) -> Option<String> {
    let written: Vec<String> = errors.as_array()?.iter().filter_map(|error| code(&error["code"])).collect();
    written.iter().find(|code| codes.find(code).is_some()).or(written.first()).cloned()
}
