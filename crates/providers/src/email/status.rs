//! Enhanced status codes (RFC 3463; registry of RFC 5248): what a mail server's refusal means, whether it comes as a
//! reply, in a delivery report, or in a provider's event.

use crate::Class;
use crate::error_codes::{ErrorCode, RETRY, entry};
use crate::inbound_text::code_word;

/// Enhanced codes, and the reply codes of RFC 5321 and RFC 4954 that mean one thing wherever they come.
pub(crate) const TABLE: &[ErrorCode] = &[
    entry("4.2.2", RETRY, "the mailbox is full"),
    entry("4.3.2", Class::Throttle, "the mail server takes no mail now"),
    entry("4.4.7", RETRY, "the mail server gave up after many tries"),
    entry("4.7.28", Class::Throttle, "the mail server takes no more mail from this sender now"),
    entry("421", Class::Throttle, "the mail server is closing the connection"),
    entry("5.1.1", Class::BadRecipient, "there is no such mailbox"),
    entry("5.1.10", Class::BadRecipient, "the recipient's domain takes no mail"),
    entry("5.1.2", Class::BadRecipient, "the recipient's domain does not exist"),
    entry("5.1.3", Class::BadRecipient, "the recipient's address is malformed"),
    entry("5.1.6", Class::BadRecipient, "the mailbox has moved"),
    entry("5.1.7", Class::Configuration, "the sender's address is malformed"),
    entry("5.1.8", Class::Configuration, "the sender's domain does not exist"),
    entry("5.2.1", Class::BadRecipient, "the mailbox is disabled"),
    entry("5.2.2", Class::Refuse, "the mailbox is full"),
    entry("5.2.3", Class::Content, "the mail is too long for the mailbox"),
    entry("5.3.4", Class::Content, "the mail is too long for the mail server"),
    entry("5.6.1", Class::Content, "the mail server does not take this media type"),
    entry("5.6.3", Class::Content, "the mail server cannot convert the mail"),
    entry("5.7.11", Class::Halt, "the mail server demands encryption for this way to authenticate"),
    entry("5.7.23", Class::Configuration, "SPF does not allow this sender"),
    entry("5.7.25", Class::Configuration, "the sending host has no valid reverse DNS entry"),
    entry("5.7.26", Class::Configuration, "the mail fails SPF, DKIM or DMARC"),
    entry("5.7.27", Class::Configuration, "the sender's domain takes no mail"),
    entry("5.7.3", Class::Forbidden, "authentication failed"),
    entry("5.7.8", Class::Halt, "user name or password is wrong"),
    entry("5.7.9", Class::Halt, "the mail server demands another way to authenticate"),
    entry("523", Class::Content, "the mail is too long"),
    entry("530", Class::Halt, "the mail server demands authentication or TLS"),
    entry("534", Class::Halt, "the mail server demands another way to authenticate"),
    entry("535", Class::Halt, "user name or password is wrong"),
    entry("538", Class::Halt, "the mail server demands encryption for this way to authenticate"),
];

/// What the code says, in our words.
pub(crate) fn meaning(status: &str) -> &'static str {
    if let Ok(at) = TABLE.binary_search_by_key(&status, |entry| entry.code) {
        return TABLE[at].meaning;
    }
    match status.split('.').nth(1) {
        Some("1") => "the address was refused",
        Some("2") => "the mailbox was refused",
        Some("3") => "the receiving mail system refused the mail",
        Some("4") => "the mail could not be routed",
        Some("5") => "the mail servers did not understand each other",
        Some("6") => "the content was refused",
        Some("7") => "the mail was refused by a policy",
        _ => "the mail was refused",
    }
}

/// The enhanced code that a text begins with.
pub(crate) fn leading(text: &str) -> Option<String> {
    let word = text.split_whitespace().next()?;
    let mut numbers = word.split('.');
    let class = numbers.next().is_some_and(|class| matches!(class, "2" | "4" | "5"));
    let mut number = || {
        numbers.next().is_some_and(|n| (1..=3).contains(&n.len()) && n.bytes().all(|b| b.is_ascii_digit()))
    };
    let is_status = class && number() && number() && numbers.next().is_none();
    code_word(word).filter(|_| is_status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error_codes::assert_ascending;

    #[test]
    fn every_code_is_found() {
        assert_ascending(TABLE);
        assert_eq!(meaning("5.1.10"), "the recipient's domain takes no mail");
        assert_eq!(meaning("5.7.1"), "the mail was refused by a policy");
        assert_eq!(meaning("5"), "the mail was refused");
    }

    #[test]
    fn a_status_is_three_numbers() {
        assert_eq!(leading("5.1.1 no such user").as_deref(), Some("5.1.1"));
        assert_eq!(leading(" 4.7.28").as_deref(), Some("4.7.28"));
        for text in ["", "550", "3.1.1", "5.1", "5.1.1.1", "5.1.x", "5..1", "5.1.1000", "#5.1.1"] {
            assert_eq!(leading(text), None, "{text}");
        }
    }
}
