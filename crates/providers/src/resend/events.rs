//! Events about a mail that we sent (https://resend.com/docs/dashboard/webhooks/event-types).

use jiff::Timestamp;
use model::Delivery;
use serde_json::Value;

use crate::email::{ATTEMPT_NAME, MESSAGE_ID_NAME};
use crate::inbound_text::{code_word, our_reference};
use crate::{Receipt, Webhook};

pub(super) fn read(word: &str, event: &Value) -> Webhook {
    Webhook { receipts: receipt(word, event).into_iter().collect(), ..Webhook::default() }
}

/// Nothing where the event says nothing about delivery (clicks, complaints, contacts) or names no message.
fn receipt(word: &str, event: &Value) -> Option<Receipt> {
    let data = &event["data"];
    let is_temporary = data["bounce"]["type"] == "Transient";
    let code = |value: &Value| value.as_str().and_then(code_word);
    let (delivery, provider_code, detail) = match word {
        "email.sent" => (Delivery::Sent, None, None),
        // Resend goes on trying.
        "email.delivery_delayed" => (Delivery::Pending, None, None),
        "email.delivered" => (Delivery::Delivered, None, None),
        "email.opened" => (Delivery::Read, None, None),
        "email.bounced" => {
            let provider_code = code(&data["bounce"]["subType"]).or_else(|| code(&data["bounce"]["type"]));
            (Delivery::Undelivered, provider_code, Some("bounced by the receiving host"))
        }
        "email.failed" => (Delivery::Undelivered, code(&data["failed"]["reason"]), Some("failed at Resend")),
        "email.suppressed" => {
            (Delivery::Undelivered, None, Some("not sent: the address bounced or complained before"))
        }
        _ => return None,
    };
    let (message_id, attempt) =
        our_reference(tag(data, MESSAGE_ID_NAME).unwrap_or_default(), tag(data, ATTEMPT_NAME));
    let provider_message_id = code(&data["email_id"]);
    if message_id.is_none() && provider_message_id.is_none() {
        return None;
    }
    let time = |value: &Value| value.as_str().and_then(|text| text.parse::<Timestamp>().ok());
    Some(Receipt {
        message_id,
        attempt,
        provider_message_id,
        delivery,
        provider_code: provider_code.or_else(|| word.strip_prefix("email.").map(str::to_owned)),
        detail: detail.map(str::to_owned),
        temporary: delivery == Delivery::Undelivered && is_temporary,
        // The event's own time; the mail's is in another form now and then.
        timestamp: time(&event["created_at"]).or_else(|| time(&data["created_at"])),
    })
}

/// A list of names and values in the request, an object in events.
fn tag<'a>(data: &'a Value, name: &str) -> Option<&'a str> {
    match &data["tags"] {
        Value::Array(tags) => tags.iter().find(|tag| tag["name"] == name)?["value"].as_str(),
        tags => tags[name].as_str(),
    }
}
