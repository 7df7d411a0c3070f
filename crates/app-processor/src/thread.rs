//! What a mail answers and refers to (RFC 5322 section 3.6.4), from the mails before it.

use app_db::threads::Mail;

/// Of the references, the newest so many: mail programs need few, and a header field has its limits.
const REFERENCES_MAX: usize = 20;

/// Both empty for a mail that answers none that could be referred to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Thread {
    pub in_reply_to: Option<String>,
    /// Oldest first, the last of them `in_reply_to`.
    pub references: Vec<String>,
}

impl Thread {
    /// The conversation's last mail that came in is what is answered; ours after it are not referred to.
    pub(crate) fn after(before: &[Mail]) -> Self {
        let mut references = Vec::new();
        let mut until_answered = 0;
        for mail in before {
            let message_id = match mail {
                Mail::Inbound { provider_message_id } => providers::message_id_in(provider_message_id),
                Mail::Outbound { message_id, source } => Some(providers::message_id_of(*message_id, source)),
            };
            let Some(message_id) = message_id.filter(|id| !references.contains(id)) else { continue };
            references.push(message_id);
            if matches!(mail, Mail::Inbound { .. }) {
                until_answered = references.len();
            }
        }
        references.truncate(until_answered);
        references.drain(..until_answered.saturating_sub(REFERENCES_MAX));
        Self { in_reply_to: references.last().cloned(), references }
    }
}

#[cfg(test)]
mod tests {
    use model::Endpoint;
    use uuid::Uuid;

    use super::*;

    fn inbound(id: &str) -> Mail {
        Mail::Inbound { provider_message_id: id.to_owned() }
    }

    fn outbound() -> Mail {
        Mail::Outbound { message_id: Uuid::nil(), source: Endpoint::stored("app@example.com") }
    }

    const OURS: &str = "<00000000-0000-0000-0000-000000000000@example.com>";

    fn references(before: &[Mail]) -> Vec<String> {
        let thread = Thread::after(before);
        assert_eq!(thread.in_reply_to.as_ref(), thread.references.last());
        thread.references
    }

    #[test]
    fn references_end_with_what_is_answered() {
        let before = [outbound(), inbound("a@x"), inbound("a@x"), inbound("no-id"), outbound()];
        assert_eq!(references(&before), [OURS, "<a@x>"]);
    }

    #[test]
    fn a_mail_that_answers_none_refers_to_none() {
        assert_eq!(references(&[]), [""; 0]);
        assert_eq!(references(&[outbound(), inbound("no-id")]), [""; 0]);
    }

    #[test]
    fn the_newest_twenty_are_referred_to() {
        let before: Vec<Mail> = (0..30).map(|number| inbound(&format!("{number}@x"))).collect();
        let references = references(&before);
        assert_eq!(
            (references.len(), references[0].as_str(), references[19].as_str()),
            (20, "<10@x>", "<29@x>")
        );
    }
}
