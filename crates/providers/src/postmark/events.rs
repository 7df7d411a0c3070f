//! Event webhooks: one event about a mail that we sent
//! (https://postmarkapp.com/developer/webhooks/webhooks-overview). Every field may be missing.

use model::Delivery;
use serde_json::Value;

use crate::email::{ATTEMPT_NAME, MESSAGE_ID_NAME};
use crate::inbound_text::{code_word, our_reference};
use crate::json_field::time;
use crate::{Receipt, Webhook};

pub(super) fn read(record_type: &str, event: &Value) -> Webhook {
    Webhook { receipts: receipt(record_type, event).into_iter().collect(), ..Webhook::default() }
}

/// Nothing where the event says nothing about delivery (clicks, complaints, subscriptions) or names no message.
fn receipt(record_type: &str, event: &Value) -> Option<Receipt> {
    let said = match record_type {
        "Delivery" => Said::only(Delivery::Delivered, &event["DeliveredAt"]),
        "Open" => Said::only(Delivery::Read, &event["ReceivedAt"]),
        "Bounce" => bounce(event)?,
        _ => return None,
    };
    let metadata = |name: &str| event["Metadata"][name].as_str();
    let (message_id, attempt) =
        our_reference(metadata(MESSAGE_ID_NAME).unwrap_or_default(), metadata(ATTEMPT_NAME));
    let provider_message_id = event["MessageID"].as_str().and_then(code_word);
    if message_id.is_none() && provider_message_id.is_none() {
        return None;
    }
    Some(Receipt {
        message_id,
        attempt,
        provider_message_id,
        delivery: said.delivery,
        provider_code: said.word.or_else(|| Some(record_type.to_owned())),
        detail: said.detail.map(str::to_owned),
        temporary: said.temporary,
        // Seven digits of a fraction and any offset.
        timestamp: time(said.at),
    })
}

struct Said<'a> {
    delivery: Delivery,
    word: Option<String>,
    detail: Option<&'static str>,
    temporary: bool,
    at: &'a Value,
}

impl<'a> Said<'a> {
    fn only(delivery: Delivery, at: &'a Value) -> Self {
        Self { delivery, word: None, detail: None, temporary: false, at }
    }
}

/// By `Type`: its texts quote addresses.
fn bounce(event: &Value) -> Option<Said<'_>> {
    let word = event["Type"].as_str().unwrap_or_default();
    let undelivered = |detail, temporary| (Delivery::Undelivered, Some(detail), temporary);
    let (delivery, detail, temporary) = match word {
        // Postmark goes on trying.
        "Transient" | "DnsError" | "OpenRelayTest" => (Delivery::Pending, None, false),
        "HardBounce" => undelivered("bounced by the receiving host", false),
        "BadEmailAddress" => undelivered("the address is not valid", false),
        "ManuallyDeactivated" => undelivered("the address was deactivated at Postmark", false),
        // Refused for its sender's reputation or its content; the address itself is good.
        "Blocked" => undelivered("blocked by the receiving host", true),
        "SMTPApiError" => undelivered("refused by Postmark", false),
        "DMARCPolicy" => undelivered("refused by the sender domain's DMARC policy", false),
        "TemplateRenderingFailed" => undelivered("the template cannot be rendered", false),
        "VirusNotification" => undelivered("taken for a virus", false),
        "SoftBounce" => undelivered("refused by the receiving host for now", true),
        // What the recipient says or does after the delivery.
        "SpamNotification"
        | "SpamComplaint"
        | "Unsubscribe"
        | "Subscribe"
        | "AutoResponder"
        | "AddressChange"
        | "ChallengeVerification" => return None,
        _ => undelivered("not delivered, for a reason that Postmark does not name", true),
    };
    Some(Said { delivery, word: code_word(word), detail, temporary, at: &event["BouncedAt"] })
}
