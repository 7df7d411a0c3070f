//! MessageBird's codes: of answers (https://developers.messagebird.com/api/#api-errors), and of status reports
//! (https://developers.messagebird.com/api/sms-messaging/#sms-errors). The words here are ours.

use crate::error_codes::{Class, ErrorCode, RETRY, entry};

/// In ascending order of the codes' text.
pub(super) const ERROR_CODES: &[ErrorCode] = &[
    entry("10", Class::Refuse, "a field is not valid"),
    entry("103", Class::OptedOut, "the recipient has opted out"),
    entry("2", Class::Halt, "the credentials are wrong"),
    entry("20", Class::Configuration, "not found; check base_url and the account"),
    entry("21", Class::Refuse, "the request is not understood"),
    entry("25", Class::Halt, "the account's credit is used up"),
    entry("9", Class::Refuse, "a field is missing"),
    entry("98", RETRY, "internal error at MessageBird"),
    entry("99", RETRY, "internal error at MessageBird"),
];

#[cfg(test)]
mod tests {
    #[test]
    fn every_code_is_found() {
        crate::error_codes::assert_ascending(super::ERROR_CODES);
    }
}
