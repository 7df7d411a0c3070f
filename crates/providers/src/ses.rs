//! Amazon SES, API v2: email (https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html).
//! Its notifications come through SNS: `ses/sns.rs` verifies them, `ses/events.rs` reads what they carry.

mod error_codes;
mod events;
mod sigv4;
mod sns;

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri};
use jiff::Timestamp;
use model::{Channel, Outcome, Reason};
use secrecy::ExposeSecret;
use serde::Serialize;
use serde_json::Value;

use self::sigv4::{Credentials, Scope};
use crate::email::{ascii_address, mime};
use crate::error_codes::{ErrorCodes, Known};
use crate::http_call::JSON;
use crate::inbound_text::code_word;
use crate::response_class::by_status;
use crate::wait::retry_after;
use crate::{
    Call, Class, Kind, Outgoing, Provider, Settings, SettingsError, Webhook, WebhookError, WebhookRequest,
    base_url,
};

pub(crate) const KIND: Kind = Kind {
    name: "ses",
    channels: &[Channel::Email],
    base_url: "https://email.us-east-1.amazonaws.com",
    receipts: true,
    inbound: true,
    signature: "SNS: RSA with the certificate that it names, for the topics of topic_arn",
    // Only events of a configuration set bring back our tags; others know the provider's id.
    receipts_carry_our_id: false,
    verification_keys: &[],
    setup: include_str!("ses/setup.toml"),
    configure,
};

const KEYS: &[&str] = &[
    "region",
    "access_key_id",
    "secret_access_key",
    "session_token",
    "configuration_set",
    "topic_arn",
    "from_name",
];

/// Names of tags, which every event of a configuration set repeats.
const MESSAGE_ID_TAG: &str = "app_message_id";
const ATTEMPT_TAG: &str = "app_attempt";

/// A quota counts over 24 hours, and mails leave it one by one.
const QUOTA_WAIT: Duration = Duration::from_secs(3600);

#[derive(Debug)]
struct Ses {
    send_uri: Uri,
    region: String,
    credentials: Credentials,
    configuration_set: Option<String>,
    from_name: Option<String>,
    codes: ErrorCodes,
    topics: sns::Topics,
    verify: bool,
}

fn configure(settings: &Settings) -> Result<Box<dyn Provider>, SettingsError> {
    settings.only(KEYS)?;
    let text = |key: &str| settings.optional(key).map(|value| value.expose_secret().trim().to_owned());
    let region = settings.required("region")?.expose_secret().trim().to_owned();
    let is_region = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !region.bytes().all(is_region) {
        return Err(SettingsError::new("region", "must be a region such as eu-central-1"));
    }
    let access_key_id = settings.required("access_key_id")?.expose_secret().trim().to_owned();
    if !access_key_id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(SettingsError::new("access_key_id", "must be letters and digits, such as AKIA..."));
    }
    let session_token = settings.optional("session_token");
    if let Some(token) = &session_token {
        crate::credentials::sensitive("session_token", token.expose_secret())?;
    }
    let of_region = format!("https://email.{region}.amazonaws.com").parse();
    let base = match (settings.base_url.as_str().trim_end_matches('/') == KIND.base_url, of_region) {
        (true, Ok(of_region)) => of_region,
        _ => settings.base_url.clone(),
    };
    Ok(Box::new(Ses {
        send_uri: base_url::join(&base, "/v2/email/outbound-emails")?,
        region,
        credentials: Credentials {
            access_key_id,
            secret_access_key: settings.required("secret_access_key")?,
            session_token,
        },
        configuration_set: text("configuration_set"),
        from_name: text("from_name"),
        codes: ErrorCodes::new(error_codes::TABLE, &settings.codes),
        topics: sns::Topics::new(text("topic_arn").as_deref())?,
        verify: settings.verify,
    }))
}

