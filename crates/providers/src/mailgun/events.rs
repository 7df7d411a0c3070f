//! Event webhooks: one event about a mail that we sent, as JSON
//! (https://documentation.mailgun.com/docs/mailgun/user-manual/events/event-structure).

use jiff::Timestamp;
use model::Delivery;
use serde_json::Value;

use super::bare_message_id;
use super::signature::{self, Key, Signed};
use crate::email::{ATTEMPT_NAME, MESSAGE_ID_NAME};
use crate::inbound_text::{code_word, our_reference};
use crate::json_field::code;
use crate::{Receipt, Webhook, WebhookError, WebhookRequest};

/// # Errors
/// As verified and read.
pub(super) fn read(request: &WebhookRequest<'_>, key: Key<'_>) -> Result<Webhook, WebhookError> {
    // What proves the body stands in the body.
    let body: Value = serde_json::from_slice(request.body).unwrap_or_default();
    let text = |name: &str| body["signature"][name].as_str().unwrap_or_default();
    let signed = Signed { timestamp: text("timestamp"), token: text("token"), signature: text("signature") };
    signature::verify(request, &signed, key)?;
    let event = &body["event-data"];
    if !event.is_object() {
        return Err(WebhookError::Unparsable("it has no event-data".to_owned()));
    }
    Ok(Webhook { receipts: receipt(event).into_iter().collect(), ..Webhook::default() })
}

/// Nothing where the event says nothing about delivery (clicks, complaints, subscriptions) or names no message.
fn receipt(event: &Value) -> Option<Receipt> {
    let word = event["event"].as_str()?;
    let is_temporary = event["severity"] == "temporary";
    let delivery = match word {
        "accepted" => Delivery::Pending,
        // Mailgun goes on trying.
        "failed" if is_temporary => Delivery::Pending,
        "delivered" => Delivery::Delivered,
        "opened" => Delivery::Read,
        "failed" | "rejected" => Delivery::Undelivered,
        _ => return None,
    };
    let variables = &event["user-variables"];
    let attempt = code(&variables[ATTEMPT_NAME]);
    let (message_id, attempt) =
        our_reference(variables[MESSAGE_ID_NAME].as_str().unwrap_or_default(), attempt.as_deref());
    let provider_message_id = event["message"]["headers"]["message-id"].as_str().and_then(bare_message_id);
    if message_id.is_none() && provider_message_id.is_none() {
        return None;
    }
    let reason = event["reason"].as_str().unwrap_or_default();
    let (detail, temporary) = match delivery {
        Delivery::Undelivered if word == "rejected" => (Some("rejected by Mailgun"), false),
        Delivery::Undelivered => undelivered(reason),
        _ => (None, false),
    };
    let code = code(&event["delivery-status"]["code"]).filter(|code| code != "0");
    Some(Receipt {
        message_id,
        attempt,
        provider_message_id,
        delivery,
        provider_code: code.or_else(|| code_word(reason)).or_else(|| Some(word.to_owned())),
        detail: detail.map(str::to_owned),
        temporary,
        timestamp: event["timestamp"].as_f64().and_then(timestamp),
    })
}

/// Why, in our words, and whether another try may help.
fn undelivered(reason: &str) -> (Option<&'static str>, bool) {
    match reason {
        "bounce" => (Some("bounced by the receiving host"), false),
        "suppress-bounce" => (Some("not sent: the address bounced before"), false),
        "suppress-complaint" => (Some("not sent: the recipient reported spam before"), false),
        "suppress-unsubscribe" => (Some("not sent: the recipient has unsubscribed"), false),
        // Refused for its sender's reputation; the address itself is good.
        "espblock" => (Some("blocked by the receiving host"), true),
        "old" => (Some("not accepted by the receiving host in all the time that Mailgun tried"), true),
        _ => (Some("failed at Mailgun"), false),
    }
}

/// Seconds with a fraction.
fn timestamp(unix_s: f64) -> Option<Timestamp> {
    if !(0.0..1e11).contains(&unix_s) {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "checked above")]
    let ms = (unix_s * 1000.0).round() as i64;
    Timestamp::from_millisecond(ms).ok()
}
