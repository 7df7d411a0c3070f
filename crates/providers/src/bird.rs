//! Bird's Channels API (https://docs.bird.com/api/channels-api): SMS, and MMS where the channel's number can. The
//! classic API of the same company is the kind `messagebird`: it shares neither addresses nor accounts, neither
//! messages nor signatures.

mod signature;
mod webhook;

use bytes::Bytes;
use http::{HeaderValue, Response, Uri};
use jiff::Timestamp;
use model::{Channel, Outcome, Reason};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use crate::error_codes::{Class, ErrorCode, ErrorCodes, RETRY, entry};
use crate::inbound_text::code_word;
use crate::response_class::{by_status, unreadable};
use crate::text_message::{refuse_attachments_beyond, refuse_what_cannot_fit};
use crate::wait::retry_after;
use crate::{
    Call, Kind, Outgoing, Provider, Settings, SettingsError, Webhook, WebhookError, WebhookRequest, base_url,
    callback, credentials, http_call,
};

pub(crate) const KIND: Kind = Kind {
    name: "bird",
    channels: &[Channel::Sms, Channel::Mms],
    base_url: "https://api.bird.com",
    receipts: true,
    inbound: true,
    signature: "messagebird-signature: HMAC-SHA256 with signing_key",
    receipts_carry_our_id: true,
    verification_keys: &["signing_key"],
    setup: include_str!("bird/setup.toml"),
    configure,
};

const KEYS: &[&str] = &["access_key", "workspace_id", "channel_id", "sender", "signing_key"];

const ATTACHMENTS_MAX: usize = 10;

/// Codes of answers, and of a failed message's `failure`
/// (https://docs.bird.com/api/channels-api/message-status-and-interactions/message-failure-sources). In ascending order
/// of the codes' text.
const ERROR_CODES: &[ErrorCode] = &[
    entry("15005", Class::BadRecipient, "the recipient is unknown"),
    entry("insufficient_balance", Class::Halt, "the account's credit is used up"),
    entry("internal_error", RETRY, "internal error at Bird"),
    entry("unauthorized", Class::Halt, "the credentials are wrong"),
    entry("unknown_subscriber", Class::BadRecipient, "the recipient is unknown"),
];

#[derive(Debug)]
struct Bird {
    messages_uri: Uri,
    /// Marked as sensitive, so that `Debug` does not show it.
    authorization: HeaderValue,
    sender: String,
    signing_key: Option<SecretString>,
    codes: ErrorCodes,
    verify: bool,
}

fn configure(settings: &Settings) -> Result<Box<dyn Provider>, SettingsError> {
    settings.only(KEYS)?;
    let access_key = settings.required("access_key")?;
    let (workspace, channel) = (identifier(settings, "workspace_id")?, identifier(settings, "channel_id")?);
    let path = format!("/workspaces/{workspace}/channels/{channel}/messages");
    Ok(Box::new(Bird {
        messages_uri: base_url::join(&settings.base_url, &path)?,
        authorization: credentials::token("access_key", "AccessKey", &access_key)?,
        sender: settings.required("sender")?.expose_secret().trim().to_owned(),
        signing_key: settings.optional("signing_key"),
        codes: ErrorCodes::new(ERROR_CODES, &settings.codes),
        verify: settings.verify,
    }))
}

fn identifier(settings: &Settings, key: &str) -> Result<String, SettingsError> {
    code_word(settings.required(key)?.expose_secret())
        .ok_or_else(|| SettingsError::new(key, "must be a UUID, as Bird shows it"))
}

impl Provider for Bird {
    fn call(&self, message: &Outgoing<'_>) -> Result<Call, Outcome> {
        refuse_what_cannot_fit(&KIND, message)?;
        refuse_attachments_beyond(ATTACHMENTS_MAX, &KIND, message)?;
        // A channel sends from its own number, whatever we ask for.
        if message.from.as_str() != self.sender {
            let detail = "this channel of Bird sends from the configured sender only".to_owned();
            return Err(Outcome::Rejected { reason: Reason::Configuration, provider_code: None, detail });
        }
        let content = match message.attachments {
            [] => json!({ "type": "text", "text": { "text": message.body } }),
            urls => {
                let images: Vec<Value> = urls.iter().map(|url| json!({ "mediaUrl": url })).collect();
                let mut image = json!({ "images": images });
                if !message.body.is_empty() {
                    image["text"] = message.body.into();
                }
                json!({ "type": "image", "image": image })
            }
        };
        let body = json!({
            "receiver": {
                "contacts": [{ "identifierKey": "phonenumber", "identifierValue": message.to.as_str() }],
            },
            "body": content,
            "reference": callback::reference(message),
        });
        Ok(Call::Http(http_call::post_json(&self.messages_uri, &self.authorization, &body)))
    }

    fn http_outcome(&self, response: &Response<Bytes>, now: Timestamp) -> Outcome {
        let answer: Value = serde_json::from_slice(response.body()).unwrap_or_default();
        let (status, headers) = (response.status(), response.headers());
        if status.is_success() {
            return self.accepted(status.as_u16(), &answer);
        }
        let code = answer["code"].as_str().and_then(code_word);
        match code.as_deref().and_then(|code| self.codes.find(code)) {
            Some(known) if !status.is_redirection() && status.as_u16() != 429 => {
                known.outcome(retry_after(headers, None, now))
            }
            _ => by_status(status, headers, None, code, now),
        }
    }

    fn check_head(&self, head: &WebhookRequest<'_>) -> Result<(), WebhookError> {
        if self.verify { signature::check_head(head) } else { Ok(()) }
    }

    fn webhook(&self, request: &WebhookRequest<'_>) -> Result<Webhook, WebhookError> {
        if self.verify {
            signature::verify(request, self.signing_key.as_ref())?;
        }
        webhook::read(request, &self.sender, &self.codes)
    }
}

impl Bird {
    /// A 2xx without a readable id may not come from Bird at all, or may: nobody knows whether it has the message.
    fn accepted(&self, status: u16, answer: &Value) -> Outcome {
        let Some(id) = answer["id"].as_str().and_then(code_word) else {
            return unreadable(status, "without the id of a message");
        };
        if !matches!(answer["status"].as_str(), Some("sending_failed" | "delivery_failed" | "skipped")) {
            return Outcome::Accepted { provider_message_id: Some(id) };
        }
        let code = webhook::failure_code(answer);
        match code.as_deref().and_then(|code| self.codes.find(code)) {
            Some(known) => known.outcome(None),
            None => Outcome::Rejected {
                reason: Reason::Rejected,
                provider_code: code,
                detail: "Bird took the message and failed it at once".to_owned(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_code_is_found() {
        crate::error_codes::assert_ascending(super::ERROR_CODES);
    }
}
