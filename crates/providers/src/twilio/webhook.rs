//! What a Twilio webhook says: an inbound message or a receipt
//! (https://www.twilio.com/docs/messaging/guides/webhook-request). Must not be asked before the signature is.

use std::borrow::Cow;

use http::Method;
use model::{Channel, Delivery};

use super::WHATSAPP;
use crate::callback::query_of;
use crate::error_codes::{ErrorCodes, Known};
use crate::inbound_text::{code_word, is_web_address, place_text, storable};
use crate::media_type::{is_form, is_json};
use crate::run_together::{self, IdParameter};
use crate::webhook::unparsable;
use crate::{InboundMessage, Receipt, Webhook, WebhookError, WebhookReply, WebhookRequest, callback};

/// Looked for by number; more than a message may have, so that no attachment is lost unseen.
const ATTACHMENTS_MAX: usize = 1000;

/// SM or MM, and 32 hexadecimal digits (https://www.twilio.com/docs/messaging/api/message-resource).
const SID: IdParameter = IdParameter {
    suffix: "sid",
    names: &["messagesid", "smssid", "smsmessagesid", "originalrepliedmessagesid"],
    id_bytes: 34,
    is_id: is_sid,
};
const SID_NAMES: [&str; 3] = ["MessageSid", "SmsSid", "SmsMessageSid"];

fn is_sid(text: &str) -> bool {
    let digits =
        text.get(..2).filter(|kind| ["sm", "mm"].iter().any(|known| kind.eq_ignore_ascii_case(known)));
    let digits = digits.and(text.get(2..));
    digits.is_some_and(|digits| digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// TwiML that does nothing. Any other answer is put down as an error in the account's debugger.
const EMPTY_TWIML: WebhookReply =
    WebhookReply { content_type: "text/xml", body: Cow::Borrowed("<Response/>") };

/// # Errors
/// [`WebhookError::Unparsable`].
pub(super) fn read(request: &WebhookRequest<'_>, codes: &ErrorCodes) -> Result<Webhook, WebhookError> {
    let parameters = Parameters::of(request)?;
    // `SmsStatus` is there on either; `MessageStatus` only on receipts. An MMS may come with neither.
    match parameters.get("MessageStatus").or_else(|| parameters.get("SmsStatus")) {
        None | Some("received" | "receiving") => {
            let inbound = vec![inbound(&parameters)?];
            Ok(Webhook { inbound, reply: EMPTY_TWIML, ..Webhook::default() })
        }
        Some(status) => {
            let receipts = vec![receipt(status, &parameters, request.url, codes)?];
            Ok(Webhook { receipts, ..Webhook::default() })
        }
    }
}

/// The webhook's parameters, by name. Of a repeated one the first counts; an empty one is absent.
struct Parameters<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Parameters<'a> {
    fn of(request: &'a WebhookRequest<'a>) -> Result<Self, WebhookError> {
        if request.method == Method::GET {
            return Ok(Self::from_pairs(form_urlencoded::parse(query_of(request.url).as_bytes())));
        }
        if is_form(request) {
            let pairs: Vec<_> = form_urlencoded::parse(request.body).collect();
            if run_together::hides_an_id(pairs.iter().map(|(name, value)| (&**name, &**value)), &SID) {
                return Err(unparsable(
                    "the id of a message stands within its names or values: it may be another webhook, regrouped",
                ));
            }
            return Ok(Self::from_pairs(pairs.into_iter()));
        }
        if !is_json(request) {
            return Err(unparsable("expected a form or JSON"));
        }
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(request.body)
            .map_err(|_| unparsable("expected a JSON object with the parameters of a message"))?;
        Ok(Self::from_pairs(object.into_iter().filter_map(|(name, value)| {
            let value = match value {
                serde_json::Value::String(text) => text,
                serde_json::Value::Number(number) => number.to_string(),
                _ => return None,
            };
            Some((Cow::Owned(name), Cow::Owned(value)))
        })))
    }

    fn from_pairs(pairs: impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)>) -> Self {
        let mut parameters: Vec<_> = pairs.filter(|(_, value)| !value.is_empty()).collect();
        // Stable: the first of one name stays the first.
        parameters.sort_by(|(one, _), (other, _)| one.cmp(other));
        parameters.dedup_by(|(later, _), (earlier, _)| later == earlier);
        Self(parameters)
    }

    fn get(&self, name: &str) -> Option<&str> {
        let place = self.0.binary_search_by(|(other, _)| other.as_ref().cmp(name)).ok()?;
        Some(self.0[place].1.as_ref())
    }

    /// Nothing where there is none, or several that differ.
    fn message_sid(&self) -> Option<String> {
        let mut sids = SID_NAMES.into_iter().filter_map(|name| self.get(name));
        let sid = sids.next().filter(|sid| is_sid(sid))?;
        sids.all(|other| other == sid).then(|| sid.to_owned())
    }
}

