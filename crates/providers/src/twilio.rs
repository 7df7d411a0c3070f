//! Twilio Programmable Messaging: SMS, MMS and WhatsApp (https://www.twilio.com/docs/messaging/api/message-resource).
//! What its webhooks say is in `twilio/webhook.rs`, who sent them in `twilio/signature.rs`.

mod error_codes;
mod signature;
mod webhook;

use bytes::Bytes;
use http::{HeaderValue, Response, Uri};
use jiff::Timestamp;
use model::{Channel, Endpoint, Outcome, Reason};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;

use self::error_codes::ERROR_CODES;
use self::signature::SigningKeys;
use crate::error_codes::ErrorCodes;
use crate::http_call::{self, FORM};
use crate::json_field::number;
use crate::response_class::{by_code, unreadable};
use crate::text_message::{refuse_attachments_beyond, refuse_what_cannot_fit};
use crate::{
    Call, Kind, Outgoing, Provider, Settings, SettingsError, Webhook, WebhookError, WebhookRequest, base_url,
    callback, credentials,
};

pub(crate) const KIND: Kind = Kind {
    name: "twilio",
    channels: &[Channel::Sms, Channel::Mms, Channel::Whatsapp],
    base_url: "https://api.twilio.com",
    receipts: true,
    inbound: true,
    signature: "X-Twilio-Signature: HMAC-SHA1 with auth_token, or HMAC-SHA256 with webhook_shared_key_secret",
    receipts_carry_our_id: true,
    verification_keys: &["auth_token", "webhook_shared_key_secret"],
    setup: include_str!("twilio/setup.toml"),
    configure,
};

const KEYS: &[&str] = &[
    "account_sid",
    "auth_token",
    "api_key_sid",
    "api_key_secret",
    "messaging_service_sid",
    "webhook_shared_key_secret",
];

const BODY_CHARS_MAX: usize = 1600;
const ATTACHMENTS_MAX: usize = 10;
/// Stands before the numbers of either end (https://www.twilio.com/docs/whatsapp/api).
const WHATSAPP: &str = "whatsapp:";

#[derive(Debug)]
struct Twilio {
    messages_uri: Uri,
    /// Marked as sensitive, so that `Debug` does not show it.
    authorization: HeaderValue,
    messaging_service_sid: Option<String>,
    signing_keys: SigningKeys,
    codes: ErrorCodes,
    verify: bool,
}

fn configure(settings: &Settings) -> Result<Box<dyn Provider>, SettingsError> {
    settings.only(KEYS)?;
    let account_sid = sid("account_sid", &settings.required("account_sid")?)?;
    let auth_token = settings.required("auth_token")?;
    let (user, password) = match (settings.optional("api_key_sid"), settings.optional("api_key_secret")) {
        (Some(key_sid), Some(secret)) => (sid("api_key_sid", &key_sid)?, secret),
        (None, None) => (account_sid.clone(), auth_token.clone()),
        (Some(_), None) => return Err(SettingsError::new("api_key_secret", "is required with api_key_sid")),
        (None, Some(_)) => return Err(SettingsError::new("api_key_sid", "is required with api_key_secret")),
    };
    let messaging_service_sid = match settings.optional("messaging_service_sid") {
        Some(value) => Some(sid("messaging_service_sid", &value)?),
        None => None,
    };
    let path = format!("/2010-04-01/Accounts/{account_sid}/Messages.json");
    Ok(Box::new(Twilio {
        messages_uri: base_url::join(&settings.base_url, &path)?,
        authorization: credentials::basic("auth_token", &user, &password)?,
        messaging_service_sid,
        signing_keys: SigningKeys {
            auth_token,
            shared_key_secret: settings.optional("webhook_shared_key_secret"),
        },
        codes: ErrorCodes::new(ERROR_CODES, &settings.codes),
        verify: settings.verify,
    }))
}

/// Sids stand in paths and in front of the colon of Basic authentication.
fn sid(key: &str, value: &SecretString) -> Result<String, SettingsError> {
    let text = value.expose_secret();
    if text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphanumeric()) {
        Ok(text.to_owned())
    } else {
        Err(SettingsError::new(
            key,
            "must be letters and digits, such as AC followed by 32 hexadecimal digits",
        ))
    }
}

