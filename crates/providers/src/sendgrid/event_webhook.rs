//! The Event Webhook: an array of events about messages that we sent
//! (https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event). One event that cannot be
//! understood must not lose the others.

use jiff::Timestamp;
use model::Delivery;
use serde_json::{Map, Value};

use crate::email::{ATTEMPT_NAME, MESSAGE_ID_NAME};
use crate::inbound_text::{code_word, our_reference};
use crate::{Receipt, Webhook, WebhookError};

/// # Errors
/// [`WebhookError::Unparsable`] where the body is no list of events at all.
pub(super) fn read(body: &[u8]) -> Result<Webhook, WebhookError> {
    let events = match serde_json::from_slice(body) {
        Ok(Value::Array(events)) => events,
        Ok(event @ Value::Object(_)) => vec![event],
        _ => return Err(WebhookError::Unparsable("expected a JSON array of events".to_owned())),
    };
    let receipts = events.iter().filter_map(Value::as_object).filter_map(receipt).collect();
    Ok(Webhook { receipts, ..Webhook::default() })
}

/// Nothing where the event says nothing about delivery (clicks, complaints, subscriptions) or names no message.
fn receipt(event: &Map<String, Value>) -> Option<Receipt> {
    let text = |name: &str| event.get(name).and_then(Value::as_str);
    let word = text("event")?;
    let undelivered = Undelivered::of(word, &text);
    let delivery = match word {
        "processed" => Delivery::Sent,
        // SendGrid goes on trying; but it has the message, which an unknown outcome may wait to hear.
        "deferred" => Delivery::Pending,
        "delivered" => Delivery::Delivered,
        // A mail program that fetches images for everybody has read nothing.
        "open" if event.get("sg_machine_open") != Some(&Value::Bool(true)) => Delivery::Read,
        "bounce" | "dropped" => Delivery::Undelivered,
        _ => return None,
    };
    let (message_id, attempt) = our_reference(text(MESSAGE_ID_NAME).unwrap_or_default(), text(ATTEMPT_NAME));
    // `<X-Message-Id>.<filter suffix>`
    let provider_message_id = text("sg_message_id").and_then(|id| code_word(id.split('.').next()?));
    if message_id.is_none() && provider_message_id.is_none() {
        return None;
    }
    Some(Receipt {
        message_id,
        attempt,
        provider_message_id,
        delivery,
        provider_code: text("status").and_then(code_word).or_else(|| Some(word.to_owned())),
        detail: undelivered.as_ref().map(|undelivered| undelivered.detail.to_owned()),
        temporary: undelivered.is_some_and(|undelivered| undelivered.temporary),
        timestamp: event.get("timestamp").and_then(unix_s).and_then(|s| Timestamp::from_second(s).ok()),
    })
}

/// Why a message was not delivered, in our words: SendGrid's `reason` quotes addresses.
struct Undelivered {
    detail: &'static str,
    temporary: bool,
}

impl Undelivered {
    fn of<'a>(event: &str, text: &impl Fn(&str) -> Option<&'a str>) -> Option<Self> {
        let (detail, temporary) = match (event, text("reason"), text("type")) {
            ("dropped", Some("Bounced Address"), _) => ("dropped: the address bounced before", false),
            ("dropped", Some("Unsubscribed Address"), _) => {
                ("dropped: the recipient has unsubscribed", false)
            }
            ("dropped", Some("Spam Reporting Address"), _) => {
                ("dropped: the recipient reported spam before", false)
            }
            ("dropped", Some("Invalid"), _) => ("dropped: the address is not valid", false),
            ("dropped", Some("Invalid SMTPAPI header"), _) => ("dropped: a header is not valid", false),
            ("dropped", Some("Spam Content"), _) => ("dropped: the content was taken for spam", false),
            ("dropped", Some("Recipient List over Package Quota"), _) => {
                ("dropped: over the account's quota", true)
            }
            ("dropped", ..) => ("dropped by SendGrid", false),
            // Refused for its sender's reputation or its content; the address itself is good.
            ("bounce", _, Some("blocked")) => ("blocked by the receiving host", true),
            ("bounce", ..) => ("bounced by the receiving host", false),
            _ => return None,
        };
        Some(Self { detail, temporary })
    }
}

fn unix_s(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}
