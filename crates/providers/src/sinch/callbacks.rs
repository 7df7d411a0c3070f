//! What a callback says: an inbound message or a delivery report
//! (https://developers.sinch.com/docs/sms/api-reference/sms/webhooks). Must not be asked before the signature is.

use model::{Channel, Delivery};
use serde_json::Value;

use crate::error_codes::{ErrorCodes, Known};
use crate::inbound_text::{code_word, international, is_web_address, storable};
use crate::json_field::{list, time};
use crate::webhook::unparsable;
use crate::{InboundMessage, Receipt, Webhook, WebhookError, WebhookRequest, callback};

/// `is_url_trusted` says whether the address may name the message: an HMAC does not cover it.
///
/// # Errors
/// [`WebhookError::Unparsable`].
pub(super) fn read(
    request: &WebhookRequest<'_>,
    is_url_trusted: bool,
    codes: &ErrorCodes,
) -> Result<Webhook, WebhookError> {
    let url = Some(request.url).filter(|_| is_url_trusted);
    let event: Value = serde_json::from_slice(request.body)
        .map_err(|_| unparsable("it is not JSON, as callbacks of Sinch are"))?;
    match event["type"].as_str() {
        Some("mo_text" | "mo_media") => Ok(Webhook { inbound: vec![inbound(&event)?], ..Webhook::default() }),
        Some("mo_binary") => Err(unparsable("it is a binary message, which is neither text nor media")),
        Some("recipient_delivery_report_sms" | "recipient_delivery_report_mms") => {
            let receipts = vec![receipt(&event, &event, url, codes)?];
            Ok(Webhook { receipts, ..Webhook::default() })
        }
        // Of a batch: it has one recipient, so each status is the message's.
        Some("delivery_report_sms" | "delivery_report_mms") => {
            let statuses = list(&event["statuses"]);
            let receipts: Result<Vec<Receipt>, WebhookError> =
                statuses.iter().map(|status| receipt(&event, status, url, codes)).collect();
            Ok(Webhook { receipts: receipts?, ..Webhook::default() })
        }
        Some(_) => Err(unparsable("its type is a word that is not known")),
        None if event["app_id"].is_string() => Err(unparsable(
            "it is an event of the Conversation API; enter the webhook at the SMS service plan instead",
        )),
        None => Err(unparsable("its type is missing; this is no callback of the SMS API")),
    }
}

fn inbound(event: &Value) -> Result<InboundMessage, WebhookError> {
    let required = |name: &str| {
        let text = event[name].as_str().filter(|text| !text.trim().is_empty());
        text.ok_or_else(|| unparsable(format!("{name} is missing; this is no message")))
    };
    let id = code_word(required("id")?).ok_or_else(|| unparsable("its id cannot be read"))?;
    let body = &event["body"];
    let text = body.as_str().or_else(|| body["message"].as_str()).unwrap_or_default();
    let media = list(&body["media"]);
    let attachments = media
        .iter()
        // What failed to upload has no URL.
        .filter_map(|media| media["url"].as_str())
        .filter(|text| is_web_address(text))
        .map(storable)
        .collect();
    Ok(InboundMessage {
        provider_message_id: id,
        channel: if event["type"] == "mo_media" { Channel::Mms } else { Channel::Sms },
        from: international(required("from")?),
        to: international(required("to")?),
        subject: body["subject"].as_str().filter(|subject| !subject.is_empty()).map(storable),
        body: storable(text),
        attachments,
        files: Vec::new(),
        omitted_files: 0,
        timestamp: time(&event["received_at"]),
    })
}

/// `status` holds the status and its code: the event itself, or one of its statuses.
fn receipt(
    event: &Value,
    status: &Value,
    url: Option<&str>,
    codes: &ErrorCodes,
) -> Result<Receipt, WebhookError> {
    // Title case in the documentation, upper case in the SDKs.
    let word = status["status"].as_str().unwrap_or_default();
    let delivery = match word.to_ascii_lowercase().as_str() {
        "queued" => Delivery::Pending,
        "dispatched" => Delivery::Sent,
        "delivered" => Delivery::Delivered,
        "aborted" | "cancelled" | "rejected" | "deleted" | "failed" | "expired" | "unknown" => {
            Delivery::Undelivered
        }
        _ => return Err(unparsable("its status is a word that is not known")),
    };
    let reference = event["client_reference"].as_str().map(callback::in_reference);
    let (message_id, attempt) = match (reference, url) {
        (Some((Some(message_id), attempt)), _) => (Some(message_id), attempt),
        (_, Some(url)) => callback::in_url(url),
        (_, None) => (None, None),
    };
    let provider_message_id = event["batch_id"].as_str().and_then(code_word);
    if message_id.is_none() && provider_message_id.is_none() {
        return Err(unparsable("the delivery report names no message: batch_id is missing"));
    }
    let undelivered = delivery == Delivery::Undelivered;
    let code = status["code"].as_u64().filter(|_| undelivered).map(|code| code.to_string());
    let known = code.as_deref().and_then(|code| codes.find(code));
    Ok(Receipt {
        message_id,
        attempt,
        provider_message_id,
        delivery,
        detail: known.map(|known| known.meaning.to_owned()),
        temporary: known.is_some_and(Known::is_temporary),
        provider_code: code.or_else(|| code_word(word)),
        timestamp: time(&event["at"]),
    })
}
