//! What a notification carries: events about mails of ours, in two dialects, and inbound mail
//! (https://docs.aws.amazon.com/ses/latest/dg/notification-contents.html and
//! https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html).

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use model::Delivery;
use serde_json::Value;
use uuid::Uuid;

use super::{ATTEMPT_TAG, MESSAGE_ID_TAG};
use crate::email::raw::{self, Envelope};
use crate::email::status;
use crate::inbound_text::{code_word, our_reference};
use crate::json_field::{list, time};
use crate::webhook::unparsable;
use crate::{Receipt, Webhook, WebhookError};

/// # Errors
/// [`WebhookError::Unparsable`].
pub(super) fn read(message: &str, now: Timestamp) -> Result<Webhook, WebhookError> {
    // SES greets a topic that is chosen for events.
    if message.trim_start().starts_with("Successfully validated SNS topic") {
        return Ok(Webhook::default());
    }
    let event: Value = serde_json::from_str(message).map_err(|_| unparsable("its Message is no JSON"))?;
    let name = event["eventType"].as_str().or_else(|| event["notificationType"].as_str());
    match name.ok_or_else(|| unparsable("its Message is no event of SES"))? {
        "Received" => inbound(&event, now),
        name => Ok(Webhook { receipts: receipt(name, &event).into_iter().collect(), ..Webhook::default() }),
    }
}

fn inbound(event: &Value, now: Timestamp) -> Result<Webhook, WebhookError> {
    let receipt = &event["receipt"];
    let why = "the notification does not hold the mail: let the receipt rule publish to SNS, which carries up to \
               150 kB, not to S3";
    let content = event["content"].as_str().ok_or_else(|| unparsable(why))?;
    let raw = match receipt["action"]["encoding"].as_str() {
        Some(encoding) if encoding.eq_ignore_ascii_case("base64") => BASE64
            .decode(content.trim())
            .map_err(|_| unparsable("its content is not the base64 that it says"))?,
        _ => content.as_bytes().to_vec(),
    };
    let recipients = list(&receipt["recipients"]);
    let to = recipients.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    raw::read(&raw, Envelope { from: event["mail"]["source"].as_str().map(str::to_owned), to }, now)
}

/// Nothing where the event says nothing about delivery (clicks, complaints, subscriptions) or names no message.
fn receipt(name: &str, event: &Value) -> Option<Receipt> {
    let mail = &event["mail"];
    let word = |value: &Value| value.as_str().and_then(code_word);
    let (delivery, at, said) = match name {
        "Send" => (Delivery::Sent, &mail["timestamp"], Said::nothing()),
        "Delivery" => (Delivery::Delivered, &event["delivery"]["timestamp"], Said::nothing()),
        "DeliveryDelay" => {
            let delay = &event["deliveryDelay"];
            let said = Said::new(word(&delay["delayType"]), "delayed: SES goes on trying", false);
            (Delivery::Pending, &delay["timestamp"], said)
        }
        "Open" => (Delivery::Read, &event["open"]["timestamp"], Said::nothing()),
        "Bounce" => (Delivery::Undelivered, &event["bounce"]["timestamp"], Said::of_bounce(&event["bounce"])),
        "Reject" => (
            Delivery::Undelivered,
            &mail["timestamp"],
            Said::new(None, "rejected by SES: it found a virus", false),
        ),
        "Rendering Failure" => (
            Delivery::Undelivered,
            &mail["timestamp"],
            Said::new(None, "SES could not fill its template", false),
        ),
        _ => return None,
    };
    let (message_id, attempt) = our_message(mail);
    let provider_message_id = word(&mail["messageId"]);
    if message_id.is_none() && provider_message_id.is_none() {
        return None;
    }
    Some(Receipt {
        message_id,
        attempt,
        provider_message_id,
        delivery,
        provider_code: said.code.or_else(|| code_word(&name.replace(' ', ""))),
        detail: said.detail,
        temporary: said.temporary,
        timestamp: time(at),
    })
}

/// By our tags, else by the `Message-ID` that we gave, where the notification repeats the mail's header.
fn our_message(mail: &Value) -> (Option<Uuid>, Option<u32>) {
    let tag = |name: &str| mail["tags"][name][0].as_str();
    if let Some(message_id) = tag(MESSAGE_ID_TAG) {
        return our_reference(message_id, tag(ATTEMPT_TAG));
    }
    let given = mail["commonHeaders"]["messageId"].as_str().unwrap_or_default();
    let id = given.trim_matches(['<', '>']).split('@').next().unwrap_or_default();
    our_reference(id, None)
}

/// What an event says beside its name, in our words.
struct Said {
    code: Option<String>,
    detail: Option<String>,
    temporary: bool,
}

impl Said {
    fn nothing() -> Self {
        Self { code: None, detail: None, temporary: false }
    }

    fn new(code: Option<String>, detail: &str, temporary: bool) -> Self {
        Self { code, detail: Some(detail.to_owned()), temporary }
    }

    /// The receiving server's status where there is one, else the word of SES. SES has given up either way.
    fn of_bounce(bounce: &Value) -> Self {
        let status = bounce["bouncedRecipients"][0]["status"].as_str().and_then(status::leading);
        let subtype = bounce["bounceSubType"].as_str().unwrap_or_default();
        let permanent = bounce["bounceType"] == "Permanent";
        let detail = match (subtype, &status) {
            ("Suppressed" | "OnAccountSuppressionList", _) => {
                "not sent: the address bounced before".to_owned()
            }
            ("MessageTooLarge", _) => "bounced: the mail is too long".to_owned(),
            ("ContentRejected" | "AttachmentRejected", _) => "bounced: the content was refused".to_owned(),
            ("MailboxFull", _) => "bounced: the mailbox is full".to_owned(),
            (_, Some(status)) => format!("bounced: {}", status::meaning(status)),
            _ => "bounced".to_owned(),
        };
        let refused = matches!(subtype, "MessageTooLarge" | "ContentRejected" | "AttachmentRejected");
        Self {
            code: status.or_else(|| code_word(subtype)),
            detail: Some(detail),
            temporary: !permanent && !refused,
        }
    }
}
