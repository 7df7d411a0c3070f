//! MessageBird's classic REST API (https://developers.messagebird.com/api/sms-messaging): SMS and MMS. Bird's newer
//! platform has other addresses, accounts, messages and signatures: it is the kind `bird`.

mod error_codes;
mod signature;
mod webhook;

use bytes::Bytes;
use http::{HeaderValue, Response, Uri};
use jiff::Timestamp;
use model::{Channel, Outcome, Reason};
use secrecy::SecretString;
use serde_json::{Value, json};

use self::error_codes::ERROR_CODES;
use crate::error_codes::{Class, ErrorCodes};
use crate::inbound_text::code_word;
use crate::json_field::number;
use crate::response_class::{by_status, unreadable};
use crate::text_message::{is_mms, refuse_attachments_beyond, refuse_what_cannot_fit, without_plus};
use crate::wait::retry_after;
use crate::{
    Call, Kind, Outgoing, Provider, Settings, SettingsError, Webhook, WebhookError, WebhookRequest, base_url,
    callback, credentials, http_call,
};

pub(crate) const KIND: Kind = Kind {
    name: "messagebird",
    channels: &[Channel::Sms, Channel::Mms],
    base_url: "https://rest.messagebird.com",
    receipts: true,
    inbound: true,
    signature: "MessageBird-Signature-JWT: HMAC with signing_key",
    receipts_carry_our_id: true,
    verification_keys: &["signing_key"],
    setup: include_str!("messagebird/setup.toml"),
    configure,
};

const KEYS: &[&str] = &["access_key", "signing_key"];

const ATTACHMENTS_MAX: usize = 10;

#[derive(Debug)]
struct MessageBird {
    messages_uri: Uri,
    mms_uri: Uri,
    /// Marked as sensitive, so that `Debug` does not show it.
    authorization: HeaderValue,
    signing_key: Option<SecretString>,
    codes: ErrorCodes,
    verify: bool,
}

fn configure(settings: &Settings) -> Result<Box<dyn Provider>, SettingsError> {
    settings.only(KEYS)?;
    let access_key = settings.required("access_key")?;
    Ok(Box::new(MessageBird {
        messages_uri: base_url::join(&settings.base_url, "/messages")?,
        mms_uri: base_url::join(&settings.base_url, "/mms")?,
        authorization: credentials::token("access_key", "AccessKey", &access_key)?,
        signing_key: settings.optional("signing_key"),
        codes: ErrorCodes::new(ERROR_CODES, &settings.codes),
        verify: settings.verify,
    }))
}

impl Provider for MessageBird {
    fn call(&self, message: &Outgoing<'_>) -> Result<Call, Outcome> {
        refuse_what_cannot_fit(&KIND, message)?;
        refuse_attachments_beyond(ATTACHMENTS_MAX, &KIND, message)?;
        let mut body = json!({
            "originator": without_plus(message.from),
            "recipients": [without_plus(message.to)],
            "reference": callback::reference(message),
            "reportUrl": message.webhook_url,
        });
        if !message.body.is_empty() {
            body["body"] = message.body.into();
        }
        if !is_mms(message) {
            // Without it everything beyond GSM-7 arrives as question marks.
            body["datacoding"] = "auto".into();
            return Ok(Call::Http(http_call::post_json(&self.messages_uri, &self.authorization, &body)));
        }
        if !message.attachments.is_empty() {
            body["mediaUrls"] = message.attachments.into();
        }
        if let Some(subject) = message.subject {
            body["subject"] = subject.into();
        }
        Ok(Call::Http(http_call::post_json(&self.mms_uri, &self.authorization, &body)))
    }

    fn http_outcome(&self, response: &Response<Bytes>, now: Timestamp) -> Outcome {
        let answer: Value = serde_json::from_slice(response.body()).unwrap_or_default();
        if response.status().is_success() {
            accepted(response.status().as_u16(), &answer, &self.codes)
        } else {
            refused(response, &answer, &self.codes, now)
        }
    }

    fn check_head(&self, head: &WebhookRequest<'_>) -> Result<(), WebhookError> {
        if self.verify { signature::check_head(head, self.signing_key.as_ref()) } else { Ok(()) }
    }

    fn webhook(&self, request: &WebhookRequest<'_>) -> Result<Webhook, WebhookError> {
        if self.verify {
            signature::verify(request, self.signing_key.as_ref())?;
        }
        webhook::read(request, &self.codes)
    }

    fn reads_parameter(&self, name: &str) -> bool {
        webhook::reads_parameter(name)
    }
}

/// A 2xx without a readable id may not come from MessageBird at all, or may: nobody knows whether it has the message.
fn accepted(status: u16, answer: &Value, codes: &ErrorCodes) -> Outcome {
    let Some(id) = answer["id"].as_str().and_then(code_word) else {
        return unreadable(status, "without the id of a message");
    };
    // The one recipient may have failed already: then no status report follows.
    let recipient = &answer["recipients"]["items"][0];
    let failed = matches!(recipient["status"].as_str(), Some("delivery_failed" | "expired"));
    let code = number(&recipient["statusErrorCode"]);
    match (failed, code.as_deref().and_then(|code| codes.find(code))) {
        (false, _) => Outcome::Accepted { provider_message_id: Some(id) },
        (true, Some(known)) => known.outcome(None),
        (true, None) => Outcome::Rejected {
            reason: Reason::Rejected,
            provider_code: code,
            detail: "MessageBird took the message and failed it at once".to_owned(),
        },
    }
}

fn refused(response: &Response<Bytes>, answer: &Value, codes: &ErrorCodes, now: Timestamp) -> Outcome {
    let (status, headers) = (response.status(), response.headers());
    let error = &answer["errors"][0];
    let code = number(&error["code"]);
    match code.as_deref().and_then(|code| codes.find(code)) {
        // A redirect is never MessageBird's verdict, and 429 is one whatever the code.
        Some(mut known) if !status.is_redirection() && status.as_u16() != 429 => {
            // A refused field says who is to blame.
            if known.class == Class::Refuse {
                known.class = match error["parameter"].as_str() {
                    Some("recipient" | "recipients") => Class::BadRecipient,
                    Some("originator" | "reportUrl" | "reference") => Class::Configuration,
                    Some("body" | "subject" | "mediaUrls") => Class::Content,
                    _ => Class::Refuse,
                };
            }
            known.outcome(retry_after(headers, None, now))
        }
        _ => by_status(status, headers, None, code, now),
    }
}
