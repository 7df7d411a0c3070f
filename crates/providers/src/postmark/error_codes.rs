//! Postmark's `ErrorCode`s (https://postmarkapp.com/developer/api/overview#error-codes). They are not HTTP statuses,
//! though some have the number of one.

use model::Reason;

use crate::error_codes::{Class, ErrorCode, RETRY, entry};

/// In ascending order of their text.
pub(super) const ERROR_CODES: &[ErrorCode] = &[
    entry("10", Class::Halt, "the server token is wrong"),
    entry("100", RETRY, "Postmark is under maintenance"),
    entry("300", Class::Refuse, "the mail is not valid"),
    entry("400", Class::Configuration, "the sender has no sender signature"),
    entry("401", Class::Configuration, "the sender signature is not confirmed"),
    entry("402", Class::Refuse, "the request is no JSON"),
    entry("403", Class::Refuse, "the request is not the JSON that is expected"),
    entry("405", Class::Halt, "the account has no credits left"),
    entry(
        "406",
        Class::BadRecipient,
        "the recipient is inactive: the address bounced, complained or unsubscribed",
    ),
    entry("409", Class::Refuse, "the request is not said to be JSON"),
    entry("410", Class::Refuse, "too many messages in one request"),
    entry("411", Class::Content, "an attachment is of a forbidden type"),
    entry("412", Class::Forbidden, "the account is not approved yet"),
    entry("413", Class::Halt, "the account may not send"),
    entry("429", Class::Throttle, "too many requests"),
    entry("451", Class::Refuse, "the mail is not valid"),
];

/// What codes mean that have no line of their own.
pub(super) fn range(code: u64) -> (Reason, &'static str) {
    match code {
        500..=599 => (Reason::Configuration, "the sender's domain or signature is not in order"),
        1200..=1299 => (Reason::Configuration, "check message_stream"),
        _ => (Reason::Rejected, "refused by Postmark"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn codes_ascend() {
        crate::error_codes::assert_ascending(super::ERROR_CODES);
    }
}
