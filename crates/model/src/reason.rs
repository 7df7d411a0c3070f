//! Why a message is where it is: the stable codes of `status_payload.code`, events and metrics.

use std::fmt;
use std::str::FromStr;

use crate::channel::UnknownWord;

macro_rules! reasons {
    ($($(#[doc = $doc:literal])* $name:ident = $code:literal,)*) => {
        /// A stable reason code. Users match on these words: add to them, never rename one.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[doc = $doc])* $name,)* }

        impl Reason {
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// The code in a sentence, for people.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),*).trim_ascii(),)* }
            }
        }
    };
}

reasons! {
    /// The provider says that the recipient's address is wrong or does not exist.
    InvalidRecipient = "invalid_recipient",
    /// The recipient has opted out at the provider.
    OptedOut = "opted_out",
    /// The sender's account, number or permission does not allow this message.
    Configuration = "configuration",
    /// The provider refuses the content: too long, malformed, filtered.
    ContentRejected = "content_rejected",
    /// Refused for good, for a reason that has no word of its own here; the code of the provider tells more.
    Rejected = "rejected",
    /// The carrier or the receiving host refused the message after the provider had accepted it.
    Undelivered = "undelivered",
    /// Too many requests; the provider did not process this one.
    Throttled = "throttled",
    /// The provider answered that it cannot serve now.
    Unavailable = "unavailable",
    /// No connection to the provider could be made; nothing was sent.
    Unreachable = "unreachable",
    /// The provider forbids this message: its recipient, its sender or the account is not allowed.
    Forbidden = "forbidden",
    /// The provider refuses the account: credentials, credit, suspension.
    Halted = "halted",
    /// No answer in time, after the request was written.
    Timeout = "timeout",
    /// The connection broke after the request was written.
    ConnectionReset = "connection_reset",
    /// An answer came that cannot be understood.
    UnreadableAnswer = "unreadable_answer",
    /// The processor that held the message vanished before it wrote the outcome.
    LeaseLapsed = "lease_lapsed",
    /// Nobody knows whether the provider has the message, and its policy is not to send again.
    OutcomeUnknown = "outcome_unknown",
    /// A provider accepted it; if it is not delivered in time, another one is asked.
    AwaitingDelivery = "awaiting_delivery",
    /// The provider accepted the message, and never reported what became of it.
    ReceiptTimeout = "receipt_timeout",
    /// The attempts that the configuration allows are used up.
    Exhausted = "exhausted",
    /// `expires_at` or the maximum age passed before the message could be sent.
    Expired = "expired",
    /// A client canceled it before it was sent.
    Canceled = "canceled",
    /// A client asked for another try.
    RetryRequested = "retry_requested",
    /// An operator holds it until it is released.
    Operator = "operator",
    /// It came with a restored or copied database, and is held until it is released.
    Restored = "restored",
    /// An operator released it.
    Released = "released",
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Reason {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        Self::ALL
            .iter()
            .copied()
            .find(|reason| reason.as_str() == word)
            .ok_or_else(|| UnknownWord::new(word, &Self::ALL.iter().map(|r| r.as_str()).collect::<Vec<_>>()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_parses_back_and_is_a_sentence() {
        for &reason in Reason::ALL {
            assert_eq!(reason.as_str().parse(), Ok(reason));
            let meaning = reason.meaning();
            assert!(meaning.ends_with('.') && !meaning.starts_with(' '), "{reason}: {meaning:?}");
        }
    }
}
