//! What a provider's answer means for a message. What a provider answers is data, not an error.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Reason;

/// The verdict on one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The provider has it. Without an id where its answer carries none.
    Accepted { provider_message_id: Option<String> },
    /// Refused for good.
    Rejected { reason: Reason, provider_code: Option<String>, detail: String },
    /// Not processed, ask again later. Costs no attempt.
    Throttled { retry_after: Option<Duration>, provider_code: Option<String> },
    /// Answered, but not served: any 5xx unless the kind's table says otherwise. Costs an attempt.
    Unavailable { retry_after: Option<Duration>, provider_code: Option<String>, detail: String },
    /// No byte of the request was written: connection refused, name not found, TLS failed. Costs no attempt.
    Unreachable { detail: String },
    /// The request was written, and no readable answer came back: the provider may have the message.
    Uncertain { reason: Reason, detail: String },
    /// This message may not be sent: because of its recipient, its sender or the whole account, and the answer does not
    /// say which (a bare 403). Costs an attempt. Several in a row halt the provider.
    Forbidden { provider_code: Option<String>, detail: String },
    /// The account is blocked (credentials, credit, suspension): the provider leaves the rotation and the
    /// message waits at no cost.
    Halted { provider_code: Option<String>, detail: String },
}

impl Outcome {
    /// The metric label and event word.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Accepted { .. } => "accepted",
            Self::Rejected { .. } => "rejected",
            Self::Throttled { .. } => "throttled",
            Self::Unavailable { .. } => "unavailable",
            Self::Unreachable { .. } => "unreachable",
            Self::Uncertain { .. } => "uncertain",
            Self::Forbidden { .. } => "forbidden",
            Self::Halted { .. } => "halted",
        }
    }
}

/// What to do with a message whose outcome at a provider is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnUnknown {
    /// Send again: the recipient may get it twice.
    #[default]
    Retry,
    /// Stop and show it: a person decides.
    Hold,
    /// Wait for a receipt that names message and attempt, then hold.
    Reconcile,
}
