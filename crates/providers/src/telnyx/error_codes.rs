//! Telnyx's error codes (https://developers.telnyx.com/docs/messaging/messages/error-codes). Those of the 100xx say
//! in their `source` which field they are about; that decides between sender and recipient.

use crate::error_codes::{Class, ErrorCode, RETRY, entry};

/// In ascending order.
pub(super) const ERROR_CODES: &[ErrorCode] = &[
    entry("10001", Class::Refuse, "a number is not active"),
    entry("10002", Class::Refuse, "a number is not valid"),
    entry("10003", Class::Refuse, "a URL is not valid"),
    entry("10004", Class::Refuse, "a parameter is missing"),
    entry("10005", Class::Refuse, "something that the request names does not exist"),
    entry("10006", Class::Refuse, "an id in the request is not valid"),
    entry("10007", RETRY, "unexpected error at Telnyx"),
    entry("10008", RETRY, "Telnyx did not answer in time"),
    entry("10009", Class::Halt, "the API key is wrong"),
    entry("10010", Class::Forbidden, "the API key may not do this"),
    entry("10011", Class::Throttle, "too many requests"),
    entry("10014", Class::Refuse, "the request is not valid"),
    entry("10015", Class::Refuse, "the request is not valid"),
    entry("10016", Class::Refuse, "a number is not in E.164"),
    entry("10039", Class::Configuration, "the account sends only to destinations that were verified before"),
    entry("40001", Class::BadRecipient, "not routable: a landline, or a carrier that cannot be reached"),
    entry("40002", Class::Content, "blocked as spam for now"),
    entry("40003", Class::Content, "blocked as spam for good"),
    entry("40004", Class::Retry { wait_s: 3600 }, "rejected by the destination"),
    entry("40005", Class::Refuse, "expired before it could be sent"),
    entry("40006", RETRY, "the recipient's carrier is unavailable"),
    entry("40008", Class::Refuse, "undeliverable"),
    entry("40009", Class::Content, "the body cannot be sent"),
    entry("40010", Class::Configuration, "the sender is not registered for 10DLC"),
    entry("40011", Class::Retry { wait_s: 60 }, "the sender's or the carrier's rate limit is exceeded"),
    entry("40300", Class::OptedOut, "the recipient has opted out"),
    entry(
        "40305",
        Class::Configuration,
        "the sender is not valid, or does not belong to the messaging profile",
    ),
    entry("40310", Class::BadRecipient, "the recipient is not a valid number"),
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
