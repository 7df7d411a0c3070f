//! A message that the simulator accepted, and a call that it saw. Plain data; what happens to it is elsewhere.

use std::sync::atomic::AtomicU8;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

/// Which provider is being spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Twilio,
    Sendgrid,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Twilio => "twilio",
            Self::Sendgrid => "sendgrid",
        }
    }
}

/// A message as the ledger keeps it: one per recipient.
#[derive(Debug, Serialize, Deserialize)]
pub struct Accepted {
    pub kind: Kind,
    /// Index of the account in the options.
    pub account: usize,
    /// `SM...`, `MM...`, or the X-Message-Id.
    pub provider_message_id: Box<str>,
    pub from: Box<str>,
    pub to: Box<str>,
    pub channel: Box<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Box<str>>,
    pub body: Box<str>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub media: Vec<String>,
    /// The sender's own id, from the callback's query or the custom arguments.
    pub message_id: Option<Uuid>,
    pub attempt: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<Box<str>>,
    pub received_at: jiff::Timestamp,
    /// Names of the faults that this message met.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
    /// Twilio's StatusCallback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback_url: Option<Box<str>>,
    /// Twilio's MessagingServiceSid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messaging_service_sid: Option<Box<str>>,
    /// SendGrid's custom_args and categories, as its events bring them back.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub event_fields: Map<String, Value>,
    #[serde(default)]
    pub plan: ReceiptPlan,
    /// Receipts delivered so far. Starts again with the process: a receipt may come twice, never not at all.
    #[serde(skip)]
    pub receipts_done: AtomicU8,
}

impl Accepted {
    /// Names the receipts of this message in the ledger's file: recipients of one email share its id.
    pub(crate) fn receipts_key(&self) -> String {
        format!("{} {}", self.provider_message_id, self.to)
    }
}

/// What becomes of a message's receipts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReceiptPlan {
    #[serde(skip_serializing_if = "is_default")]
    pub none: bool,
    /// Further copies of each receipt.
    #[serde(skip_serializing_if = "is_default")]
    pub copies: u32,
    #[serde(skip_serializing_if = "is_default")]
    pub late_ms: u64,
    #[serde(skip_serializing_if = "is_default")]
    pub before_answer: bool,
    /// The carrier's code: the message ends undelivered.
    #[serde(skip_serializing_if = "is_default")]
    pub undelivered: Option<String>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A call of a send route, also a refused one.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Call {
    pub kind: Kind,
    pub account: Option<usize>,
    pub message_id: Option<Uuid>,
    pub attempt: Option<u32>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub to: Box<str>,
    /// Unix milliseconds of its arrival.
    pub at_ms: i64,
    /// The status, `reset`, or `nothing`.
    pub answer: Answered,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answered {
    Status(u16),
    Reset,
    /// The caller left before an answer, or is still waiting.
    Nothing,
}

impl Serialize for Answered {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl std::fmt::Display for Answered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Status(status) => write!(f, "{status}"),
            Self::Reset => f.write_str("reset"),
            Self::Nothing => f.write_str("nothing"),
        }
    }
}

/// The sender's own message id and attempt, found among the arguments that travel with a message: the value that
/// is a UUID, and the number under a name that speaks of an attempt. The simulator does not know the sender's
/// names for them, and needs not.
pub(crate) fn own_reference<'a>(
    pairs: impl Iterator<Item = (&'a str, &'a str)>,
) -> (Option<Uuid>, Option<u32>) {
    let (mut message_id, mut attempt) = (None, None);
    for (name, value) in pairs {
        if message_id.is_none() {
            message_id = Uuid::parse_str(value).ok();
        }
        if attempt.is_none() && (name.ends_with("attempt") || name == "a") {
            attempt = value.parse().ok();
        }
    }
    (message_id, attempt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_senders_reference_is_found_by_its_form() {
        let id = "01890a5d-ac96-774b-bcce-b302099a8057";
        let pairs = [("secret", "12"), ("app_message_id", id), ("app_attempt", "3")];
        assert_eq!(own_reference(pairs.into_iter()), (Uuid::parse_str(id).ok(), Some(3)));
        assert_eq!(own_reference([("to", "7")].into_iter()), (None, None));
    }
}