/// The body of `SendEmail`. No `Value`: the signature covers its bytes, so its members keep this order.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SendEmail<'a> {
    from_email_address: String,
    destination: Destination,
    content: Content,
    email_tags: [Tag; 2],
    #[serde(skip_serializing_if = "Option::is_none")]
    configuration_set_name: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Destination {
    to_addresses: [String; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Content {
    raw: Raw,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Raw {
    data: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Tag {
    name: &'static str,
    value: String,
}

impl Provider for Ses {
    fn call(&self, message: &Outgoing<'_>) -> Result<Call, Outcome> {
        let refused = |reason: Reason, detail: &str| Outcome::Rejected {
            reason,
            provider_code: None,
            detail: detail.to_owned(),
        };
        if message.channel != Channel::Email {
            return Err(refused(Reason::Configuration, "ses sends email"));
        }
        let address = |text: &str, reason| {
            let detail = "the address is none that SES takes: its part before the @ must be ASCII";
            ascii_address(text).ok_or_else(|| refused(reason, detail))
        };
        let body = SendEmail {
            from_email_address: address(message.from.as_str(), Reason::Configuration)?,
            destination: Destination {
                to_addresses: [address(message.to.as_str(), Reason::InvalidRecipient)?],
            },
            content: Content {
                raw: Raw { data: BASE64.encode(mime::write(message, self.from_name.as_deref())?) },
            },
            email_tags: [
                Tag { name: MESSAGE_ID_TAG, value: message.message_id.to_string() },
                Tag { name: ATTEMPT_TAG, value: message.attempt.to_string() },
            ],
            configuration_set_name: self.configuration_set.as_deref(),
        };
        let unsendable = || refused(Reason::Configuration, "the request cannot be signed");
        let body = serde_json::to_vec(&body).map_err(|_| unsendable())?;
        let mut request = Request::new(Bytes::from(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.send_uri.clone();
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
        let scope = Scope { region: &self.region, service: "ses" };
        sigv4::sign(&mut request, &self.credentials, scope, message.now).ok_or_else(unsendable)?;
        Ok(Call::Http(request))
    }

    fn http_outcome(&self, response: &Response<Bytes>, now: Timestamp) -> Outcome {
        let (status, headers) = (response.status(), response.headers());
        let answer: Value = serde_json::from_slice(response.body()).unwrap_or_default();
        match (status.as_u16(), answer["MessageId"].as_str().and_then(code_word)) {
            (200, Some(id)) => return Outcome::Accepted { provider_message_id: Some(id) },
            (200..=299, _) => {
                return Outcome::Uncertain {
                    reason: Reason::UnreadableAnswer,
                    detail: format!("HTTP {}, without the MessageId that SES answers", status.as_u16()),
                };
            }
            _ => {}
        }
        let Some(code) = error_type(headers, &answer) else {
            return by_status(status, headers, None, None, now);
        };
        let wait = retry_after(headers, None, now);
        match self.codes.find(&code) {
            Some(known) if is_about_verification(known, &answer) => Outcome::Rejected {
                reason: Reason::Configuration,
                provider_code: Some(code),
                detail: "an address or domain is not verified; in the sandbox that includes recipients"
                    .to_owned(),
            },
            Some(known) if known.code == "LimitExceededException" => known.outcome(wait.or(Some(QUOTA_WAIT))),
            Some(known) => known.outcome(wait),
            None => by_status(status, headers, None, Some(code), now),
        }
    }

    fn webhook(&self, request: &WebhookRequest<'_>) -> Result<Webhook, WebhookError> {
        let envelope = sns::Envelope::read(request.body).ok_or_else(|| {
            let why = "it is no notification of SNS; raw message delivery must be off".to_owned();
            if self.verify { WebhookError::Unverified(why) } else { WebhookError::Unparsable(why) }
        })?;
        if self.verify {
            envelope.verify(&self.topics, request)?;
        }
        match envelope.kind() {
            "Notification" => events::read(envelope.message(), request.now),
            "SubscriptionConfirmation" => {
                Ok(Webhook { confirm: Some(envelope.subscribe_url()?), ..Webhook::default() })
            }
            // Somebody may take a subscription away; that cannot be confirmed, only undone.
            "UnsubscribeConfirmation" => Ok(Webhook::default()),
            _ => Err(WebhookError::Unparsable("its Type is none that SNS has".to_owned())),
        }
    }
}

/// The exception's name: `x-amzn-ErrorType: TooManyRequestsException:http://...`, or in the body, after a `#`.
fn error_type(headers: &HeaderMap, answer: &Value) -> Option<String> {
    let in_header = headers.get("x-amzn-errortype").and_then(|value| value.to_str().ok());
    let in_body = || answer["__type"].as_str().or_else(|| answer["code"].as_str());
    let name = in_header.or_else(in_body)?;
    code_word(name.split(':').next()?.rsplit('#').next()?)
}

/// SES says by its sentence alone what kind of refusal this is. The sentence quotes addresses and is not passed on.
fn is_about_verification(known: Known<'_>, answer: &Value) -> bool {
    let sentence = answer["message"].as_str().or_else(|| answer["Message"].as_str()).unwrap_or_default();
    matches!(known.class, Class::Content | Class::Refuse) && sentence.to_lowercase().contains("not verified")
}
