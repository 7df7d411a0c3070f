//! A message and the words of its two axes: `status` (dispatch) and `delivery` (what became of it afterwards).

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::channel::UnknownWord;
use crate::{Channel, Endpoint, Participants, Reason};

macro_rules! vocabulary {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$variant_doc])* #[serde(rename = $word)] $variant,)* }

        impl $name {
            pub const ALL: &[Self] = &[$(Self::$variant,)*];
            pub const WORDS: &[&str] = &[$($word,)*];

            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(word: &str) -> Result<Self, UnknownWord> {
                match word {
                    $($word => Ok(Self::$variant),)*
                    _ => Err(UnknownWord::new(word, Self::WORDS)),
                }
            }
        }
    };
}
pub(crate) use vocabulary;

vocabulary! {
    /// Which way a message travels.
    Direction {
        Inbound = "inbound",
        Outbound = "outbound",
    }
}

vocabulary! {
    /// The dispatch axis, `status_tag`.
    Status {
        /// Stored, not tried yet.
        Outbox = "outbox",
        /// Tried, not settled: due again later, or held.
        Retry = "retry",
        /// The provider accepted it; or it is inbound.
        Ok = "ok",
        /// It will not be sent.
        Failed = "failed",
    }
}

vocabulary! {
    /// The delivery axis, `delivery_tag`.
    Delivery {
        /// Not handed to a provider.
        None = "none",
        /// The provider has it.
        Pending = "pending",
        /// Nobody knows whether the provider has it, or it never reported.
        Unknown = "unknown",
        /// The provider handed it to the carrier.
        Sent = "sent",
        /// The carrier or the receiving host refused it.
        Undelivered = "undelivered",
        Delivered = "delivered",
        Read = "read",
        /// Inbound.
        Received = "received",
    }
}

impl Delivery {
    /// Receipts move `delivery` only upwards: they arrive late, twice and out of order. A late `delivered` beats
    /// `undelivered`; carriers do correct themselves.
    pub fn rank(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Pending | Self::Unknown => 1,
            Self::Sent => 2,
            Self::Undelivered => 3,
            Self::Delivered => 4,
            Self::Read => 5,
            Self::Received => 6,
        }
    }
}

vocabulary! {
    /// Which of two due messages goes first.
    Priority {
        High = "high",
        Normal = "normal",
        Low = "low",
    }
}

impl Priority {
    /// The column's value: the smaller goes first.
    pub fn as_i16(self) -> i16 {
        match self {
            Self::High => 0,
            Self::Normal => 1,
            Self::Low => 2,
        }
    }

    pub fn from_i16(value: i16) -> Self {
        match value {
            ..=0 => Self::High,
            1 => Self::Normal,
            2.. => Self::Low,
        }
    }
}

/// Why a message is in its status. Absent where there is nothing to say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusPayload {
    /// A [`Reason`].
    pub code: String,
    /// The provider's own code, as it gave it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub provider_code: Option<String>,
    /// For people; never the message's text or an address.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub detail: Option<String>,
    /// Of an undelivered message: whether another try might be delivered.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub temporary: Option<bool>,
}

impl StatusPayload {
    pub fn new(reason: Reason) -> Self {
        Self { code: reason.as_str().to_owned(), provider_code: None, detail: None, temporary: None }
    }
}

/// A message about to be stored, normalised and checked.
#[derive(Clone, Debug)]
pub struct NewMessage {
    pub id: Uuid,
    pub participants: Participants,
    pub channel: Channel,
    pub direction: Direction,
    pub source: Endpoint,
    pub target: Endpoint,
    pub subject: Option<String>,
    pub body: String,
    /// http(s) URLs.
    pub attachments: Vec<String>,
    pub metadata: serde_json::Map<String, serde_json::Value>,
    pub priority: Priority,
    /// The client's own time of the message, where it gave one.
    pub timestamp: Option<Timestamp>,
    pub send_at: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
}

/// A stored message.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    pub id: Uuid,
    pub conversation_id: Uuid,
    pub channel: Channel,
    pub direction: Direction,
    pub source: Endpoint,
    pub target: Endpoint,
    pub subject: Option<String>,
    pub body: String,
    pub attachments: Vec<String>,
    pub metadata: serde_json::Map<String, serde_json::Value>,
    pub priority: Priority,
    pub status: Status,
    pub status_payload: Option<StatusPayload>,
    pub delivery: Delivery,
    pub provider_id: Option<String>,
    pub provider_message_id: Option<String>,
    /// Provider calls that were answered with a verdict or whose outcome is unknown.
    pub attempt: u32,
    /// When the next attempt is due, while there is one; absent when settled or held.
    pub next_attempt_at: Option<Timestamp>,
    pub timestamp: Timestamp,
    pub send_at: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Message {
    /// Whether nobody knows if its provider has it: only a receipt or a person gets it on.
    pub fn is_held(&self) -> bool {
        self.status == Status::Retry && (self.delivery == Delivery::Unknown || self.next_attempt_at.is_none())
    }

    /// Whether a person may have it tried again.
    pub fn is_retryable(&self) -> bool {
        self.direction == Direction::Outbound && (self.status == Status::Failed || self.is_held())
    }

    pub fn is_canceled(&self) -> bool {
        let is_why = |payload: &StatusPayload| payload.code == Reason::Canceled.as_str();
        self.status == Status::Failed && self.status_payload.as_ref().is_some_and(is_why)
    }

    /// Whether a person may keep it from being sent, unless it is being sent just now.
    pub fn is_cancelable(&self) -> bool {
        self.direction == Direction::Outbound && matches!(self.status, Status::Outbox | Status::Retry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_parses_back() {
        for &delivery in Delivery::ALL {
            assert_eq!(delivery.as_str().parse(), Ok(delivery));
        }
        let wrong = "deliverd".parse::<Delivery>().unwrap_err().to_string();
        assert!(wrong.contains("`deliverd` is not one of none, pending"), "{wrong}");
    }

    #[test]
    fn a_late_delivered_beats_undelivered_and_nothing_beats_read() {
        assert!(Delivery::Delivered.rank() > Delivery::Undelivered.rank());
        assert!(Delivery::Undelivered.rank() > Delivery::Sent.rank());
        assert!(Delivery::Sent.rank() > Delivery::Pending.rank());
        assert!(Delivery::Read.rank() > Delivery::Delivered.rank());
    }
}
