//! The Cloud API's error codes (https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes). They come
//! as answers and in receipts. The words are ours: Meta's may quote numbers.

use serde_json::Value;

use crate::error_codes::{Class, ErrorCode, ErrorCodes, Known, RETRY, entry};
use crate::json_field::number;

/// `error.code`, or that of a receipt's `errors[0]`: a number; a text of digits is understood as well.
pub(super) fn code_of(error: &Value) -> Option<String> {
    number(&error["code"])
}

/// What is known of a code. Those from 200 to 299 are permissions, and mean the same.
pub(super) fn find<'a>(codes: &'a ErrorCodes, code: &'a str) -> Option<Known<'a>> {
    let is_permission = || code.len() == 3 && code.starts_with('2');
    codes.find(code).or_else(|| {
        let permission = is_permission().then(|| codes.find("200")).flatten()?;
        Some(Known { code, ..permission })
    })
}

/// In ascending order of the codes' text.
pub(super) const ERROR_CODES: &[ErrorCode] = &[
    entry("0", Class::Halt, "the access token cannot be used"),
    entry("1", RETRY, "unknown error at Meta"),
    entry("10", Class::Forbidden, "a permission is missing"),
    entry("100", Class::Refuse, "a parameter is not valid; check phone_numbers and the recipient"),
    entry("130429", Class::Throttle, "the number's throughput is exceeded"),
    entry("130472", Class::Refuse, "not delivered: the recipient is part of an experiment"),
    entry("130497", Class::Configuration, "the account may not send to the recipient's country"),
    entry("131000", RETRY, "unknown error at Meta"),
    entry("131005", Class::Forbidden, "a permission is missing"),
    entry("131008", Class::Content, "a parameter is missing"),
    entry("131009", Class::Content, "a parameter's value is not valid"),
    entry("131014", Class::Content, "the attachment could not be fetched"),
    entry("131016", RETRY, "WhatsApp is unavailable"),
    entry("131021", Class::BadRecipient, "sender and recipient are the same"),
    entry("131026", Class::BadRecipient, "the recipient cannot be reached on WhatsApp"),
    entry("131030", Class::Configuration, "the recipient is not on the test number's list"),
    entry("131031", Class::Halt, "the account is locked"),
    entry("131037", Class::Configuration, "the sender's display name is not approved"),
    entry("131042", Class::Halt, "billing: check the account's payment method"),
    entry("131045", Class::Configuration, "the sender is not registered"),
    entry("131047", Class::Content, "more than 24 hours since the recipient wrote; a template is needed"),
    entry("131048", Class::Retry { wait_s: 900 }, "limited: too many messages were reported as spam"),
    entry("131049", Class::Refuse, "not delivered, to keep the recipient's engagement"),
    entry("131050", Class::OptedOut, "the recipient has stopped marketing messages"),
    entry("131051", Class::Content, "the type of message is not supported"),
    entry("131052", Class::Content, "the attachment could not be downloaded"),
    entry("131053", RETRY, "the attachment could not be uploaded"),
    entry("131056", Class::Retry { wait_s: 10 }, "too many messages to this recipient in a short time"),
    entry("132000", Class::Content, "the template's parameters do not fit"),
    entry("132001", Class::Content, "the template does not exist in this language"),
    entry("132005", Class::Content, "the template's text is too long"),
    entry("132007", Class::Content, "the template is against the policy"),
    entry("132012", Class::Content, "the template's parameters do not fit"),
    entry("132015", Class::Content, "the template is paused"),
    entry("132016", Class::Content, "the template is disabled"),
    entry("132068", Class::Content, "the template's flow is blocked"),
    entry("132069", Class::Content, "the template's flow is throttled"),
    entry("133004", RETRY, "WhatsApp is unavailable"),
    entry("133010", Class::Configuration, "the sender is not registered"),
    entry("133016", Class::Retry { wait_s: 900 }, "the number was registered too often"),
    entry("135000", Class::Content, "a parameter of the message is not valid"),
    entry("190", Class::Halt, "the access token has expired or was revoked"),
    entry("2", RETRY, "Meta is unavailable"),
    entry("200", Class::Forbidden, "a permission is missing"),
    entry("3", Class::Forbidden, "a permission is missing"),
    entry("33", Class::Forbidden, "the sender's number was deleted"),
    entry("368", Class::Halt, "the account is blocked for breaking a policy"),
    entry("4", Class::Throttle, "too many calls by the app"),
    entry("80007", Class::Throttle, "too many calls for the account"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::error_codes::assert_ascending;

    #[test]
    fn the_table_ascends_so_that_every_code_is_found() {
        assert_ascending(ERROR_CODES);
    }

    #[test]
    fn permissions_are_a_range() {
        let codes = ErrorCodes::new(ERROR_CODES, &BTreeMap::new());
        assert_eq!(
            find(&codes, "294").map(|known| (known.code, known.class)),
            Some(("294", Class::Forbidden))
        );
        assert_eq!(find(&codes, "2500"), None);
        assert_eq!(find(&codes, "2").map(|known| known.class), Some(RETRY));
    }
}