impl Provider for Twilio {
    fn call(&self, message: &Outgoing<'_>) -> Result<Call, Outcome> {
        refuse_what_cannot_fit(&KIND, message)?;
        refuse_attachments_beyond(ATTACHMENTS_MAX, &KIND, message)?;
        refuse_what_is_too_much(message)?;
        let mut form = form_urlencoded::Serializer::new(String::new());
        let address = |endpoint: &Endpoint| match message.channel {
            Channel::Whatsapp => format!("{WHATSAPP}{}", endpoint.as_str()),
            _ => endpoint.as_str().to_owned(),
        };
        form.append_pair("To", &address(message.to));
        // Also beside a messaging service: its choice of another sender would split the conversation.
        form.append_pair("From", &address(message.from));
        if let Some(service) = &self.messaging_service_sid {
            form.append_pair("MessagingServiceSid", service);
        }
        if !message.body.is_empty() {
            form.append_pair("Body", message.body);
        }
        for url in message.attachments {
            form.append_pair("MediaUrl", url);
        }
        if message.channel == Channel::Mms && message.attachments.is_empty() {
            form.append_pair("SendAsMms", "true");
        }
        form.append_pair("StatusCallback", &callback::url(message));
        let body = Bytes::from(form.finish());
        Ok(Call::Http(http_call::post(&self.messages_uri, &self.authorization, FORM, body)))
    }

    fn http_outcome(&self, response: &Response<Bytes>, now: Timestamp) -> Outcome {
        if response.status().is_success() {
            accepted(response, &self.codes)
        } else {
            refused(response, &self.codes, now)
        }
    }

    fn check_head(&self, head: &WebhookRequest<'_>) -> Result<(), WebhookError> {
        if self.verify { signature::check_head(head) } else { Ok(()) }
    }

    fn webhook(&self, request: &WebhookRequest<'_>) -> Result<Webhook, WebhookError> {
        if self.verify {
            signature::verify(request, &self.signing_keys)?;
        }
        webhook::read(request, &self.codes)
    }

    /// Its parameters begin with a capital letter; the webhook's own URL may have others.
    fn reads_parameter(&self, name: &str) -> bool {
        let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric());
        name == "bodySHA256" || (is_plain && name.starts_with(|first: char| first.is_ascii_uppercase()))
    }
}

/// What Twilio refuses of the messages that a provider of texts could send.
fn refuse_what_is_too_much(message: &Outgoing<'_>) -> Result<(), Outcome> {
    let detail = if message.body.chars().count() > BODY_CHARS_MAX {
        "twilio takes bodies of up to 1600 characters"
    } else if message.channel == Channel::Whatsapp && message.attachments.len() > 1 {
        // Twilio would send the first, and ignore the others.
        "a WhatsApp message carries one attachment"
    } else {
        return Ok(());
    };
    Err(Outcome::Rejected { reason: Reason::ContentRejected, provider_code: None, detail: detail.to_owned() })
}

#[derive(Deserialize)]
struct Accepted {
    sid: String,
    #[serde(default)]
    status: Value,
    #[serde(default)]
    error_code: Value,
}

/// A 2xx without a readable id may not come from Twilio at all, or may: nobody knows whether it has the message.
fn accepted(response: &Response<Bytes>, codes: &ErrorCodes) -> Outcome {
    let status = response.status().as_u16();
    let unreadable = |what: &str| unreadable(status, what);
    let Ok(answer) = serde_json::from_slice::<Accepted>(response.body()) else {
        return unreadable("whose body is not Twilio's");
    };
    let readable =
        (1..=64).contains(&answer.sid.len()) && answer.sid.bytes().all(|b| b.is_ascii_alphanumeric());
    if !readable {
        return unreadable("without a message id");
    }
    // No callback reports the first status: one that is final is only ever said here.
    let code = number(&answer.error_code);
    match (answer.status.as_str(), code.as_deref().and_then(|code| codes.find(code))) {
        (Some("failed" | "undelivered"), Some(known)) => known.outcome(None),
        (Some("failed" | "undelivered"), None) => Outcome::Rejected {
            reason: Reason::Rejected,
            provider_code: code,
            detail: "Twilio took the message and failed it at once".to_owned(),
        },
        _ => Outcome::Accepted { provider_message_id: Some(answer.sid) },
    }
}

fn refused(response: &Response<Bytes>, codes: &ErrorCodes, now: Timestamp) -> Outcome {
    let answer: Value = serde_json::from_slice(response.body()).unwrap_or_default();
    by_code(response, codes, number(&answer["code"]), None, now)
}
