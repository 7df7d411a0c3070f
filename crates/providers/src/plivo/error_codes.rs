//! The error codes of Plivo's receipts (https://www.plivo.com/docs/messaging/troubleshooting/error-codes).

use crate::error_codes::{Class, ErrorCode, RETRY, entry};

/// In ascending order of their text.
pub(super) const ERROR_CODES: &[ErrorCode] = &[
    entry("10", Class::Content, "the message is not valid"),
    entry("100", Class::Refuse, "prohibited by the carrier"),
    entry("1000", Class::Refuse, "unknown error"),
    entry("110", Class::Content, "the message is too long"),
    entry("160", Class::Configuration, "the sender's brand or campaign is not in order"),
    entry("20", RETRY, "network error"),
    entry("200", Class::OptedOut, "the recipient has opted out"),
    entry("30", Class::Content, "filtered as spam"),
    entry("300", RETRY, "could not be dispatched"),
    entry("40", Class::Configuration, "the sender is not a valid number"),
    entry("420", Class::Refuse, "expired before it could be delivered"),
    entry("450", Class::Configuration, "the account may not send to the recipient's country"),
    entry("50", Class::BadRecipient, "the recipient is not a valid number"),
    entry("60", Class::Refuse, "a loop was detected"),
    entry("70", Class::BadRecipient, "the recipient is unavailable for good"),
    entry("80", RETRY, "the recipient is unavailable for now"),
    entry("90", Class::Refuse, "there is no route to the recipient"),
    entry("900", Class::Halt, "the account's credit is used up"),
    entry("950", Class::Configuration, "against Plivo's policy for this sender or country"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error_codes::assert_ascending;

    #[test]
    fn the_table_ascends_so_that_every_code_is_found() {
        assert_ascending(ERROR_CODES);
    }
}
