//! What a Telnyx webhook says: an inbound message or a receipt
//! (https://developers.telnyx.com/docs/messaging/messages/receiving-webhooks). Must not be asked before the signature
//! is.

use model::{Channel, Delivery};
use serde_json::Value;

use super::error_code;
use crate::error_codes::{ErrorCodes, Known};
use crate::inbound_text::{code_word, is_web_address, storable};
use crate::json_field::{list, time};
use crate::webhook::unparsable;
use crate::{InboundMessage, Receipt, Webhook, WebhookError, WebhookRequest, callback};

/// # Errors
/// [`WebhookError::Unparsable`].
pub(super) fn read(request: &WebhookRequest<'_>, codes: &ErrorCodes) -> Result<Webhook, WebhookError> {
    let event: Value =
        serde_json::from_slice(request.body).map_err(|_| unparsable("expected a JSON object"))?;
    let data = &event["data"];
    match data["event_type"].as_str() {
        None => Err(unparsable("data.event_type is missing; only webhooks of API v2 are understood")),
        Some("message.received") => Ok(Webhook { inbound: vec![inbound(data)?], ..Webhook::default() }),
        Some(word) if word.starts_with("message.") => {
            Ok(Webhook { receipts: vec![receipt(&event, codes)?], ..Webhook::default() })
        }
        // About campaigns, numbers, calls: no message's affair.
        Some(_) => Ok(Webhook::default()),
    }
}

fn inbound(data: &Value) -> Result<InboundMessage, WebhookError> {
    let payload = &data["payload"];
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(storable);
    let missing = |what: &str| unparsable(format!("{what} is missing; this is no message"));
    let attachments: Vec<String> = list(&payload["media"])
        .iter()
        .filter_map(|media| media["url"].as_str())
        .filter(|url| is_web_address(url))
        .map(storable)
        .collect();
    let channel = match payload["type"].as_str() {
        Some("MMS") => Channel::Mms,
        None | Some("SMS") if attachments.is_empty() => Channel::Sms,
        None | Some("SMS") => Channel::Mms,
        Some(_) => return Err(unparsable("it came through a channel that is neither sms nor mms")),
    };
    // Of a group message's recipients, the one that Telnyx delivered by webhook is ours.
    let recipients = list(&payload["to"]);
    let ours = recipients
        .iter()
        .find(|to| to["status"] == "webhook_delivered")
        .or(recipients.first())
        .ok_or_else(|| missing("to"))?;
    Ok(InboundMessage {
        provider_message_id: message_id(payload).ok_or_else(|| missing("id"))?,
        channel,
        from: text(&payload["from"]["phone_number"]).ok_or_else(|| missing("from"))?,
        to: text(&ours["phone_number"]).ok_or_else(|| missing("to"))?,
        subject: text(&payload["subject"]),
        body: text(&payload["text"]).unwrap_or_default(),
        attachments,
        files: Vec::new(),
        omitted_files: 0,
        timestamp: time(&payload["received_at"]).or_else(|| time(&data["occurred_at"])),
    })
}

fn receipt(event: &Value, codes: &ErrorCodes) -> Result<Receipt, WebhookError> {
    let payload = &event["data"]["payload"];
    let Some(status) = payload["to"][0]["status"].as_str() else {
        return Err(unparsable("the receipt has no status"));
    };
    let delivery = match status {
        "queued" | "sending" => Delivery::Pending,
        // The carrier reports nothing more of an unconfirmed one.
        "sent" | "delivery_unconfirmed" => Delivery::Sent,
        "delivered" => Delivery::Delivered,
        "read" => Delivery::Read,
        "sending_failed" | "delivery_failed" | "expired" => Delivery::Undelivered,
        _ => return Err(unparsable("its status is a word that is not known")),
    };
    // Where it was delivered to stands in the body, which is signed. The URL is not, so it names no message.
    let (message_id, attempt) = [&event["meta"]["delivered_to"], &payload["webhook_url"]]
        .into_iter()
        .filter_map(Value::as_str)
        .map(callback::in_url)
        .find(|(message_id, _)| message_id.is_some())
        .unwrap_or_default();
    let provider_message_id = self::message_id(payload);
    if message_id.is_none() && provider_message_id.is_none() {
        return Err(unparsable("the receipt names no message: its id is missing"));
    }
    let code = error_code(&payload["errors"], codes);
    let known = code.as_deref().and_then(|code| codes.find(code));
    let undelivered = delivery == Delivery::Undelivered;
    Ok(Receipt {
        message_id,
        attempt,
        provider_message_id,
        delivery,
        detail: known.filter(|_| undelivered).map(|known| known.meaning.to_owned()),
        temporary: undelivered && known.is_some_and(Known::is_temporary),
        provider_code: code.or_else(|| Some(status.to_owned())),
        timestamp: time(&payload["completed_at"]).or_else(|| time(&event["data"]["occurred_at"])),
    })
}

fn message_id(payload: &Value) -> Option<String> {
    payload["id"].as_str().and_then(code_word)
}
