//! Bandwidth Messaging v2: SMS and MMS (https://dev.bandwidth.com/apis/messaging/). What its webhooks say is in
//! `bandwidth/webhook.rs`; they are not signed, and prove themselves by a shared secret.

mod error_codes;
mod webhook;

use bytes::Bytes;
use http::{HeaderValue, Response, Uri};
use jiff::Timestamp;
use model::{Channel, Outcome};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use self::error_codes::ERROR_CODES;
use crate::error_codes::ErrorCodes;
use crate::inbound_text::code_word;
use crate::response_class::{by_code, unreadable};
use crate::text_message::{blame, refuse_what_cannot_fit};
use crate::{
    Call, Kind, Outgoing, Provider, Settings, SettingsError, Webhook, WebhookError, WebhookRequest, base_url,
    callback, credentials, http_call, shared_secret,
};

pub(crate) const KIND: Kind = Kind {
    name: "bandwidth",
    channels: &[Channel::Sms, Channel::Mms],
    base_url: "https://messaging.bandwidth.com",
    receipts: true,
    inbound: true,
    signature: "none: webhook_secret as the password of Basic authentication, or as ?secret=",
    receipts_carry_our_id: true,
    verification_keys: &["webhook_secret"],
    setup: include_str!("bandwidth/setup.toml"),
    configure,
};

const KEYS: &[&str] = &["account_id", "username", "password", "application_id", "webhook_secret"];

#[derive(Debug)]
struct Bandwidth {
    messages_uri: Uri,
    /// Marked as sensitive, so that `Debug` does not show it.
    authorization: HeaderValue,
    application_id: String,
    webhook_secret: Option<SecretString>,
    codes: ErrorCodes,
    verify: bool,
}

fn configure(settings: &Settings) -> Result<Box<dyn Provider>, SettingsError> {
    settings.only(KEYS)?;
    let account_id = settings.required("account_id")?.expose_secret().to_owned();
    // It stands in the path.
    if !account_id.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(SettingsError::new("account_id", "must be digits, such as 9900000"));
    }
    let username = settings.required("username")?;
    let password = settings.required("password")?;
    let path = format!("/api/v2/users/{account_id}/messages");
    Ok(Box::new(Bandwidth {
        messages_uri: base_url::join(&settings.base_url, &path)?,
        authorization: credentials::basic("password", username.expose_secret(), &password)?,
        application_id: settings.required("application_id")?.expose_secret().to_owned(),
        webhook_secret: settings.optional("webhook_secret"),
        codes: ErrorCodes::new(ERROR_CODES, &settings.codes),
        verify: settings.verify,
    }))
}

impl Provider for Bandwidth {
    fn call(&self, message: &Outgoing<'_>) -> Result<Call, Outcome> {
        refuse_what_cannot_fit(&KIND, message)?;
        let mut body = json!({
            "applicationId": self.application_id,
            "from": message.from.as_str(),
            "to": [message.to.as_str()],
            // No address for receipts can be given with a message; the tag comes back in each of them.
            "tag": callback::reference(message),
        });
        if !message.body.is_empty() {
            body["text"] = message.body.into();
        }
        // What has media is an MMS, and nothing else is: there is no other way to say it.
        if !message.attachments.is_empty() {
            body["media"] = message.attachments.into();
        }
        Ok(Call::Http(http_call::post_json(&self.messages_uri, &self.authorization, &body)))
    }

    fn http_outcome(&self, response: &Response<Bytes>, now: Timestamp) -> Outcome {
        let answer: Value = serde_json::from_slice(response.body()).unwrap_or_default();
        if response.status().is_success() {
            return match answer["id"].as_str().and_then(code_word) {
                Some(id) => Outcome::Accepted { provider_message_id: Some(id) },
                // It may not come from Bandwidth at all, or may: nobody knows whether it has the message.
                None => unreadable(response.status().as_u16(), "without a message id"),
            };
        }
        // A word such as `request-validation`.
        let code = answer["type"].as_str().and_then(code_word);
        let outcome = by_code(response, &self.codes, code, None, now);
        blame(outcome, answer["fieldErrors"][0]["fieldName"].as_str())
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
        webhook::read(request.body, &self.codes)
    }
}
