//! Plivo: SMS and MMS (https://www.plivo.com/docs/messaging/api/message/send-a-message). What its webhooks say is in
//! `plivo/webhook.rs`, who sent them in `plivo/signature.rs`.

mod error_codes;
mod signature;
mod webhook;

use bytes::Bytes;
use http::{HeaderValue, Response, Uri};
use jiff::Timestamp;
use model::{Channel, Outcome, Reason};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use self::error_codes::ERROR_CODES;
use self::signature::Signed;
use crate::error_codes::ErrorCodes;
use crate::inbound_text::code_word;
use crate::response_class::{by_status, unreadable};
use crate::text_message::{is_mms, refuse_attachments_beyond, refuse_what_cannot_fit, without_plus};
use crate::{
    Call, Kind, Outgoing, Provider, Settings, SettingsError, Webhook, WebhookError, WebhookRequest, base_url,
    callback, credentials, http_call, shared_secret,
};

pub(crate) const KIND: Kind = Kind {
    name: "plivo",
    channels: &[Channel::Sms, Channel::Mms],
    base_url: "https://api.plivo.com",
    receipts: true,
    inbound: true,
    signature: "X-Plivo-Signature-V3 or -V2: HMAC-SHA256 with auth_token; V2 does not cover the body",
    receipts_carry_our_id: true,
    verification_keys: &["auth_token", "inbound_secret"],
    setup: include_str!("plivo/setup.toml"),
    configure,
};

const KEYS: &[&str] = &["auth_id", "auth_token", "inbound_secret"];

const ATTACHMENTS_MAX: usize = 10;

#[derive(Debug)]
struct Plivo {
    message_uri: Uri,
    /// Marked as sensitive, so that `Debug` does not show it.
    authorization: HeaderValue,
    auth_token: SecretString,
    inbound_secret: Option<SecretString>,
    codes: ErrorCodes,
    verify: bool,
}

fn configure(settings: &Settings) -> Result<Box<dyn Provider>, SettingsError> {
    settings.only(KEYS)?;
    let auth_id = settings.required("auth_id")?.expose_secret().to_owned();
    // It stands in the path.
    if !auth_id.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(SettingsError::new(
            "auth_id",
            "must be letters and digits, such as MA or SA and 18 more",
        ));
    }
    let auth_token = settings.required("auth_token")?;
    // Without the slash at its end Plivo redirects, which loses the body.
    let path = format!("/v1/Account/{auth_id}/Message/");
    Ok(Box::new(Plivo {
        message_uri: base_url::join(&settings.base_url, &path)?,
        authorization: credentials::basic("auth_token", &auth_id, &auth_token)?,
        auth_token,
        inbound_secret: settings.optional("inbound_secret"),
        codes: ErrorCodes::new(ERROR_CODES, &settings.codes),
        verify: settings.verify,
    }))
}

impl Provider for Plivo {
    fn call(&self, message: &Outgoing<'_>) -> Result<Call, Outcome> {
        refuse_what_cannot_fit(&KIND, message)?;
        refuse_attachments_beyond(ATTACHMENTS_MAX, &KIND, message)?;
        let mut body = json!({
            "src": message.from.as_str(),
            "dst": without_plus(message.to),
            "type": if is_mms(message) { "mms" } else { "sms" },
            "url": callback::url(message),
            "method": "POST",
        });
        if !message.body.is_empty() {
            body["text"] = message.body.into();
        }
        if !message.attachments.is_empty() {
            body["media_urls"] = message.attachments.into();
        }
        Ok(Call::Http(http_call::post_json(&self.message_uri, &self.authorization, &body)))
    }

    /// An error has words and no code; its status is all there is to go by.
    fn http_outcome(&self, response: &Response<Bytes>, now: Timestamp) -> Outcome {
        if response.status().is_success() {
            return accepted(response);
        }
        by_status(response.status(), response.headers(), None, None, now)
    }

    fn check_head(&self, head: &WebhookRequest<'_>) -> Result<(), WebhookError> {
        if self.verify { signature::check_head(head) } else { Ok(()) }
    }

    fn webhook(&self, request: &WebhookRequest<'_>) -> Result<Webhook, WebhookError> {
        let signed = if self.verify { signature::verify(request, &self.auth_token)? } else { Signed::Whole };
        let webhook = webhook::read(request, &self.codes);
        // Whoever saw one webhook signed so could send any message. A receipt has to know a message's id; what is
        // neither may be a message.
        let is_receipt = webhook.as_ref().is_ok_and(|webhook| webhook.inbound.is_empty());
        if signed == Signed::AddressOnly && self.inbound_secret.is_some() && !is_receipt {
            shared_secret::verify(request, "inbound_secret", self.inbound_secret.as_ref())?;
        }
        webhook
    }

    fn reads_parameter(&self, name: &str) -> bool {
        webhook::reads_parameter(name)
    }
}

/// A 2xx without a readable id may not come from Plivo at all, or may: nobody knows whether it has the message.
fn accepted(response: &Response<Bytes>) -> Outcome {
    let answer: Value = serde_json::from_slice(response.body()).unwrap_or_default();
    // One for each recipient.
    let id = answer["message_uuid"][0].as_str().or(answer["message_uuid"].as_str()).and_then(code_word);
    let refused = answer["invalid_number"].as_array().is_some_and(|numbers| !numbers.is_empty());
    match id {
        Some(id) => Outcome::Accepted { provider_message_id: Some(id) },
        None if refused => Outcome::Rejected {
            reason: Reason::InvalidRecipient,
            provider_code: Some("invalid_number".to_owned()),
            detail: "the recipient is not a valid number".to_owned(),
        },
        None => unreadable(response.status().as_u16(), "without a message id"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_auth_id_that_would_change_the_path_is_refused() {
        for auth_id in ["MA1/../..", "MA1:x", "MA1?"] {
            let values = [("auth_id", auth_id), ("auth_token", "t")];
            let settings = Settings {
                base_url: "https://api.plivo.com".parse().unwrap(),
                verify: true,
                codes: std::collections::BTreeMap::new(),
                values: values.map(|(key, value)| (key.to_owned(), value.into())).into(),
            };
            assert_eq!(configure(&settings).unwrap_err().key, "auth_id");
        }
    }
}
