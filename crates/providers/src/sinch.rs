//! Sinch SMS, the REST API of service plans (https://developers.sinch.com/docs/sms/api-reference): SMS and MMS.
//! What its callbacks say is in `sinch/callbacks.rs`, who sent them in `sinch/signature.rs`.

mod callbacks;
mod error_codes;
mod signature;

use bytes::Bytes;
use http::{HeaderValue, Response, Uri};
use jiff::Timestamp;
use model::{Channel, Outcome, Reason};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use self::error_codes::ERROR_CODES;
use self::signature::Secrets;
use crate::error_codes::ErrorCodes;
use crate::inbound_text::code_word;
use crate::response_class::{by_status, unreadable};
use crate::text_message::{refuse_attachments_beyond, refuse_what_cannot_fit};
use crate::wait::retry_after;
use crate::{
    Call, Kind, Outgoing, Provider, Settings, SettingsError, Webhook, WebhookError, WebhookRequest, base_url,
    callback, credentials, http_call,
};

pub(crate) const KIND: Kind = Kind {
    name: "sinch",
    channels: &[Channel::Sms, Channel::Mms],
    base_url: "https://us.sms.api.sinch.com",
    receipts: true,
    inbound: true,
    signature: "x-sinch-webhook-signature: HMAC-SHA256 with webhook_signing_secret; where the account signs nothing, \
                Basic authentication or ?secret= with webhook_secret",
    receipts_carry_our_id: true,
    verification_keys: &["webhook_signing_secret", "webhook_secret"],
    setup: include_str!("sinch/setup.toml"),
    configure,
};

const KEYS: &[&str] = &["service_plan_id", "api_token", "webhook_secret", "webhook_signing_secret"];

#[derive(Debug)]
struct Sinch {
    batches_uri: Uri,
    /// Marked as sensitive, so that `Debug` does not show it.
    authorization: HeaderValue,
    secrets: Secrets,
    codes: ErrorCodes,
    verify: bool,
}

fn configure(settings: &Settings) -> Result<Box<dyn Provider>, SettingsError> {
    settings.only(KEYS)?;
    let plan = settings.required("service_plan_id")?;
    let Some(plan) = code_word(plan.expose_secret()) else {
        return Err(SettingsError::new("service_plan_id", "must be letters, digits and hyphens"));
    };
    let api_token = settings.required("api_token")?;
    let secrets = Secrets {
        signing: settings.optional("webhook_signing_secret"),
        in_url: settings.optional("webhook_secret"),
    };
    if secrets.signing.is_some() && secrets.in_url.is_some() {
        return Err(SettingsError::new(
            "webhook_secret",
            "is for accounts whose callbacks are unsigned; with webhook_signing_secret leave it out",
        ));
    }
    Ok(Box::new(Sinch {
        batches_uri: base_url::join(&settings.base_url, &format!("/xms/v1/{plan}/batches"))?,
        authorization: credentials::token("api_token", "Bearer", &api_token)?,
        secrets,
        codes: ErrorCodes::new(ERROR_CODES, &settings.codes),
        verify: settings.verify,
    }))
}

impl Provider for Sinch {
    fn call(&self, message: &Outgoing<'_>) -> Result<Call, Outcome> {
        refuse_what_cannot_fit(&KIND, message)?;
        refuse_attachments_beyond(1, &KIND, message)?;
        // One recipient a batch: its id then is the message's.
        let mut batch = json!({
            "from": message.from.as_str(),
            "to": [message.to.as_str()],
            "delivery_report": "per_recipient",
            "client_reference": callback::reference(message),
        });
        // An MMS without media does not exist here; its text arrives all the same.
        match message.attachments {
            [] => {
                batch["type"] = "mt_text".into();
                batch["body"] = message.body.into();
            }
            [url, ..] => {
                batch["type"] = "mt_media".into();
                batch["body"] = media(url, message);
            }
        }
        // A secret in the address is known to the service plan's own callback URL alone: without an address in the
        // batch that one is used.
        if self.secrets.in_url.is_none() {
            batch["callback_url"] = callback::url(message).into();
        }
        Ok(Call::Http(http_call::post_json(&self.batches_uri, &self.authorization, &batch)))
    }

    fn http_outcome(&self, response: &Response<Bytes>, now: Timestamp) -> Outcome {
        let answer: Value = serde_json::from_slice(response.body()).unwrap_or_default();
        let (status, headers) = (response.status(), response.headers());
        if status.is_success() {
            return accepted(status.as_u16(), &answer);
        }
        // Numbers are codes of delivery reports, and elsewhere repeat the HTTP status.
        let code = answer["code"]
            .as_str()
            .and_then(code_word)
            .filter(|code| code.starts_with(|first: char| first.is_ascii_alphabetic()));
        match code.as_deref().and_then(|code| self.codes.find(code)) {
            // 401 is about the credentials, whatever the code.
            Some(known) if !status.is_redirection() && !matches!(status.as_u16(), 401 | 429) => {
                known.outcome(retry_after(headers, None, now))
            }
            _ => by_status(status, headers, None, code, now),
        }
    }

    fn check_head(&self, head: &WebhookRequest<'_>) -> Result<(), WebhookError> {
        if self.verify { signature::check_head(head, &self.secrets) } else { Ok(()) }
    }

    fn webhook(&self, request: &WebhookRequest<'_>) -> Result<Webhook, WebhookError> {
        if self.verify {
            signature::verify(request, &self.secrets)?;
        }
        callbacks::read(request, self.secrets.signing.is_none(), &self.codes)
    }
}

fn media(url: &str, message: &Outgoing<'_>) -> Value {
    let mut body = json!({ "url": url });
    if !message.body.is_empty() {
        body["message"] = message.body.into();
    }
    if let Some(subject) = message.subject {
        body["subject"] = subject.into();
    }
    body
}

/// A 2xx without a readable id may not come from Sinch at all, or may: nobody knows whether it has the message.
fn accepted(status: u16, answer: &Value) -> Outcome {
    match answer["id"].as_str().and_then(code_word) {
        Some(id) if answer["canceled"] != true => Outcome::Accepted { provider_message_id: Some(id) },
        Some(_) => Outcome::Rejected {
            reason: Reason::Rejected,
            provider_code: None,
            detail: "Sinch took the batch and canceled it at once".to_owned(),
        },
        None => unreadable(status, "without the id of a batch"),
    }
}
