//! The error codes of Bandwidth's receipts (https://dev.bandwidth.com/docs/messaging/errors). 4xxx are the message's or
//! the sender's fault, 5xxx the platform's or the carrier's, 9xxx are not known to be either's.

use crate::error_codes::{Class, ErrorCode, RETRY, entry};

/// In ascending order.
pub(super) const ERROR_CODES: &[ErrorCode] = &[
    entry("4001", Class::Refuse, "not allowed"),
    entry("4301", Class::Refuse, "the encoding is malformed"),
    entry("4302", Class::Configuration, "the sender is malformed"),
    entry("4303", Class::BadRecipient, "the recipient is malformed"),
    entry("4350", Class::BadRecipient, "the destination is malformed"),
    entry("4360", Class::Refuse, "expired before it could be sent"),
    entry("4401", Class::Refuse, "a routing loop was detected"),
    entry("4403", Class::Configuration, "the sender is forbidden"),
    entry("4404", Class::BadRecipient, "the recipient is forbidden"),
    entry("4405", Class::Configuration, "the sender is not allocated"),
    entry("4406", Class::BadRecipient, "the recipient is not allocated"),
    entry("4407", Class::Configuration, "the sender does not belong to the account"),
    entry("4408", Class::BadRecipient, "the recipient has no account"),
    entry("4409", Class::BadRecipient, "the recipient cannot take MMS"),
    entry("4410", Class::Content, "the media are unavailable"),
    entry("4411", Class::Content, "the media are too large"),
    entry("4412", Class::Content, "the media are of a type that cannot be sent"),
    entry("4420", Class::BadRecipient, "there is no route to the recipient"),
    entry("4421", Class::BadRecipient, "there is no route to the recipient"),
    entry("4431", Class::Configuration, "short codes are not enabled"),
    entry("4432", Class::Configuration, "the account may not send to the recipient's country"),
    entry("4433", Class::Configuration, "toll-free senders are not enabled"),
    entry("4434", Class::BadRecipient, "the recipient is forbidden"),
    entry("4435", Class::Content, "there are too many recipients"),
    entry("4451", Class::Configuration, "the user id is wrong"),
    entry("4452", Class::Configuration, "the application id is wrong"),
    entry("4470", Class::Content, "blocked as spam by Bandwidth"),
    entry("4481", Class::Configuration, "the sender is on a block list"),
    entry("4482", Class::BadRecipient, "the recipient is blocked"),
    entry("4492", Class::BadRecipient, "an emergency number"),
    entry("4493", Class::Configuration, "not authorised"),
    entry("4700", Class::Refuse, "the carrier does not carry this kind of message"),
    entry("4701", Class::Refuse, "the service is unavailable at the carrier"),
    entry("4702", Class::Refuse, "the recipient is unavailable"),
    entry("4711", Class::Content, "too large for the carrier"),
    entry("4712", Class::Content, "the carrier refuses the form of the media"),
    entry("4720", Class::BadRecipient, "the recipient is not a valid number"),
    entry("4721", Class::BadRecipient, "the recipient's number is deactivated"),
    entry("4730", Class::BadRecipient, "the carrier has no route to the recipient"),
    entry("4740", Class::Configuration, "the carrier refuses the sender"),
    entry("4750", Class::Refuse, "rejected by the carrier"),
    entry("4751", Class::Content, "too large for the carrier"),
    entry("4752", Class::Content, "the carrier refuses the form of the message"),
    entry("4770", Class::Content, "blocked as spam by the carrier"),
    entry("4771", Class::Content, "blocked by the carrier for a shortened URL"),
    entry("4772", Class::Refuse, "the carrier blocks the number"),
    entry("4773", Class::Configuration, "the campaign is not active"),
    entry("4774", Class::Configuration, "the sender is not provisioned at the carrier"),
    entry("4775", Class::OptedOut, "the recipient has opted out"),
    entry("4780", Class::Retry { wait_s: 86_400 }, "the carrier's daily limit is reached"),
    entry("4781", Class::Retry { wait_s: 600 }, "the carrier's rate limit is exceeded"),
    entry("4785", Class::Retry { wait_s: 600 }, "the carrier's volume limit is exceeded"),
    entry("4790", Class::Configuration, "the carrier refuses the short code"),
    entry("4791", Class::Configuration, "the short code is not provisioned at the carrier"),
    entry("4792", Class::Configuration, "the short code is not provisioned at the carrier"),
    entry("4793", Class::Configuration, "the short code is not provisioned at the carrier"),
    entry("4795", Class::Configuration, "the toll-free sender is not verified"),
    entry("5100", RETRY, "temporary failure at Bandwidth"),
    entry("5101", RETRY, "temporary failure at Bandwidth"),
    entry("5106", RETRY, "the tries were used up"),
    entry("5111", RETRY, "temporary failure at Bandwidth"),
    entry("5201", RETRY, "the tries were used up"),
    entry("5211", RETRY, "temporary failure at Bandwidth"),
    entry("5220", RETRY, "temporary failure at Bandwidth"),
    entry("5231", RETRY, "parts of the message are missing"),
    entry("5500", RETRY, "temporary failure at Bandwidth"),
    entry("5501", RETRY, "temporary failure at Bandwidth"),
    entry("5600", RETRY, "the carrier's queue is full"),
    entry("5610", RETRY, "failure at the carrier"),
    entry("5620", RETRY, "failure at the carrier"),
    entry("5630", RETRY, "the carrier did not acknowledge it"),
    entry("5650", RETRY, "failure at the carrier"),
    entry("5999", RETRY, "temporary failure at Bandwidth"),
    entry("9902", Class::Unknown, "the carrier sent no receipt in time"),
    entry("9999", Class::Unknown, "unknown error"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error_codes::assert_ascending;

    #[test]
    fn the_table_ascends_so_that_every_code_is_found() {
        assert_ascending(ERROR_CODES);
    }

    /// Bandwidth advises never to repeat what was refused with 4xxx; limits, which end, are the exception.
    #[test]
    fn of_what_was_refused_only_limits_are_temporary() {
        let temporary: Vec<&str> = ERROR_CODES
            .iter()
            .filter(|entry| entry.code < "5000" && matches!(entry.class, Class::Retry { .. }))
            .map(|entry| entry.code)
            .collect();
        assert_eq!(temporary, ["4780", "4781", "4785"]);
    }
}
