//! Section `[attachments]`: whether and how the files of email messages are fetched before they are sent.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::value::Problems;

/// Section `[attachments]`.
#[derive(Clone, Debug)]
pub struct Attachments {
    /// Whether they are fetched at all; otherwise they are links.
    pub fetch: bool,
    /// Of one file.
    pub bytes_max: usize,
    /// Of all files of a message.
    pub total_bytes_max: usize,
    /// For all files of a message.
    pub timeout: Duration,
    pub on_failure: OnFailure,
    /// Whether addresses are fetched from that are not public.
    pub allow_private: bool,
}

/// What becomes of a message with a file that cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// The file is a link in it.
    Link,
    /// It fails, or is tried again where the file may be had later.
    Fail,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawAttachments {
    fetch: bool,
    bytes_max: usize,
    total_bytes_max: usize,
    timeout_s: f64,
    on_failure: OnFailure,
    allow_private: bool,
}

impl Default for RawAttachments {
    /// In base64, which is a third more, the total still fits the mails that most providers take (25 to 30 MB).
    fn default() -> Self {
        Self {
            fetch: true,
            bytes_max: 10_000_000,
            total_bytes_max: 18_000_000,
            timeout_s: 10.0,
            on_failure: OnFailure::Link,
            allow_private: false,
        }
    }
}

pub(super) fn configure(raw: RawAttachments, problems: &mut Problems<'_>) -> Attachments {
    for (key, value) in
        [("attachments.bytes_max", raw.bytes_max), ("attachments.total_bytes_max", raw.total_bytes_max)]
    {
        if value == 0 {
            problems.add(key, "must be at least 1; fetch = false switches fetching off");
        }
    }
    if !(0.05..=600.0).contains(&raw.timeout_s) {
        problems.add("attachments.timeout_s", "must be between 0.05 and 600");
    }
    Attachments {
        fetch: raw.fetch,
        bytes_max: raw.bytes_max,
        total_bytes_max: raw.total_bytes_max,
        timeout: Duration::try_from_secs_f64(raw.timeout_s).unwrap_or_default(),
        on_failure: raw.on_failure,
        allow_private: raw.allow_private,
    }
}
