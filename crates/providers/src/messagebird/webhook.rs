//! What a webhook says: a status report, which comes by GET
//! (https://developers.messagebird.com/api/sms-messaging/#handle-a-status-report), or an inbound message, of a long
//! number or a short code. Must not be asked before the signature is.

use http::Method;
use model::{Channel, Delivery};
use serde_json::{Map, Value};

use crate::callback::{in_reference, query_of};
use crate::error_codes::{ErrorCodes, Known};
use crate::inbound_text::{code_word, international, is_web_address, storable};
use crate::webhook::unparsable;
use crate::{InboundMessage, Receipt, Webhook, WebhookError, WebhookRequest};

/// More than a message may have, so that no attachment is lost unseen.
const ATTACHMENTS_MAX: usize = 1000;

/// # Errors
/// [`WebhookError::Unparsable`].
pub(super) fn read(request: &WebhookRequest<'_>, codes: &ErrorCodes) -> Result<Webhook, WebhookError> {
    let parameters = Parameters::of(request);
    match parameters.get("status") {
        Some(status) if parameters.text().is_none() => {
            Ok(Webhook { receipts: vec![receipt(status, &parameters, codes)?], ..Webhook::default() })
        }
        _ => Ok(Webhook { inbound: vec![inbound(&parameters)?], ..Webhook::default() }),
    }
}

/// Whether MessageBird sends a parameter of this name, in any case.
pub(super) fn reads_parameter(name: &str) -> bool {
    const NAMES: [&str; 17] = [
        "id",
        "mid",
        "originator",
        "recipient",
        "shortcode",
        "reference",
        "status",
        "statusdatetime",
        "statuserrorcode",
        "statusreason",
        "createddatetime",
        "subject",
        "body",
        "message",
        "mccmnc",
        "ported",
        "mediaurls",
    ];
    let name = name.to_ascii_lowercase();
    NAMES.contains(&name.split('[').next().unwrap_or_default())
}

/// Names in lower case: `CreatedDatetime` and `createdDatetime` were both seen.
struct Parameters(Vec<(String, String)>);

impl Parameters {
    fn of(request: &WebhookRequest<'_>) -> Self {
        let lower = |name: &str, value: String| (name.to_ascii_lowercase(), value);
        if request.method == Method::GET {
            let pairs = form_urlencoded::parse(query_of(request.url).as_bytes());
            return Self(pairs.map(|(name, value)| lower(&name, value.into_owned())).collect());
        }
        // Which of the two it is, no form can be mistaken about.
        match serde_json::from_slice::<Map<String, Value>>(request.body) {
            Ok(object) => Self(
                object
                    .into_iter()
                    .filter_map(|(name, value)| match value {
                        Value::String(text) => Some(lower(&name, text)),
                        Value::Number(_) | Value::Array(_) => Some(lower(&name, value.to_string())),
                        _ => None,
                    })
                    .collect(),
            ),
            Err(_) => {
                let pairs = form_urlencoded::parse(request.body);
                Self(pairs.map(|(name, value)| lower(&name, value.into_owned())).collect())
            }
        }
    }

    /// Of a repeated one (`id` is) the first; an empty one is absent.
    fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(found, value)| found == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    fn text(&self) -> Option<&str> {
        // `message` is a short code's.
        let is_text = |name: &String| matches!(name.as_str(), "body" | "message");
        self.0.iter().find(|(name, _)| is_text(name)).map(|(_, value)| value.as_str())
    }

    /// One value a name, `mediaUrls[]`, or a list in JSON.
    fn media_urls(&self) -> Vec<String> {
        self.0
            .iter()
            .filter(|(name, _)| name.split('[').next() == Some("mediaurls"))
            .flat_map(|(_, value)| {
                serde_json::from_str::<Vec<String>>(value).unwrap_or_else(|_| vec![value.clone()])
            })
            .filter(|text| is_web_address(text))
            .take(ATTACHMENTS_MAX)
            .map(storable)
            .collect()
    }
}

fn inbound(parameters: &Parameters) -> Result<InboundMessage, WebhookError> {
    let required = |names: [&str; 2]| {
        let found = names.into_iter().find_map(|name| parameters.get(name));
        found.ok_or_else(|| unparsable(format!("{} is missing; this is no message", names[0])))
    };
    let id = code_word(required(["id", "mid"])?).ok_or_else(|| unparsable("its id cannot be read"))?;
    let from = international(required(["originator", "originator"])?);
    let to = international(required(["recipient", "shortcode"])?);
    let attachments = parameters.media_urls();
    Ok(InboundMessage {
        provider_message_id: id,
        channel: if attachments.is_empty() { Channel::Sms } else { Channel::Mms },
        from,
        to,
        subject: parameters.get("subject").map(storable),
        body: storable(parameters.text().unwrap_or_default()),
        attachments,
        files: Vec::new(),
        omitted_files: 0,
        timestamp: parameters.get("createddatetime").and_then(|text| text.parse().ok()),
    })
}

fn receipt(status: &str, parameters: &Parameters, codes: &ErrorCodes) -> Result<Receipt, WebhookError> {
    let delivery = match status {
        "scheduled" | "buffered" => Delivery::Pending,
        "sent" => Delivery::Sent,
        "delivered" => Delivery::Delivered,
        "expired" | "delivery_failed" => Delivery::Undelivered,
        _ => return Err(unparsable("its status is a word that is not known")),
    };
    let (message_id, attempt) = in_reference(parameters.get("reference").unwrap_or_default());
    let provider_message_id = parameters.get("id").and_then(code_word);
    if message_id.is_none() && provider_message_id.is_none() {
        return Err(unparsable("the status report names no message: id is missing"));
    }
    let undelivered = delivery == Delivery::Undelivered;
    let code =
        parameters.get("statuserrorcode").filter(|&code| undelivered && code != "0").and_then(code_word);
    let known = code.as_deref().and_then(|code| codes.find(code));
    Ok(Receipt {
        message_id,
        attempt,
        provider_message_id,
        delivery,
        detail: known.map(|known| known.meaning.to_owned()),
        temporary: known.is_some_and(Known::is_temporary),
        provider_code: code.or_else(|| Some(status.to_owned())),
        timestamp: parameters.get("statusdatetime").and_then(|text| text.parse().ok()),
    })
}
