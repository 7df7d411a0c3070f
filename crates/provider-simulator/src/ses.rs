//! Amazon SES v2: `SendEmail`, simple or raw, with its signature checked; events by SNS.
//! <https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html>

mod signature;
mod sns;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::{Map, Value, json};

use crate::account::Account;
use crate::answer::{self, Whole};
use crate::demo::{DEMO_SES_ACCESS_KEY_ID, DEMO_SES_SECRET_ACCESS_KEY, DEMO_SES_TOPIC_ARN};
use crate::digest;
use crate::http_call::{HttpCall, text, texts};
use crate::kind::{Hook, Inbound, Outline, Protocol, Reading};
use crate::message::{Accepted, first_reference, own_reference};
use crate::mime;
use crate::numbers::{is_mailbox, mailbox};
use crate::post::Post;
use crate::simulator::Shared;

const NAME: &str = "ses";
const RECIPIENTS_MAX: usize = 50;

#[derive(Debug)]
pub(crate) struct Ses;

impl Protocol for Ses {
    fn name(&self) -> &'static str {
        NAME
    }

    fn demo_account(&self) -> Account {
        Account {
            kind: NAME.to_owned(),
            name: DEMO_SES_ACCESS_KEY_ID.to_owned(),
            // The topic of its events.
            user: DEMO_SES_TOPIC_ARN.to_owned(),
            secret: DEMO_SES_SECRET_ACCESS_KEY.to_owned(),
            ..Account::default()
        }
    }

    fn send_paths(&self) -> &'static [&'static str] {
        &["/v2/email/outbound-emails"]
    }

    fn other_routes(&self) -> Router<Arc<Shared>> {
        Router::new().route(sns::CERTIFICATE_PATH, get(|| async { sns::CERTIFICATE }))
    }

    fn authenticate(&self, shared: &Shared, call: &HttpCall) -> Result<usize, Whole> {
        let refuse = |code, message| self.error(StatusCode::FORBIDDEN, Some(code), Some(message));
        let Some(signed) = signature::Signed::read(call) else {
            return Err(refuse("MissingAuthenticationTokenException", "Missing Authentication Token"));
        };
        let Some(index) = shared.find_account(NAME, |account| account.name == signed.access_key_id) else {
            let message = "The security token included in the request is invalid.";
            return Err(refuse("UnrecognizedClientException", message));
        };
        let secret = shared.accounts(NAME).get(index).map(|account| account.secret.as_str());
        signed
            .check(call, secret.unwrap_or_default(), shared.options.clock.now())
            .map_err(|message| refuse("InvalidSignatureException", message))?;
        Ok(index)
    }

    fn read(&self, call: &HttpCall) -> Reading {
        let Some(json) = call.json() else {
            return Reading::refused(bad_request("The request body is not valid JSON."));
        };
        let content = &json["Content"];
        let raw = content["Raw"]["Data"].as_str().map(|data| STANDARD.decode(data).unwrap_or_default());
        let mut outline = match &raw {
            Some(source) => mime::outline(source).unwrap_or_default(),
            None => simple(&content["Simple"]),
        };
        outline.channel = "email";
        let from = mailbox(text(&json, "FromEmailAddress"));
        if !from.is_empty() {
            from.clone_into(&mut outline.from);
        }
        let destination = &json["Destination"];
        let mut people: Vec<String> = ["ToAddresses", "CcAddresses", "BccAddresses"]
            .iter()
            .flat_map(|list| texts(&destination[list]))
            .map(|to| mailbox(&to).to_owned())
            .collect();
        if let (true, Some(source)) = (people.is_empty(), &raw) {
            people = mime::recipients(source);
        }
        let tags: Vec<(&str, &str)> = json["EmailTags"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|tag| (text(tag, "Name"), text(tag, "Value")))
            .collect();
        outline.reference = first_reference([own_reference(tags.iter().copied()), outline.reference]);
        // Values are lists in events.
        let mut back: Map<String, Value> =
            tags.iter().map(|(name, value)| ((*name).to_owned(), json!([value]))).collect();
        if let Some(set) = json["ConfigurationSetName"].as_str() {
            back.insert("ses:configuration-set".to_owned(), json!([set]));
            outline.event_fields.insert("ConfigurationSetName".to_owned(), json!(set));
        }
        outline.event_fields.insert("tags".to_owned(), Value::Object(back));
        let is_whole = raw.is_some() || content["Template"].is_object() || !outline.body.is_empty();
        let checked = check(&outline, &people, is_whole, &tags).map_err(bad_request);
        let outlines = people.into_iter().map(|to| Outline { to, ..outline.clone() });
        Reading::checked(outlines.collect(), checked)
    }

    /// One for all recipients.
    fn ids(&self, shared: &Shared, outlines: &[Outline]) -> Vec<String> {
        vec![format!("0100{}-{}-000000", &shared.hex_id()[..12], shared.uuid()); outlines.len()]
    }

    fn inbound_id(&self, hex: &str, _has_media: bool) -> String {
        hex.to_owned()
    }

    fn answer(&self, _account: &Account, messages: &[Arc<Accepted>]) -> Whole {
        let id = messages.first().map(|message| &message.provider_message_id);
        answer::json(200, &json!({ "MessageId": id }))
    }

    /// The code stands in a header.
    fn error(&self, status: StatusCode, code: Option<&str>, message: Option<&str>) -> Whole {
        let (usual, words) = match status.as_u16() {
            401 | 403 => ("AccessDeniedException", "The call is not permitted."),
            404 => ("NotFoundException", "The resource does not exist."),
            429 => ("TooManyRequestsException", "Maximum sending rate exceeded."),
            503 => ("ServiceUnavailable", "Service is unavailable."),
            500.. => ("InternalFailure", "The request processing has failed."),
            _ => ("BadRequestException", "The request was refused."),
        };
        let mut answer = answer::json(status.as_u16(), &json!({ "message": message.unwrap_or(words) }));
        if let Ok(code) = HeaderValue::from_str(code.unwrap_or(usual)) {
            answer.headers_mut().insert(HeaderName::from_static("x-amzn-errortype"), code);
        }
        answer
    }

    fn receipts(&self, hook: &Hook<'_>, messages: &[&Accepted]) -> Vec<Post> {
        let events = messages.iter().filter_map(|message| Some((message, sns::event(hook, message)?)));
        events
            .flat_map(|(message, event)| {
                let id = digest::stable_uuid(&[NAME, &message.receipts_key(), message.stage().name()]);
                hook.copies(message, sns::notification(hook, &id.to_string(), &event))
            })
            .collect()
    }

    fn inbound(&self, hook: &Hook<'_>, inbound: &Inbound<'_>) -> Post {
        let id = digest::stable_uuid(&[NAME, inbound.id, "received"]).to_string();
        sns::notification(hook, &id, &sns::received(inbound))
    }

    fn arrived_as(&self, message: &Accepted) -> String {
        format!("{}@email.amazonses.com", message.provider_message_id)
    }
}

