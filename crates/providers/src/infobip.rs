//! Infobip: SMS through its API v3 (https://www.infobip.com/docs/api/channels/sms) and MMS through v2. What it pushes
//! to us is in `infobip/reports.rs`.

mod error_codes;
mod reports;

use bytes::Bytes;
use http::{HeaderValue, Response, Uri};
use jiff::Timestamp;
use model::{Channel, Outcome, Reason};
use secrecy::SecretString;
use serde_json::{Value, json};

use self::error_codes::ERROR_CODES;
use crate::error_codes::ErrorCodes;
use crate::inbound_text::code_word;
use crate::response_class::{by_status, unreadable};
use crate::text_message::{is_mms, refuse_what_cannot_fit, without_plus};
use crate::wait::retry_after;
use crate::{
    Call, Kind, Outgoing, Provider, Settings, SettingsError, Webhook, WebhookError, WebhookRequest, base_url,
    callback, credentials, http_call, shared_secret,
};

pub(crate) const KIND: Kind = Kind {
    name: "infobip",
    channels: &[Channel::Sms, Channel::Mms],
    base_url: "https://api.infobip.com",
    receipts: true,
    inbound: true,
    signature: "none; Basic authentication or ?secret= with webhook_secret",
    receipts_carry_our_id: true,
    verification_keys: &["webhook_secret"],
    setup: include_str!("infobip/setup.toml"),
    configure,
};

const KEYS: &[&str] = &["api_key", "webhook_secret"];

#[derive(Debug)]
struct Infobip {
    sms_uri: Uri,
    mms_uri: Uri,
    /// Marked as sensitive, so that `Debug` does not show it.
    authorization: HeaderValue,
    webhook_secret: Option<SecretString>,
    codes: ErrorCodes,
    verify: bool,
}

fn configure(settings: &Settings) -> Result<Box<dyn Provider>, SettingsError> {
    settings.only(KEYS)?;
    let api_key = settings.required("api_key")?;
    Ok(Box::new(Infobip {
        sms_uri: base_url::join(&settings.base_url, "/sms/3/messages")?,
        mms_uri: base_url::join(&settings.base_url, "/mms/2/messages")?,
        authorization: credentials::token("api_key", "App", &api_key)?,
        webhook_secret: settings.optional("webhook_secret"),
        codes: ErrorCodes::new(ERROR_CODES, &settings.codes),
        verify: settings.verify,
    }))
}

impl Provider for Infobip {
    fn call(&self, message: &Outgoing<'_>) -> Result<Call, Outcome> {
        refuse_what_cannot_fit(&KIND, message)?;
        let is_mms = is_mms(message);
        let content = if is_mms { mms_content(message) } else { json!({ "text": message.body }) };
        let mut webhooks = json!({ "callbackData": callback::reference(message) });
        // A secret is known to the account's own subscription alone: without an address in the message that one is
        // used.
        if !self.verify {
            webhooks["delivery"] = json!({ "url": callback::url(message) });
            webhooks["contentType"] = "application/json".into();
        }
        let body = json!({ "messages": [{
            "sender": without_plus(message.from),
            "destinations": [{
                "to": without_plus(message.to),
                // Letters, digits and hyphens: this one Infobip keeps as its own.
                "messageId": format!("{}-{}", message.message_id, message.attempt),
            }],
            "content": content,
            "webhooks": webhooks,
        }] });
        let uri = if is_mms { &self.mms_uri } else { &self.sms_uri };
        Ok(Call::Http(http_call::post_json(uri, &self.authorization, &body)))
    }

    fn http_outcome(&self, response: &Response<Bytes>, now: Timestamp) -> Outcome {
        let answer: Value = serde_json::from_slice(response.body()).unwrap_or_default();
        let (status, headers) = (response.status(), response.headers());
        if status.is_success() {
            return accepted(status.as_u16(), &answer, &self.codes);
        }
        let codes = [&answer["requestError"]["serviceException"]["messageId"], &answer["errorCode"]];
        let code = codes.into_iter().find_map(|code| code_word(code.as_str()?));
        match code.as_deref().and_then(|code| self.codes.find(code)) {
            Some(known) if !status.is_redirection() && status.as_u16() != 429 => {
                known.outcome(retry_after(headers, None, now))
            }
            _ => by_status(status, headers, None, code, now),
        }
    }

    fn check_head(&self, head: &WebhookRequest<'_>) -> Result<(), WebhookError> {
        if self.verify {
            shared_secret::verify(head, "webhook_secret", self.webhook_secret.as_ref())
        } else {
            Ok(())
        }
    }

    fn webhook(&self, request: &WebhookRequest<'_>) -> Result<Webhook, WebhookError> {
        if self.verify {
            shared_secret::verify(request, "webhook_secret", self.webhook_secret.as_ref())?;
        }
        reports::read(request, &self.codes)
    }
}

fn mms_content(message: &Outgoing<'_>) -> Value {
    let text = (!message.body.is_empty()).then(|| json!({ "type": "TEXT", "text": message.body }));
    let links = message.attachments.iter().map(|url| json!({ "type": "LINK", "contentUrl": url }));
    let segments: Vec<Value> = text.into_iter().chain(links).collect();
    json!({ "title": message.subject.unwrap_or_default(), "messageSegments": segments })
}

/// HTTP 200 is about the request; whether the message was taken, its own status says.
fn accepted(status: u16, answer: &Value, codes: &ErrorCodes) -> Outcome {
    let message = &answer["messages"][0];
    let unreadable = |what: &str| unreadable(status, what);
    let Some(group) = message["status"]["groupId"].as_u64() else {
        return unreadable("without the status of a message");
    };
    let name = message["status"]["name"].as_str().and_then(code_word);
    match group {
        1 | 3 => match message["messageId"].as_str().and_then(code_word) {
            Some(id) => Outcome::Accepted { provider_message_id: Some(id) },
            None => unreadable("without the id of a message"),
        },
        2 | 4 | 5 => match name.as_deref().and_then(|name| codes.find(name)) {
            Some(known) => known.outcome(None),
            None => Outcome::Rejected {
                reason: Reason::Rejected,
                provider_code: name.or_else(|| Some(format!("group-{group}"))),
                detail: "Infobip refused the message".to_owned(),
            },
        },
        _ => unreadable("with a status that is not known"),
    }
}
