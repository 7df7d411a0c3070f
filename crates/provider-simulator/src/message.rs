//! A message that the simulator accepted, and a call that it saw. Plain data; what happens to it is elsewhere.

use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::SeqCst;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::kind::Kind;

/// A message as the ledger keeps it: one per recipient.
#[derive(Debug, Serialize, Deserialize)]
pub struct Accepted {
    pub kind: Kind,
    /// Index of the account in the options.
    pub account: usize,
    /// The id in the provider's answer, whatever its form.
    pub provider_message_id: Box<str>,
    pub from: Box<str>,
    pub to: Box<str>,
    pub channel: Box<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Box<str>>,
    pub body: Box<str>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub media: Vec<String>,
    /// The sender's own id, from the callback's query, the custom arguments, or the reference.
    pub message_id: Option<Uuid>,
    pub attempt: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<Box<str>>,
    pub received_at: jiff::Timestamp,
    /// Names of the faults that this message met.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
    /// Where its receipts go, if the call said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback_url: Option<Box<str>>,
    /// Twilio's MessagingServiceSid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messaging_service_sid: Option<Box<str>>,
    /// What its receipts bring back: custom arguments, tags, references.
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

    /// How many receipts there will be: sent, then delivered or undelivered, then perhaps read.
    pub(crate) fn receipts(&self) -> u8 {
        if self.plan.read && self.plan.undelivered.is_none() { 3 } else { 2 }
    }

    /// What its next receipt tells.
    pub(crate) fn stage(&self) -> Stage<'_> {
        match (self.receipts_done.load(SeqCst), &self.plan.undelivered) {
            (0, _) => Stage::Sent,
            (_, Some(code)) => Stage::Undelivered(code),
            (1, None) => Stage::Delivered,
            (_, None) => Stage::Read,
        }
    }

    /// What its receipts bring back under a name; empty where there is nothing.
    pub(crate) fn field(&self, name: &str) -> &str {
        self.event_fields.get(name).and_then(Value::as_str).unwrap_or_default()
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
    /// The recipient reads it: one receipt more.
    #[serde(skip_serializing_if = "is_default")]
    pub read: bool,
}

/// What a receipt tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage<'a> {
    Sent,
    Delivered,
    /// The carrier's code; empty: the kind's usual one.
    Undelivered(&'a str),
    Read,
}

impl Stage<'_> {
    /// Tells stages apart in the ids of events.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Undelivered(_) => "undelivered",
            Self::Read => "read",
        }
    }
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
/// is a UUID, and the number under a name that speaks of an attempt, or behind the UUID in one text with it
/// (`{uuid}:{attempt}`, with any separator). The simulator does not know the sender's names for them, and needs not.
pub(crate) fn own_reference<'a>(
    pairs: impl Iterator<Item = (&'a str, &'a str)>,
) -> (Option<Uuid>, Option<u32>) {
    let (mut message_id, mut attempt) = (None, None);
    for (name, value) in pairs {
        if message_id.is_none() {
            (message_id, attempt) = match reference_of_text(value) {
                (None, _) => (None, attempt),
                (id, behind) => (id, behind.or(attempt)),
            };
        }
        if attempt.is_none() && (name.ends_with("attempt") || name == "a") {
            attempt = value.parse().ok();
        }
    }
    (message_id, attempt)
}

/// The same, in one text.
pub(crate) fn reference_of_text(text: &str) -> (Option<Uuid>, Option<u32>) {
    const UUID_CHARACTERS: usize = 36;
    if let Ok(id) = Uuid::parse_str(text) {
        return (Some(id), None);
    }
    let id = text.get(..UUID_CHARACTERS).and_then(|id| Uuid::parse_str(id).ok());
    let behind = text.get(UUID_CHARACTERS..).unwrap_or_default();
    let behind = behind.strip_prefix(|separator: char| !separator.is_ascii_alphanumeric());
    match behind.and_then(|attempt| attempt.parse().ok()) {
        Some(attempt) if id.is_some() => (id, Some(attempt)),
        _ => (None, None),
    }
}

/// The same, in a URL's query.
pub(crate) fn reference_of_url(url: &str) -> (Option<Uuid>, Option<u32>) {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let query = query.split('#').next().unwrap_or_default();
    let pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    own_reference(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())))
}

/// The first of these that there is.
pub(crate) fn first_reference(
    found: impl IntoIterator<Item = (Option<Uuid>, Option<u32>)>,
) -> (Option<Uuid>, Option<u32>) {
    found.into_iter().find(|(id, _)| id.is_some()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_senders_reference_is_found_by_its_form() {
        let id = "01890a5d-ac96-774b-bcce-b302099a8057";
        let uuid = Uuid::parse_str(id).ok();
        let pairs = [("secret", "12"), ("app_message_id", id), ("app_attempt", "3")];
        assert_eq!(own_reference(pairs.into_iter()), (uuid, Some(3)));
        assert_eq!(own_reference([("to", "7")].into_iter()), (None, None));
        for separator in [":", "_", "-", "."] {
            assert_eq!(reference_of_text(&format!("{id}{separator}4")), (uuid, Some(4)), "{separator}");
        }
        assert_eq!(reference_of_text(&format!("{id}4")), (None, None));
        assert_eq!(reference_of_text(id), (uuid, None));
        assert_eq!(reference_of_url(&format!("http://x/y?m={id}&attempt=2")), (uuid, Some(2)));
    }
}
