//! Twilio's error codes (https://www.twilio.com/docs/api/errors). The words are ours: Twilio's own messages quote phone
//! numbers, and must not be passed on.

use crate::error_codes::{Class, ErrorCode, RETRY, entry};

/// In ascending order.
pub(super) const ERROR_CODES: &[ErrorCode] = &[
    entry("10001", Class::Halt, "the account is not active"),
    entry("14107", Class::Retry { wait_s: 300 }, "the sender's rate limit is exceeded"),
    entry("20003", Class::Halt, "the credentials are wrong"),
    entry("20005", Class::Halt, "the account is not active"),
    entry("20006", Class::Forbidden, "access is denied to these credentials"),
    entry("20403", Class::Forbidden, "the account may not do this"),
    entry("20404", Class::Configuration, "no such account; check account_sid"),
    entry("20429", Class::Throttle, "too many requests"),
    entry("20500", RETRY, "internal error at Twilio"),
    entry("20503", RETRY, "Twilio is unavailable"),
    entry("21205", Class::Configuration, "the callback address is not a valid URL; check APP_PUBLIC_URL"),
    entry("21210", Class::Configuration, "the sender is not verified for this account"),
    entry("21211", Class::BadRecipient, "the recipient is not a valid number"),
    entry("21212", Class::Configuration, "the sender is not a valid number"),
    entry("21219", Class::Configuration, "a trial account sends only to verified recipients"),
    entry("21401", Class::BadRecipient, "the recipient is not a valid number"),
    entry("21408", Class::Configuration, "the account may not send to the recipient's region"),
    entry("21421", Class::BadRecipient, "the recipient is not a valid number"),
    entry("21601", Class::Configuration, "the sender cannot send text messages"),
    entry("21602", Class::Content, "the message is empty"),
    entry("21603", Class::Configuration, "the sender is missing"),
    entry("21604", Class::BadRecipient, "the recipient is missing"),
    entry("21606", Class::Configuration, "the sender does not belong to the account or cannot send this"),
    entry("21607", Class::Configuration, "the sender does not belong to the account"),
    entry("21608", Class::Configuration, "a trial account sends only to verified recipients"),
    entry("21609", Class::Configuration, "the callback address is not a valid URL; check APP_PUBLIC_URL"),
    entry("21610", Class::OptedOut, "the recipient has opted out"),
    entry("21611", Class::Retry { wait_s: 300 }, "the sender's queue is full"),
    entry("21612", Class::BadRecipient, "the recipient cannot be reached from this sender"),
    entry("21614", Class::BadRecipient, "the recipient is not a mobile number"),
    entry("21616", Class::Configuration, "the sender matches several numbers"),
    entry("21617", Class::Content, "the body is longer than 1600 characters"),
    entry("21618", Class::Content, "the body cannot be sent"),
    entry("21619", Class::Content, "the message is empty"),
    entry("21620", Class::Content, "an attachment is not a valid URL"),
    entry("21623", Class::Content, "there are too many attachments"),
    entry("21624", Class::Configuration, "the validity period is not valid"),
    entry("21654", Class::Content, "the content template cannot be found"),
    entry("21655", Class::Content, "the content template is not valid"),
    entry("21656", Class::Content, "the content variables are not valid"),
    entry("21659", Class::Configuration, "the sender is not a number of Twilio"),
    entry("21660", Class::Configuration, "the sender does not belong to the account"),
    entry("21661", Class::Configuration, "the sender cannot send text messages"),
    entry("21701", Class::Configuration, "no such messaging service; check messaging_service_sid"),
    entry("21702", Class::Configuration, "the messaging service refuses the sender"),
    entry("21703", Class::Configuration, "the messaging service has no senders"),
    entry("21704", Class::Configuration, "the messaging service has no senders"),
    entry("21705", Class::Configuration, "the messaging service is not valid"),
    entry("30001", RETRY, "the queue overflowed"),
    entry("30002", Class::Halt, "the account is suspended"),
    entry("30003", RETRY, "the handset is unreachable"),
    entry("30004", Class::Refuse, "blocked by the carrier or the recipient"),
    entry("30005", Class::BadRecipient, "the handset is unknown"),
    entry("30006", Class::BadRecipient, "a landline, or a carrier that cannot be reached"),
    entry("30007", Class::Content, "filtered as spam"),
    entry("30008", RETRY, "unknown error at the carrier"),
    entry("30009", Class::Refuse, "a segment is missing"),
    entry("30011", Class::Refuse, "MMS is not supported by the recipient's carrier"),
    entry("30017", RETRY, "the carrier is congested"),
    entry("30018", Class::Configuration, "the sender is not registered"),
    entry("30019", Class::Content, "too large for the carrier"),
    entry("30022", RETRY, "the campaign's rate limit is exceeded"),
    entry("30023", Class::Retry { wait_s: 3600 }, "the campaign's daily limit is reached"),
    entry("30024", Class::Configuration, "the sender is not registered with the carrier"),
    entry("30027", Class::Retry { wait_s: 3600 }, "the campaign's daily limit is reached"),
    entry("30032", Class::Configuration, "the toll-free sender is not verified"),
    entry("30034", Class::Configuration, "the sender is not registered for a campaign"),
    entry("30036", Class::Refuse, "its validity period passed before it could be sent"),
    entry("30410", RETRY, "the carrier did not answer in time"),
    entry("35111", Class::Configuration, "the time of sending is missing"),
    entry("35114", Class::Configuration, "the time of sending is not valid"),
    entry("35115", Class::Configuration, "the time of sending is not valid"),
    entry("35117", Class::Configuration, "the time of sending is too far away"),
    entry("63001", Class::Configuration, "the channel refuses the credentials"),
    entry("63002", Class::Configuration, "the channel does not find the sender"),
    entry("63003", Class::BadRecipient, "the channel does not find the recipient"),
    entry("63005", Class::Content, "the channel refuses the content"),
    entry("63006", Class::Content, "the channel refuses the content's form"),
    entry("63007", Class::Configuration, "the channel does not find the sender"),
    entry("63008", Class::Configuration, "the channel is configured wrongly"),
    entry("63009", RETRY, "the channel's provider reports an error"),
    entry("63010", RETRY, "internal error of the channel"),
    entry("63012", RETRY, "internal error of the channel's provider"),
    entry("63013", Class::Content, "against the channel's policy"),
    entry("63014", Class::Refuse, "blocked by the recipient"),
    entry("63015", Class::Configuration, "the recipient has not joined the sandbox"),
    entry("63016", Class::Content, "outside the window for free text; a template is needed"),
    entry("63017", RETRY, "the channel's rate limit is exceeded"),
    entry("63018", RETRY, "the channel's rate limit is exceeded"),
    entry("63019", Class::Content, "an attachment could not be fetched"),
    entry("63020", Class::Configuration, "the channel's account is not ready"),
    entry("63021", Class::Content, "the channel refuses the content"),
    entry("63024", Class::BadRecipient, "the channel refuses the recipient"),
    entry("63027", Class::Content, "the template does not exist in this language"),
    entry("63028", Class::Content, "the template's variables do not fit"),
    entry("63029", Class::Content, "an attachment could not be fetched"),
    entry("63030", Class::Content, "a parameter is not supported"),
    entry("63031", Class::Content, "sender and recipient are the same"),
    entry("63032", Class::Refuse, "limited by the channel for this recipient"),
    entry("63033", Class::Refuse, "blocked by the recipient"),
    entry("63036", Class::BadRecipient, "the recipient cannot be reached on this channel"),
    entry("63037", Class::Content, "an attachment could not be handed on"),
    entry("63038", Class::Retry { wait_s: 3600 }, "the account's daily limit is reached"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error_codes::assert_ascending;

    #[test]
    fn the_table_ascends_so_that_every_code_is_found() {
        assert_ascending(ERROR_CODES);
    }

    /// The codes that may be sent once more, as in the asynchronous table; and daily limits, which end.
    #[test]
    fn exactly_these_undelivered_codes_are_temporary() {
        let temporary: Vec<&str> = ERROR_CODES
            .iter()
            .filter(|entry| {
                entry.code >= "30000" && matches!(entry.class, Class::Retry { .. } | Class::Throttle)
            })
            .map(|entry| entry.code)
            .collect();
        let expected = [
            "30001", "30003", "30008", "30017", "30022", "30023", "30027", "30410", "63009", "63010",
            "63012", "63017", "63018", "63038",
        ];
        assert_eq!(temporary, expected);
    }
}
