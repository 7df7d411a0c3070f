//! What Infobip pushes: delivery reports and inbound messages, several in one post
//! (https://www.infobip.com/docs/api/channels/sms). Must not be asked before the secret is.

use jiff::Timestamp;
use model::{Channel, Delivery};
use serde_json::Value;

use crate::callback::{in_reference, in_url};
use crate::error_codes::{ErrorCodes, Known};
use crate::inbound_text::{code_word, international, is_web_address, storable};
use crate::json_field::list;
use crate::webhook::unparsable;
use crate::{InboundMessage, Receipt, Webhook, WebhookError, WebhookRequest};

/// # Errors
/// [`WebhookError::Unparsable`] where nothing in it can be understood; one such result does not lose the others.
pub(super) fn read(request: &WebhookRequest<'_>, codes: &ErrorCodes) -> Result<Webhook, WebhookError> {
    let post: Value = serde_json::from_slice(request.body)
        .map_err(|_| unparsable("it is not JSON, as posts of Infobip are"))?;
    let results = post["results"]
        .as_array()
        .ok_or_else(|| unparsable("it has no results; this is neither a report nor a message"))?;
    let mut webhook = Webhook::default();
    let mut first_error = None;
    for result in results {
        let read = if result["status"].is_object() {
            receipt(result, request.url, codes).map(|receipt| webhook.receipts.push(receipt))
        } else {
            inbound(result).map(|message| webhook.inbound.push(message))
        };
        first_error = first_error.or(read.err());
    }
    match first_error {
        // A refused post comes again whole; what was understood of it must not wait for that.
        Some(error) if webhook.inbound.is_empty() && webhook.receipts.is_empty() => Err(error),
        _ => Ok(webhook),
    }
}

fn inbound(result: &Value) -> Result<InboundMessage, WebhookError> {
    let required = |name: &str| {
        let text = result[name].as_str().filter(|text| !text.trim().is_empty());
        text.ok_or_else(|| unparsable(format!("{name} is missing; this is no message")))
    };
    let id = code_word(required("messageId")?).ok_or_else(|| unparsable("its messageId cannot be read"))?;
    let (from, to) = (international(required("from")?), international(required("to")?));
    // Of an MMS the parts, of which texts come in `value` and all else by its URL.
    let parts = list(&result["message"]);
    let texts: Vec<&str> = parts.iter().filter_map(|part| part["value"].as_str()).collect();
    let attachments: Vec<String> = parts
        .iter()
        .filter_map(|part| part["url"].as_str())
        .filter(|text| is_web_address(text))
        .map(storable)
        .collect();
    Ok(InboundMessage {
        provider_message_id: id,
        channel: if result["message"].is_array() { Channel::Mms } else { Channel::Sms },
        from,
        to,
        subject: None,
        // `cleanText` lacks the keyword, which the sender did write.
        body: storable(result["text"].as_str().map_or_else(|| texts.join("\n"), str::to_owned)),
        attachments,
        files: Vec::new(),
        omitted_files: 0,
        timestamp: time(&result["receivedAt"]),
    })
}

fn receipt(result: &Value, url: &str, codes: &ErrorCodes) -> Result<Receipt, WebhookError> {
    let status = &result["status"];
    let delivery = match status["groupName"].as_str().unwrap_or_default() {
        "PENDING" => Delivery::Sent,
        "DELIVERED" => Delivery::Delivered,
        "UNDELIVERABLE" | "REJECTED" | "EXPIRED" => Delivery::Undelivered,
        _ => return Err(unparsable("status.groupName is a word that is not known")),
    };
    let provider_message_id = result["messageId"].as_str().and_then(code_word);
    let (message_id, attempt) = match in_reference(result["callbackData"].as_str().unwrap_or_default()) {
        (None, _) => in_url(url),
        ours => ours,
    };
    if message_id.is_none() && provider_message_id.is_none() {
        return Err(unparsable("the report names no message: messageId is missing"));
    }
    let undelivered = delivery == Delivery::Undelivered;
    let (status_name, error) = (status["name"].as_str().and_then(code_word), &result["error"]);
    let failed = undelivered && error["groupId"].as_u64() != Some(0);
    let error_name = error["name"].as_str().filter(|_| failed).and_then(code_word);
    let code = error_name.or(status_name);
    let known = code.as_deref().filter(|_| undelivered).and_then(|code| codes.find(code));
    // The report's own word wins over the table, except where the configuration says otherwise of the code.
    let temporary = match error["permanent"].as_bool().filter(|_| failed) {
        Some(permanent) if !code.as_deref().is_some_and(|code| codes.is_configured(code)) => !permanent,
        _ => known.is_some_and(Known::is_temporary),
    };
    Ok(Receipt {
        message_id,
        attempt,
        provider_message_id,
        delivery,
        detail: known.map(|known| known.meaning.to_owned()),
        temporary,
        provider_code: code,
        timestamp: time(&result["doneAt"]),
    })
}

/// `2019-11-09T16:00:00.000+0000`: RFC 3339 but for the colon that the offset lacks.
fn time(value: &Value) -> Option<Timestamp> {
    let text = value.as_str()?;
    text.parse().ok().or_else(|| Timestamp::strptime("%Y-%m-%dT%H:%M:%S%.f%z", text).ok())
}
