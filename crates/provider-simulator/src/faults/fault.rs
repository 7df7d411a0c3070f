//! The vocabulary of scripted faults, as the control API writes it. What each does is elsewhere.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// 429.
    Throttle {
        #[serde(default = "one")]
        retry_after_s: u64,
        #[serde(default)]
        form: WaitForm,
    },
    /// An error answer. `code` is the provider's own, where it has codes.
    Status {
        status: u16,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<Code>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    },
    /// No answer for a while; then the usual one. `accept_first`: the message is recorded before the wait.
    Hang {
        for_s: f64,
        #[serde(default)]
        accept_first: bool,
    },
    /// The connection breaks before the message is accepted.
    Reset,
    /// The message is accepted; the connection breaks without an answer.
    AcceptThenReset,
    /// The answer's body trickles in over this time. The message is accepted.
    SlowBody {
        for_s: f64,
    },
    /// A success that cannot be read. The message is accepted.
    Garbage,
    /// The connection ends in the middle of the answer's body. The message is accepted.
    Truncated,
    /// Further copies of each receipt.
    DuplicateReceipts {
        #[serde(default = "one_copy")]
        copies: u32,
    },
    LateReceipts {
        delay_ms: u64,
    },
    /// The receipts arrive while the call is still waiting for its answer.
    ReceiptsBeforeAnswer,
    NoReceipts,
    /// The carrier refuses: the last receipt says undelivered (a bounce, for email).
    Undelivered {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<Code>,
    },
    /// The recipient reads the message: a further receipt, where the kind has one.
    Read,
    /// The provider is away for this time.
    Outage {
        for_s: f64,
        #[serde(default)]
        how: OutageForm,
    },
}

/// How a wait is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitForm {
    /// `Retry-After: 7`
    #[default]
    Seconds,
    /// `Retry-After: Tue, 14 Nov 2023 22:13:50 GMT`
    HttpDate,
    /// `X-RateLimit-Reset: 1700000000`, as SendGrid does it, or the header of the kind.
    RateLimitReset,
    None,
}

/// What a caller meets in an outage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutageForm {
    /// 503.
    #[default]
    Unavailable,
    /// The connection breaks without an answer.
    Reset,
    /// Nobody listens on the port: for every kind, and for the control API.
    Refuse,
}

/// A provider's or a carrier's code, written as a number or as text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Code {
    Number(u32),
    Text(String),
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

fn one() -> u64 {
    1
}

fn one_copy() -> u32 {
    1
}

impl Fault {
    pub(super) fn is_about_receipts(&self) -> bool {
        matches!(
            self,
            Self::DuplicateReceipts { .. }
                | Self::LateReceipts { .. }
                | Self::ReceiptsBeforeAnswer
                | Self::NoReceipts
                | Self::Undelivered { .. }
                | Self::Read
        )
    }

    /// The word under `type`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Throttle { .. } => "throttle",
            Self::Status { .. } => "status",
            Self::Hang { .. } => "hang",
            Self::Reset => "reset",
            Self::AcceptThenReset => "accept_then_reset",
            Self::SlowBody { .. } => "slow_body",
            Self::Garbage => "garbage",
            Self::Truncated => "truncated",
            Self::DuplicateReceipts { .. } => "duplicate_receipts",
            Self::LateReceipts { .. } => "late_receipts",
            Self::ReceiptsBeforeAnswer => "receipts_before_answer",
            Self::NoReceipts => "no_receipts",
            Self::Undelivered { .. } => "undelivered",
            Self::Read => "read",
            Self::Outage { .. } => "outage",
        }
    }
}
