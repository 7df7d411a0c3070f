//! Postmark: email (https://postmarkapp.com/developer/api/email-api). Its webhooks are `postmark/events.rs` and
//! `postmark/inbound.rs`, its error codes `postmark/error_codes.rs`.

mod error_codes;
mod events;
mod inbound;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method, Request, Response, Uri};
use jiff::Timestamp;
use model::{Channel, Outcome, Reason};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use self::error_codes::{ERROR_CODES, range};
use crate::email::content::{self, Content};
use crate::email::{self, ATTEMPT_NAME, MESSAGE_ID_NAME};
use crate::error_codes::ErrorCodes;
use crate::http_call::JSON;
use crate::inbound_text::code_word;
use crate::response_class::{by_status, unreadable};
use crate::wait::retry_after;
use crate::{
    Call, Kind, Outgoing, Provider, Settings, SettingsError, Webhook, WebhookError, WebhookRequest, base_url,
    credentials, shared_secret,
};

pub(crate) const KIND: Kind = Kind {
    name: "postmark",
    channels: &[Channel::Email],
    base_url: "https://api.postmarkapp.com",
    receipts: true,
    inbound: true,
    signature: "none: Basic authentication or ?secret= with webhook_secret",
    receipts_carry_our_id: true,
    verification_keys: &["webhook_secret"],
    setup: include_str!("postmark/setup.toml"),
    configure,
};

const KEYS: &[&str] = &["server_token", "message_stream", "from_name", "keep_message_id", "webhook_secret"];

const SERVER_TOKEN: HeaderName = HeaderName::from_static("x-postmark-server-token");

#[derive(Debug)]
struct Postmark {
    email_uri: Uri,
    /// Marked as sensitive, so that `Debug` does not show it.
    server_token: HeaderValue,
    message_stream: Option<String>,
    from_name: Option<String>,
    keep_message_id: bool,
    webhook_secret: Option<SecretString>,
    codes: ErrorCodes,
    verify: bool,
}

fn configure(settings: &Settings) -> Result<Box<dyn Provider>, SettingsError> {
    settings.only(KEYS)?;
    let server_token = settings.required("server_token")?;
    let keep_message_id = match settings.optional("keep_message_id") {
        None => true,
        Some(word) => word
            .expose_secret()
            .parse()
            .map_err(|_| SettingsError::new("keep_message_id", "must be true or false"))?,
    };
    Ok(Box::new(Postmark {
        email_uri: base_url::join(&settings.base_url, "/email")?,
        server_token: credentials::sensitive("server_token", server_token.expose_secret())?,
        message_stream: settings.optional("message_stream").map(|stream| stream.expose_secret().to_owned()),
        from_name: email::from_name(settings),
        keep_message_id,
        webhook_secret: settings.optional("webhook_secret"),
        codes: ErrorCodes::new(ERROR_CODES, &settings.codes),
        verify: settings.verify,
    }))
}