fn inbound(parameters: &Parameters<'_>) -> Result<InboundMessage, WebhookError> {
    let required = |name: &str| {
        parameters.get(name).ok_or_else(|| unparsable(format!("{name} is missing; this is no message")))
    };
    let provider_message_id = parameters
        .message_sid()
        .ok_or_else(|| unparsable("MessageSid is missing or none; this is no message"))?;
    let (from, to) = (required("From")?, required("To")?);
    let on_whatsapp = from.strip_prefix(WHATSAPP).zip(to.strip_prefix(WHATSAPP));
    let (from, to) = on_whatsapp.unwrap_or((from, to));
    // `messenger:…`, `rcs:…`: taken as SMS, such a message would join a stranger's conversation.
    if from.contains(':') || to.contains(':') {
        return Err(unparsable("it came through a channel that is none of sms, mms and whatsapp"));
    }
    let media_count = parameters.get("NumMedia").and_then(|count| count.parse::<usize>().ok()).unwrap_or(0);
    let attachments: Vec<String> = (0..media_count.min(ATTACHMENTS_MAX))
        .filter_map(|index| parameters.get(&format!("MediaUrl{index}")))
        .filter(|text| is_web_address(text))
        .map(storable)
        .collect();
    Ok(InboundMessage {
        provider_message_id,
        channel: match on_whatsapp {
            Some(_) => Channel::Whatsapp,
            None if media_count > 0 => Channel::Mms,
            None => Channel::Sms,
        },
        from: storable(from),
        to: storable(to),
        subject: None,
        body: storable(parameters.get("Body").map_or_else(|| location(parameters), str::to_owned)),
        attachments,
        files: Vec::new(),
        omitted_files: 0,
        timestamp: None,
    })
}

/// A place that somebody shared on WhatsApp, instead of a body.
fn location(parameters: &Parameters<'_>) -> String {
    let place = [parameters.get("Label"), parameters.get("Address")];
    match (parameters.get("Latitude"), parameters.get("Longitude")) {
        (Some(latitude), Some(longitude)) => place_text(place, latitude, longitude),
        _ => String::new(),
    }
}

fn receipt(
    status: &str,
    parameters: &Parameters<'_>,
    url: &str,
    codes: &ErrorCodes,
) -> Result<Receipt, WebhookError> {
    let delivery = match status {
        "accepted" | "queued" | "scheduled" | "sending" => Delivery::Pending,
        "sent" | "partially_delivered" => Delivery::Sent,
        "delivered" => Delivery::Delivered,
        "read" => Delivery::Read,
        "failed" | "undelivered" | "canceled" => Delivery::Undelivered,
        _ => return Err(unparsable("its MessageStatus is a word that is not known")),
    };
    let (message_id, attempt) = callback::in_url(url);
    let provider_message_id = parameters.message_sid();
    if message_id.is_none() && provider_message_id.is_none() {
        return Err(unparsable("the receipt names no message: MessageSid is missing or none"));
    }
    let code = parameters.get("ErrorCode").filter(|&code| code != "0").and_then(code_word);
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
        timestamp: None,
    })
}

#[cfg(test)]
#[path = "webhook/tests.rs"]
mod tests;