fn bad_request(message: &str) -> Whole {
    Ses.error(StatusCode::BAD_REQUEST, None, Some(message))
}

fn simple(content: &Value) -> Outline {
    let data = |part: &Value| part["Data"].as_str().map(str::to_owned);
    let files = content["Attachments"].as_array().into_iter().flatten();
    Outline {
        subject: data(&content["Subject"]),
        body: data(&content["Body"]["Text"]).or(data(&content["Body"]["Html"])).unwrap_or_default(),
        media: files.map(|file| text(file, "FileName").to_owned()).collect(),
        ..Outline::default()
    }
}

fn check(
    outline: &Outline,
    people: &[String],
    is_whole: bool,
    tags: &[(&str, &str)],
) -> Result<(), &'static str> {
    if !is_mailbox(&outline.from) {
        return Err("Missing or illegal from address");
    }
    if people.is_empty() {
        return Err("1 validation error detected: there must be at least one recipient");
    }
    if people.len() > RECIPIENTS_MAX {
        return Err("Recipient count exceeds 50.");
    }
    if people.iter().any(|to| !is_mailbox(to)) {
        return Err("Illegal address");
    }
    if !is_whole {
        return Err("Email content must have a body");
    }
    let is_fine = |text: &str| {
        (1..=256).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
    };
    if tags.iter().any(|(name, value)| !is_fine(name) || !is_fine(value)) {
        return Err("The tag name or value contains characters that are not permitted");
    }
    Ok(())
}