impl Provider for Postmark {
    fn call(&self, message: &Outgoing<'_>) -> Result<Call, Outcome> {
        email::check(message, "postmark")?;
        let Content { subject, text, html } = content::of(message);
        let mut body = json!({
            "From": email::mailbox(self.from_name.as_deref(), message.from.as_str()),
            "To": message.to.as_str(),
            "Subject": subject,
            "Headers": self.headers(message),
            // Strings, as all of Postmark's metadata.
            "Metadata": {
                MESSAGE_ID_NAME: message.message_id.to_string(),
                ATTEMPT_NAME: message.attempt.to_string(),
            },
        });
        for (name, value) in
            [("TextBody", text), ("HtmlBody", html), ("MessageStream", self.message_stream.clone())]
        {
            if let Some(value) = value {
                body[name] = value.into();
            }
        }
        if !message.files.is_empty() {
            let attachments = message.files.iter().map(|file| {
                json!({
                    "Name": file.filename,
                    "Content": email::content::base64(file),
                    "ContentType": file.content_type,
                })
            });
            body["Attachments"] = attachments.collect();
        }
        let mut request = Request::new(Bytes::from(body.to_string()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.email_uri.clone();
        let headers = request.headers_mut();
        headers.insert(SERVER_TOKEN, self.server_token.clone());
        headers.insert(ACCEPT, HeaderValue::from_static(JSON));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
        Ok(Call::Http(request))
    }

    fn http_outcome(&self, response: &Response<Bytes>, now: Timestamp) -> Outcome {
        let (status, headers) = (response.status(), response.headers());
        let answer: Value = serde_json::from_slice(response.body()).unwrap_or_default();
        let code = answer["ErrorCode"].as_u64();
        match (status.as_u16(), code) {
            // The words for a mail that goes to none of its recipients, who are one here.
            (200, Some(0)) if answer["Message"].as_str().is_some_and(|text| text.contains("inactive")) => {
                self.refused(response, 406, now)
            }
            (200, Some(0)) => accepted(&answer),
            (200, Some(code)) => self.refused(response, code, now),
            (200..=299, _) => Outcome::Uncertain {
                reason: Reason::UnreadableAnswer,
                detail: format!("HTTP {}, which is not Postmark's answer", status.as_u16()),
            },
            // Statuses whose meaning does not depend on a code, and redirects, which are never Postmark's.
            (300..=399 | 429 | 500..=599, _) | (_, None) => by_status(status, headers, None, None, now),
            (_, Some(code)) => self.refused(response, code, now),
        }
    }

    fn check_head(&self, head: &WebhookRequest<'_>) -> Result<(), WebhookError> {
        if self.verify {
            shared_secret::verify(head, "webhook_secret", self.webhook_secret.as_ref())
        } else {
            Ok(())
        }
    }

    /// Events and mail arrive at one address.
    fn webhook(&self, request: &WebhookRequest<'_>) -> Result<Webhook, WebhookError> {
        if self.verify {
            shared_secret::verify(request, "webhook_secret", self.webhook_secret.as_ref())?;
        }
        let Ok(Value::Object(post)) = serde_json::from_slice(request.body) else {
            return Err(WebhookError::Unparsable("expected a JSON object".to_owned()));
        };
        let post = Value::Object(post);
        match post["RecordType"].as_str() {
            Some("Inbound") => inbound::read(&post, request.body, request.now),
            Some(record_type) => Ok(events::read(record_type, &post)),
            None if post["FromFull"].is_object() || post["OriginalRecipient"].is_string() => {
                inbound::read(&post, request.body, request.now)
            }
            None => Err(WebhookError::Unparsable("it is neither an event nor a mail".to_owned())),
        }
    }
}

impl Postmark {
    fn headers(&self, message: &Outgoing<'_>) -> Vec<Value> {
        let header = |name: &str, value: &str| json!({ "Name": name, "Value": value });
        let mut headers = Vec::new();
        if self.keep_message_id {
            // Without it Postmark replaces the Message-ID by one of its own.
            headers.push(header("X-PM-KeepID", "true"));
            headers.push(header("Message-ID", &email::message_id(message)));
        }
        headers.extend(email::threading(message).iter().map(|(name, value)| header(name, value)));
        headers
    }

    /// Postmark's own codes; some of their numbers are HTTP statuses of another meaning.
    fn refused(&self, response: &Response<Bytes>, code: u64, now: Timestamp) -> Outcome {
        let text = code.to_string();
        if let Some(known) = self.codes.find(&text) {
            return known.outcome(retry_after(response.headers(), None, now));
        }
        let (reason, meaning) = range(code);
        Outcome::Rejected {
            reason,
            detail: format!("HTTP {}, code {code}: {meaning}", response.status().as_u16()),
            provider_code: Some(text),
        }
    }
}

fn accepted(answer: &Value) -> Outcome {
    match answer["MessageID"].as_str().and_then(code_word) {
        Some(id) => Outcome::Accepted { provider_message_id: Some(id) },
        None => unreadable(200, "without a message id"),
    }
}
