//! What an event of a webhook subscription says: an inbound message or a status
//! (https://docs.bird.com/api/channels-api/message-status-and-interactions). Must not be asked before the signature is.

use model::{Channel, Delivery};
use serde_json::Value;

use crate::callback::in_reference;
use crate::error_codes::{ErrorCodes, Known};
use crate::inbound_text::{code_word, international, is_web_address, storable};
use crate::json_field::time;
use crate::webhook::unparsable;
use crate::{InboundMessage, Receipt, Webhook, WebhookError, WebhookRequest};

/// # Errors
/// [`WebhookError::Unparsable`].
pub(super) fn read(
    request: &WebhookRequest<'_>,
    sender: &str,
    codes: &ErrorCodes,
) -> Result<Webhook, WebhookError> {
    let event: Value = serde_json::from_slice(request.body)
        .map_err(|_| unparsable("it is not JSON, as events of Bird are"))?;
    let payload = &event["payload"];
    match event["event"].as_str() {
        Some("sms.inbound") => Ok(Webhook { inbound: vec![inbound(payload, sender)?], ..Webhook::default() }),
        Some("sms.outbound") => {
            Ok(Webhook { receipts: vec![receipt(payload, codes)?], ..Webhook::default() })
        }
        // A link that was followed, and the like: nothing about delivery.
        Some("sms.interaction") => Ok(Webhook::default()),
        Some(_) => Err(unparsable("its event is neither sms.inbound nor sms.outbound")),
        None => Err(unparsable("its event is missing; this is no webhook of a subscription")),
    }
}

fn inbound(payload: &Value, sender: &str) -> Result<InboundMessage, WebhookError> {
    let id = payload["id"].as_str().and_then(code_word);
    let id = id.ok_or_else(|| unparsable("payload.id is missing; this is no message"))?;
    let from = payload["sender"]["contact"]["identifierValue"].as_str().filter(|from| !from.is_empty());
    let from = from.ok_or_else(|| unparsable("the sender is missing; this is no message"))?;
    // Mostly the connector's id is all that an event says about the receiver.
    let receiver = &payload["receiver"];
    let to = [&receiver["connector"]["identifierValue"], &receiver["contacts"][0]["identifierValue"]]
        .into_iter()
        .find_map(|value| value.as_str().filter(|to| !to.is_empty()))
        .unwrap_or(sender);
    let body = &payload["body"];
    let part = &body[body["type"].as_str().unwrap_or_default()];
    if !part.is_object() {
        return Err(unparsable("its body has no content"));
    }
    let media = ["images", "files"].into_iter().filter_map(|name| part[name].as_array()).flatten();
    let attachments: Vec<String> = media
        .filter_map(|media| media["mediaUrl"].as_str())
        .filter(|text| is_web_address(text))
        .map(storable)
        .collect();
    Ok(InboundMessage {
        provider_message_id: id,
        channel: if attachments.is_empty() { Channel::Sms } else { Channel::Mms },
        from: international(from),
        to: international(to),
        subject: None,
        body: storable(part["text"].as_str().unwrap_or_default()),
        attachments,
        files: Vec::new(),
        omitted_files: 0,
        timestamp: time(&payload["createdAt"]),
    })
}

fn receipt(payload: &Value, codes: &ErrorCodes) -> Result<Receipt, WebhookError> {
    let status = payload["status"].as_str().unwrap_or_default();
    let delivery = match status {
        "accepted" | "scheduled" | "processing" | "rendered" => Delivery::Pending,
        "sent" => Delivery::Sent,
        "delivered" => Delivery::Delivered,
        "delivery_failed" | "sending_failed" | "skipped" | "rejected" | "expired" | "deleted" => {
            Delivery::Undelivered
        }
        _ => return Err(unparsable("its status is a word that is not known")),
    };
    let (message_id, attempt) = in_reference(payload["reference"].as_str().unwrap_or_default());
    let provider_message_id = payload["id"].as_str().and_then(code_word);
    if message_id.is_none() && provider_message_id.is_none() {
        return Err(unparsable("the status names no message: payload.id is missing"));
    }
    let code = Some(delivery).filter(|&delivery| delivery == Delivery::Undelivered);
    let code = code.and_then(|_| failure_code(payload));
    let known = code.as_deref().and_then(|code| codes.find(code));
    Ok(Receipt {
        message_id,
        attempt,
        provider_message_id,
        delivery,
        detail: known.map(|known| known.meaning.to_owned()),
        temporary: known.is_some_and(Known::is_temporary),
        provider_code: code.or_else(|| Some(status.to_owned())),
        timestamp: time(&payload["lastStatusAt"]).or_else(|| time(&payload["updatedAt"])),
    })
}

/// Of a failed message: Bird's own code, else the word in `details`. `reason` is free text.
pub(super) fn failure_code(message: &Value) -> Option<String> {
    match &message["failure"]["code"] {
        Value::Number(code) => Some(code.to_string()),
        _ => message["details"].as_str().and_then(code_word),
    }
}
