//! Sinch's codes: numbers in delivery reports
//! (https://developers.sinch.com/docs/sms/api-reference/sms/delivery-reports), words in answers
//! (https://developers.sinch.com/docs/sms/api-reference/status-codes). The words here are ours.

use crate::error_codes::{Class, ErrorCode, RETRY, entry};

/// In ascending order.
pub(super) const ERROR_CODES: &[ErrorCode] = &[
    entry("402", Class::BadRecipient, "the recipient cannot be routed to"),
    entry("403", RETRY, "internal error at Sinch"),
    entry("404", Class::Retry { wait_s: 300 }, "delivery failed for now"),
    entry("405", Class::Content, "a parameter of the text has no value"),
    entry("406", Class::Refuse, "it expired before it could be sent"),
    entry("407", Class::Refuse, "canceled"),
    entry("408", Class::Refuse, "the carrier refused it"),
    entry("410", Class::Configuration, "there is no sender"),
    entry("411", Class::Content, "the text has too many parts"),
    entry("412", Class::Configuration, "the account may not send to the recipient's region"),
    entry("413", Class::Halt, "the account is blocked"),
    entry("414", Class::Content, "the attachment's URL is not valid"),
    entry("415", Class::Refuse, "the carrier refused the MMS"),
    entry("416", Class::Refuse, "the carrier does not support MMS"),
    entry("417", Class::Refuse, "the recipient cannot be reached by MMS"),
    entry("418", Class::Content, "the attachment's content is not recognised"),
    entry("illegal_number_type", Class::BadRecipient, "the recipient is a number of a kind that gets no SMS"),
    entry(
        "missing_callback_url",
        Class::Configuration,
        "the service plan has no callback URL; enter the webhook there",
    ),
    entry("syntax_constraint_violation", Class::Refuse, "a field's value is not allowed"),
    entry("syntax_invalid_json", Class::Refuse, "the request is not understood"),
    entry("syntax_invalid_parameter_format", Class::Refuse, "a field's format is not valid"),
    entry("unauthorized", Class::Forbidden, "the account may not send this message"),
    entry("unknown_campaign", Class::Configuration, "no such campaign"),
    entry("unknown_group", Class::BadRecipient, "no such recipient"),
];

#[cfg(test)]
mod tests {
    #[test]
    fn every_code_is_found() {
        crate::error_codes::assert_ascending(super::ERROR_CODES);
    }
}
