//! What a Bandwidth webhook says: an array of inbound messages and receipts
//! (https://dev.bandwidth.com/docs/messaging/webhooks). Must not be asked before the secret is.

use model::{Channel, Delivery};
use serde_json::Value;

use crate::error_codes::{Class, ErrorCodes, Known};
use crate::inbound_text::{code_word, international, is_web_address, storable};
use crate::json_field::{list, time};
use crate::webhook::unparsable;
use crate::{InboundMessage, Receipt, Webhook, WebhookError, callback};

/// An inbound message that cannot be understood refuses the whole delivery, which is then kept. Any other event does
/// not lose its neighbours, and refuses only where there is none that can be read.
///
/// # Errors
/// [`WebhookError::Unparsable`].
pub(super) fn read(body: &[u8], codes: &ErrorCodes) -> Result<Webhook, WebhookError> {
    let events = match serde_json::from_slice(body) {
        Ok(Value::Array(events)) => events,
        Ok(event @ Value::Object(_)) => vec![event],
        _ => return Err(unparsable("expected a JSON array of events")),
    };
    let mut webhook = Webhook::default();
    let mut problem = None;
    for event in &events {
        match event["type"].as_str() {
            // Our own, as an answer to it would be an answer to ourselves.
            Some("message-received") if event["message"]["direction"] == "out" => {}
            Some("message-received") => webhook.inbound.push(inbound(event)?),
            Some(word) => match receipt(word, event, codes) {
                Ok(receipt) => webhook.receipts.push(receipt),
                Err(unreadable) => problem = Some(unreadable),
            },
            None => problem = Some(unparsable("an event has no type")),
        }
    }
    match problem {
        Some(problem) if webhook.inbound.is_empty() && webhook.receipts.is_empty() => Err(problem),
        _ => Ok(webhook),
    }
}

fn inbound(event: &Value) -> Result<InboundMessage, WebhookError> {
    let message = &event["message"];
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(storable);
    let missing = |what: &str| unparsable(format!("{what} is missing; this is no message"));
    let media: Vec<&str> = list(&message["media"]).iter().filter_map(Value::as_str).collect();
    // SMIL says how to lay the others out; it is nothing to look at.
    let attachments: Vec<String> = media
        .iter()
        .filter(|url| is_web_address(url) && !url.to_ascii_lowercase().ends_with(".smil"))
        .map(|url| storable(*url))
        .collect();
    let id = message["id"].as_str().and_then(code_word).ok_or_else(|| missing("message.id"))?;
    let to =
        text(&message["owner"]).or_else(|| text(&event["to"])).ok_or_else(|| missing("message.owner"))?;
    // A group's message comes once for each number of ours in it, with one id.
    let is_to_several = list(&message["to"]).len() > 1;
    Ok(InboundMessage {
        provider_message_id: if is_to_several { storable(format!("{id}/{to}")) } else { id },
        channel: if media.is_empty() && !is_to_several { Channel::Sms } else { Channel::Mms },
        from: international(&text(&message["from"]).ok_or_else(|| missing("message.from"))?),
        to: international(&to),
        subject: None,
        body: text(&message["text"]).unwrap_or_default(),
        attachments,
        files: Vec::new(),
        omitted_files: 0,
        timestamp: time(&message["time"]).or_else(|| time(&event["time"])),
    })
}

fn receipt(word: &str, event: &Value, codes: &ErrorCodes) -> Result<Receipt, WebhookError> {
    let delivery = match word {
        "message-sending" => Delivery::Pending,
        "message-sent" => Delivery::Sent,
        "message-delivered" => Delivery::Delivered,
        "message-read" => Delivery::Read,
        "message-failed" => Delivery::Undelivered,
        _ => return Err(unparsable("an event's type is a word that is not known")),
    };
    let message = &event["message"];
    let (message_id, attempt) = message["tag"].as_str().map(callback::in_reference).unwrap_or_default();
    let provider_message_id = message["id"].as_str().and_then(code_word);
    if message_id.is_none() && provider_message_id.is_none() {
        return Err(unparsable("a receipt names no message: message.id is missing"));
    }
    let code = match &event["errorCode"] {
        Value::Number(number) => number.as_u64().filter(|&code| code != 0).map(|code| code.to_string()),
        Value::String(text) => code_word(text),
        _ => None,
    };
    let known = code.as_deref().and_then(|code| codes.find(code));
    let failed = delivery == Delivery::Undelivered;
    // Failed only in that nothing is known of it: it may have been delivered.
    let is_unconfirmed = failed && known.is_some_and(|known| known.class == Class::Unknown);
    Ok(Receipt {
        message_id,
        attempt,
        provider_message_id,
        delivery: if is_unconfirmed { Delivery::Sent } else { delivery },
        detail: known.filter(|_| failed).map(|known| known.meaning.to_owned()),
        temporary: failed && known.is_some_and(Known::is_temporary),
        provider_code: code.or_else(|| Some(word.to_owned())),
        timestamp: time(&event["eventTime"]).or_else(|| time(&event["time"])),
    })
}
