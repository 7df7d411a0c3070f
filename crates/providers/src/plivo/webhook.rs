//! What a Plivo webhook says: an inbound message (https://www.plivo.com/docs/messaging/concepts/incoming-messages) or
//! a receipt. Must not be asked before the signature is.

use std::borrow::Cow;
use std::collections::BTreeMap;

use http::Method;
use model::{Channel, Delivery};
use uuid::Uuid;

use crate::callback::query_of;
use crate::error_codes::{ErrorCodes, Known};
use crate::inbound_text::{code_word, international, is_web_address, storable};
use crate::media_type::is_form;
use crate::run_together::{self, IdParameter};
use crate::webhook::unparsable;
use crate::{InboundMessage, Receipt, Webhook, WebhookError, WebhookReply, WebhookRequest, callback};

/// More than a message may have, so that no attachment is lost unseen.
const ATTACHMENTS_MAX: usize = 1000;

const UUID_NAMES: [&str; 2] = ["parentmessageuuid", "messageuuid"];
const UUID: IdParameter = IdParameter {
    suffix: "messageuuid",
    names: &UUID_NAMES,
    id_bytes: 36,
    is_id: |text| text.len() == 36 && Uuid::try_parse(text).is_ok(),
};

/// Plivo XML that does nothing.
const EMPTY_XML: WebhookReply =
    WebhookReply { content_type: "text/xml", body: Cow::Borrowed("<Response></Response>") };

/// # Errors
/// [`WebhookError::Unparsable`].
pub(super) fn read(request: &WebhookRequest<'_>, codes: &ErrorCodes) -> Result<Webhook, WebhookError> {
    let parameters = Parameters::of(request)?;
    match parameters.get("status") {
        Some(status) => {
            let receipts = vec![receipt(status, &parameters, request.url, codes)?];
            Ok(Webhook { receipts, ..Webhook::default() })
        }
        None => {
            let inbound = vec![inbound(&parameters)?];
            Ok(Webhook { inbound, reply: EMPTY_XML, ..Webhook::default() })
        }
    }
}

/// Whether Plivo sends a parameter of this name, in any case.
pub(super) fn reads_parameter(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let names = ["from", "to", "text", "body", "type", "status", "errorcode"];
    let is_media =
        name.strip_prefix("media").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()));
    names.contains(&name.as_str()) || name.ends_with("messageuuid") || is_media
}

/// The parameters by name in lower case: receipts have been seen with `status` and with `Status`. Of a repeated one
/// the first counts; an empty one is absent.
struct Parameters<'a>(BTreeMap<String, Cow<'a, str>>);

impl<'a> Parameters<'a> {
    fn of(request: &'a WebhookRequest<'a>) -> Result<Self, WebhookError> {
        let encoded = if request.method == Method::GET {
            query_of(request.url).as_bytes()
        } else if is_form(request) {
            request.body
        } else {
            return Err(unparsable("expected a form"));
        };
        let pairs: Vec<_> = form_urlencoded::parse(encoded).collect();
        if run_together::hides_an_id(pairs.iter().map(|(name, value)| (&**name, &**value)), &UUID) {
            return Err(unparsable(
                "the id of a message stands within its names or values: it may be another webhook, regrouped",
            ));
        }
        let mut parameters = BTreeMap::new();
        for (name, value) in pairs.into_iter().filter(|(_, value)| !value.is_empty()) {
            parameters.entry(name.to_ascii_lowercase()).or_insert(value);
        }
        Ok(Self(parameters))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(Cow::as_ref)
    }
}

fn inbound(parameters: &Parameters<'_>) -> Result<InboundMessage, WebhookError> {
    let required = |name: &str, shown: &str| {
        parameters.get(name).ok_or_else(|| unparsable(format!("{shown} is missing; this is no message")))
    };
    let attachments: Vec<String> = (0..ATTACHMENTS_MAX)
        .map_while(|index| parameters.get(&format!("media{index}")))
        .filter(|url| is_web_address(url))
        .map(storable)
        .collect();
    let channel = match parameters.get("type").map(str::to_ascii_lowercase).as_deref() {
        Some("mms") => Channel::Mms,
        None | Some("sms") if attachments.is_empty() => Channel::Sms,
        None | Some("sms") => Channel::Mms,
        Some(_) => return Err(unparsable("it came through a channel that is neither sms nor mms")),
    };
    let provider_message_id = code_word(required("messageuuid", "MessageUUID")?)
        .ok_or_else(|| unparsable("its MessageUUID is none"))?;
    Ok(InboundMessage {
        provider_message_id,
        channel,
        from: international(required("from", "From")?),
        to: international(required("to", "To")?),
        subject: None,
        body: storable(parameters.get("text").or_else(|| parameters.get("body")).unwrap_or_default()),
        attachments,
        files: Vec::new(),
        omitted_files: 0,
        timestamp: None,
    })
}

fn receipt(
    status: &str,
    parameters: &Parameters<'_>,
    url: &str,
    codes: &ErrorCodes,
) -> Result<Receipt, WebhookError> {
    let status = status.to_ascii_lowercase();
    let delivery = match status.as_str() {
        "queued" => Delivery::Pending,
        "sent" => Delivery::Sent,
        "delivered" => Delivery::Delivered,
        "read" => Delivery::Read,
        "failed" | "undelivered" | "rejected" => Delivery::Undelivered,
        _ => return Err(unparsable("its Status is a word that is not known")),
    };
    let (message_id, attempt) = callback::in_url(url);
    // The answer to the call named the whole message; each of several parts has an id of its own.
    let provider_message_id = UUID_NAMES.into_iter().find_map(|name| code_word(parameters.get(name)?));
    if message_id.is_none() && provider_message_id.is_none() {
        return Err(unparsable("the receipt names no message: MessageUUID is missing"));
    }
    let code = parameters.get("errorcode").filter(|&code| code != "000").and_then(code_word);
    let known = code.as_deref().and_then(|code| codes.find(code));
    let undelivered = delivery == Delivery::Undelivered;
    Ok(Receipt {
        message_id,
        attempt,
        provider_message_id,
        delivery,
        detail: known.filter(|_| undelivered).map(|known| known.meaning.to_owned()),
        temporary: undelivered && known.is_some_and(Known::is_temporary),
        provider_code: code.or(Some(status)),
        timestamp: None,
    })
}
