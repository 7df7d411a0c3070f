//! The error codes of the Messages API (https://developer.vonage.com/en/messages/guides/error-codes).

use crate::error_codes::{Class, ErrorCode, RETRY, entry};

pub(super) const ALREADY_SENT: &str = "1320";

/// In ascending order.
pub(super) const ERROR_CODES: &[ErrorCode] = &[
    entry("1000", Class::Throttle, "too many requests"),
    entry("1010", Class::Refuse, "a parameter is missing"),
    entry("1020", Class::Refuse, "a parameter is not valid"),
    entry("1021", Class::Refuse, "a tag is not valid"),
    entry("1022", Class::Refuse, "a template is not valid"),
    entry("1030", RETRY, "internal error at Vonage"),
    entry("1040", Class::Content, "the message is not valid"),
    entry("1050", Class::BadRecipient, "the recipient is barred"),
    entry("1060", Class::Halt, "the account is barred"),
    entry("1070", Class::Halt, "the account's credit or quota is used up"),
    entry("1080", Class::Forbidden, "the account may not use this API"),
    entry("1090", Class::Content, "the message is too long"),
    entry("1100", RETRY, "communication failed"),
    entry("1120", Class::Configuration, "the sender is not allowed"),
    entry("1130", Class::Refuse, "the time to live is not valid"),
    entry("1140", Class::Forbidden, "the account may not do this"),
    entry("1150", Class::Refuse, "the message class is not valid"),
    entry("1160", Class::Configuration, "a trial account sends only to recipients on its list"),
    entry("1170", Class::BadRecipient, "the recipient is not a valid number"),
    entry("1180", Class::Retry { wait_s: 900 }, "the recipient is absent for now"),
    entry("1190", Class::BadRecipient, "the recipient is absent for good"),
    entry("1200", Class::BadRecipient, "the recipient's number was ported"),
    entry("1210", Class::Content, "filtered as spam"),
    entry("1220", Class::Retry { wait_s: 300 }, "the handset is busy"),
    entry("1230", Class::Retry { wait_s: 300 }, "network error at the carrier"),
    entry("1240", Class::OptedOut, "the recipient has opted out"),
    entry("1241", Class::Retry { wait_s: 60 }, "too many messages to this number"),
    entry("1250", Class::BadRecipient, "the recipient cannot be routed"),
    entry("1260", Class::BadRecipient, "the recipient cannot be reached"),
    entry("1270", Class::Refuse, "the recipient's age is not confirmed"),
    entry("1280", Class::Refuse, "blocked by the carrier"),
    entry("1290", Class::Refuse, "the recipient's prepaid funds are used up"),
    entry("1300", Class::BadRecipient, "the recipient is not on this network"),
    entry("1310", Class::BadRecipient, "the recipient's device cannot take it"),
    entry(ALREADY_SENT, Class::Unknown, "the message was sent already"),
    entry("1330", Class::Refuse, "unknown error at the carrier"),
    entry("1331", RETRY, "error at the carrier"),
    entry("1340", Class::Refuse, "outside of the allowed time"),
    entry("1350", Class::Configuration, "a fee is not paid"),
    entry("1360", Class::Refuse, "its time to live passed before it could be delivered"),
    entry("1370", Class::Configuration, "a token expired"),
    entry("1380", Class::Content, "an attachment could not be fetched"),
    entry("1381", Class::Content, "an attachment is too large"),
    entry("1382", Class::Content, "an attachment is of a type that cannot be sent"),
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
