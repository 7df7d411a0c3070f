//! What a Vonage webhook says: an inbound message or a receipt
//! (https://developer.vonage.com/en/messages/concepts/webhooks). Must not be asked before the signature is.

use model::{Channel, Delivery};
use serde_json::Value;

use super::{error_code, is_already_sent};
use crate::error_codes::{ErrorCodes, Known};
use crate::inbound_text::{code_word, international, is_web_address, storable};
use crate::json_field::time;
use crate::webhook::unparsable;
use crate::{InboundMessage, Receipt, Webhook, WebhookError, WebhookRequest, callback};

/// # Errors
/// [`WebhookError::Unparsable`].
pub(super) fn read(request: &WebhookRequest<'_>, codes: &ErrorCodes) -> Result<Webhook, WebhookError> {
    let event: Value =
        serde_json::from_slice(request.body).map_err(|_| unparsable("expected a JSON object"))?;
    match (event["status"].as_str(), event["message_type"].as_str()) {
        (Some(status), _) => {
            let receipts = vec![receipt(status, &event, codes)?];
            Ok(Webhook { receipts, ..Webhook::default() })
        }
        (None, Some(message_type)) => {
            let inbound = vec![inbound(message_type, &event)?];
            Ok(Webhook { inbound, ..Webhook::default() })
        }
        (None, None) => Err(unparsable(
            "it has neither status nor message_type; set the webhooks' version to v1 at Vonage",
        )),
    }
}

fn inbound(message_type: &str, message: &Value) -> Result<InboundMessage, WebhookError> {
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(storable);
    let missing = |what: &str| unparsable(format!("{what} is missing; this is no message"));
    let channel = match message["channel"].as_str() {
        Some("sms") => Channel::Sms,
        Some("mms") => Channel::Mms,
        _ => return Err(unparsable("it came through a channel that is neither sms nor mms")),
    };
    let content = &message[message_type];
    let items = match content {
        Value::Array(items) => items.as_slice(),
        content => std::slice::from_ref(content),
    };
    let attachments: Vec<String> = items
        .iter()
        .filter_map(|item| item["url"].as_str())
        .filter(|url| is_web_address(url))
        .map(storable)
        .collect();
    let body = text(&message["text"]).or_else(|| items.iter().find_map(|item| text(&item["caption"])));
    if message_type != "text" && body.is_none() && attachments.is_empty() {
        return Err(unparsable("its message_type is one whose content cannot be read"));
    }
    let number =
        |name: &str| text(&message[name]).map(|number| international(&number)).ok_or_else(|| missing(name));
    Ok(InboundMessage {
        provider_message_id: message_id(message).ok_or_else(|| missing("message_uuid"))?,
        channel,
        from: number("from")?,
        to: number("to")?,
        subject: None,
        body: body.unwrap_or_default(),
        attachments,
        files: Vec::new(),
        omitted_files: 0,
        timestamp: time(&message["timestamp"]),
    })
}

fn receipt(status: &str, event: &Value, codes: &ErrorCodes) -> Result<Receipt, WebhookError> {
    let code = error_code(&event["error"]);
    let delivery = match status {
        "rejected" if is_already_sent(code.as_deref(), codes) => Delivery::Sent,
        "submitted" => Delivery::Sent,
        "delivered" => Delivery::Delivered,
        "read" => Delivery::Read,
        "rejected" | "undeliverable" => Delivery::Undelivered,
        _ => return Err(unparsable("its status is a word that is not known")),
    };
    // The reference stands in the body, which is signed. The URL is not, so it names no message.
    let (message_id, attempt) = event["client_ref"].as_str().map(callback::in_reference).unwrap_or_default();
    let provider_message_id = self::message_id(event);
    if message_id.is_none() && provider_message_id.is_none() {
        return Err(unparsable("the receipt names no message: message_uuid is missing"));
    }
    let known = code.as_deref().and_then(|code| codes.find(code));
    let undelivered = delivery == Delivery::Undelivered;
    // Undeliverable is what Vonage could not hand to the carrier; that alone says nothing about the message.
    let temporary = known.map_or(status == "undeliverable", Known::is_temporary);
    Ok(Receipt {
        message_id,
        attempt,
        provider_message_id,
        delivery,
        detail: known.filter(|_| undelivered).map(|known| known.meaning.to_owned()),
        temporary: undelivered && temporary,
        provider_code: code.or_else(|| Some(status.to_owned())),
        timestamp: time(&event["timestamp"]),
    })
}

fn message_id(event: &Value) -> Option<String> {
    event["message_uuid"].as_str().and_then(code_word)
}
