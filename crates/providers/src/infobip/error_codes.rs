//! Infobip's words: of answers, of message statuses, and of errors in delivery reports
//! (https://www.infobip.com/docs/essentials/api-essentials/response-status-and-error-codes). Which errors may pass, a
//! report itself says (`error.permanent`); the meanings here are ours.

use crate::error_codes::{Class, ErrorCode, RETRY, entry};

/// In ascending order of the codes' text.
pub(super) const ERROR_CODES: &[ErrorCode] = &[
    entry("BAD_REQUEST", Class::Refuse, "the request is not valid"),
    entry("E401", Class::Halt, "the credentials are wrong"),
    entry("E403", Class::Forbidden, "the account may not do this"),
    entry("E429", Class::Throttle, "too many requests"),
    entry("EC_ABSENT_SUBSCRIBER", RETRY, "the handset is unreachable"),
    entry("EC_ABSENT_SUBSCRIBER_SM", RETRY, "the handset is unreachable"),
    entry("EC_ILLEGAL_EQUIPMENT", Class::Refuse, "the handset is barred"),
    entry("EC_ILLEGAL_SUBSCRIBER", Class::BadRecipient, "the recipient is barred"),
    entry("EC_SM_DELIVERY_FAILURE", RETRY, "the carrier could not deliver it"),
    entry("EC_SUBSCRIBER_BUSY_FOR_MT_SMS", RETRY, "the handset is busy"),
    entry("EC_SYSTEM_FAILURE", RETRY, "the carrier failed"),
    entry("EC_TELESERVICE_NOT_PROVISIONED", Class::BadRecipient, "the recipient cannot get text messages"),
    entry("EC_UNIDENTIFIED_SUBSCRIBER", RETRY, "the carrier does not find the recipient"),
    entry("EC_UNKNOWN_ERROR", Class::Refuse, "unknown error at the carrier"),
    entry("EC_UNKNOWN_SUBSCRIBER", Class::BadRecipient, "the recipient is unknown"),
    entry("EXPIRED_DLR_UNKNOWN", Class::Refuse, "the carrier never reported on it"),
    entry("EXPIRED_EXPIRED", Class::Refuse, "its validity period passed before it could be delivered"),
    entry("FORBIDDEN", Class::Forbidden, "the account may not do this"),
    entry("REJECTED_DESTINATION", Class::BadRecipient, "the recipient is blocked"),
    entry(
        "REJECTED_DESTINATION_NOT_REGISTERED",
        Class::Configuration,
        "a trial account sends only to itself",
    ),
    entry("REJECTED_DUPLICATE_MESSAGE_ID", Class::Unknown, "its id was used before"),
    entry("REJECTED_INVALID_DESTINATION", Class::BadRecipient, "the recipient is not a valid number"),
    entry("REJECTED_NETWORK", Class::Configuration, "the account may not send to the recipient's network"),
    entry("REJECTED_NOT_ENOUGH_CREDITS", Class::Halt, "the account's credit is used up"),
    entry("REJECTED_PREFIX_MISSING", Class::BadRecipient, "the recipient is not a valid number"),
    entry("REJECTED_SENDER", Class::Configuration, "the sender is blocked"),
    entry("REJECTED_SOURCE", Class::Configuration, "the account may not use this sender"),
    entry("REJECTED_SYSTEM_ERROR", RETRY, "internal error at Infobip"),
    entry("TOO_MANY_REQUESTS", Class::Throttle, "too many requests"),
    entry("UNAUTHORIZED", Class::Halt, "the credentials are wrong"),
    entry("UNDELIVERABLE_NOT_DELIVERED", Class::Refuse, "the carrier could not deliver it"),
    entry("UNDELIVERABLE_REJECTED_OPERATOR", Class::Refuse, "the carrier refused it"),
];

#[cfg(test)]
mod tests {
    #[test]
    fn every_code_is_found() {
        crate::error_codes::assert_ascending(super::ERROR_CODES);
    }
}
