//! What a server's reply means (RFC 5321 section 4.2, RFC 3463). Which command it answers says whose fault it is.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{Outcome, Reason};

use crate::email::status;
use crate::error_codes::ErrorCodes;
use crate::inbound_text::code_word;
use crate::{Class, SmtpReply, SmtpStage};

/// Greylisting, the usual reason for a 4xx, takes minutes.
const RETRY_WAIT: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Replies {
    codes: ErrorCodes,
    /// What the operator says alone: before a mail is named, a reply is about the server.
    overrides: ErrorCodes,
}

impl Replies {
    pub(super) fn new(overrides: &BTreeMap<String, Class>) -> Self {
        Self { codes: ErrorCodes::new(status::TABLE, overrides), overrides: ErrorCodes::new(&[], overrides) }
    }

    pub(super) fn outcome(&self, reply: &SmtpReply) -> Outcome {
        match (reply.code / 100, reply.stage) {
            (2, SmtpStage::Data) => return Outcome::Accepted { provider_message_id: queue_id(&reply.text) },
            (4 | 5, _) => {}
            _ => {
                return Outcome::Uncertain {
                    reason: Reason::UnreadableAnswer,
                    detail: format!("reply {}, which means nothing here", reply.code),
                };
            }
        }
        let code = reply.code.to_string();
        // One of another class than its reply is nothing to go by.
        let enhanced =
            status::leading(&reply.text).filter(|enhanced| enhanced.as_bytes()[0] == code.as_bytes()[0]);
        let codes = match reply.stage {
            SmtpStage::Connect | SmtpStage::Auth => &self.overrides,
            _ => &self.codes,
        };
        let found = [enhanced.as_deref(), Some(code.as_str())]
            .into_iter()
            .flatten()
            .find_map(|code| codes.find(code));
        // Said of a sender, there is no such mailbox is the account's matter.
        let about_the_sender = reply.stage == SmtpStage::MailFrom;
        if let Some(known) = found.filter(|known| !about_the_sender || known.class != Class::BadRecipient) {
            let outcome = known.outcome((reply.code < 500).then_some(RETRY_WAIT));
            let is_about_one_mail = matches!(reply.stage, SmtpStage::RcptTo | SmtpStage::Data);
            let is_certain = self.overrides.is_configured(known.code);
            return if is_about_one_mail && !is_certain { about_one_mail(outcome) } else { outcome };
        }
        by_stage(reply, enhanced.as_deref(), enhanced.as_ref().unwrap_or(&code))
    }
}

/// Once a recipient is named, a server may demand of one mail what it does not demand of others.
fn about_one_mail(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Halted { provider_code, detail } => Outcome::Forbidden { provider_code, detail },
        other => other,
    }
}

fn by_stage(reply: &SmtpReply, enhanced: Option<&str>, code: &str) -> Outcome {
    let provider_code = Some(code.to_owned());
    let subject = enhanced.and_then(|enhanced| enhanced.split('.').nth(1)).unwrap_or_default();
    let rejected = |reason, detail: &str| Outcome::Rejected {
        reason,
        provider_code: provider_code.clone(),
        detail: format!("reply {}: {detail}", reply.code),
    };
    match (reply.code, reply.stage) {
        // Nothing was said about the mail yet.
        (400..=499, SmtpStage::Connect | SmtpStage::Auth) => {
            Outcome::Throttled { retry_after: Some(RETRY_WAIT), provider_code }
        }
        (_, SmtpStage::Connect) => Outcome::Halted {
            provider_code,
            detail: format!("reply {}: the mail server does not speak to us", reply.code),
        },
        (_, SmtpStage::Auth) => Outcome::Halted {
            provider_code,
            detail: format!("reply {}: check username and password", reply.code),
        },
        (400..=499, _) => Outcome::Unavailable {
            retry_after: Some(RETRY_WAIT),
            provider_code,
            detail: format!("reply {}: the mail server asks to try again later", reply.code),
        },
        (552, SmtpStage::MailFrom) => rejected(Reason::ContentRejected, "the mail is too long"),
        (_, SmtpStage::MailFrom) => rejected(Reason::Configuration, "the mail server refuses the sender"),
        (521 | 556, SmtpStage::RcptTo) => {
            rejected(Reason::InvalidRecipient, "the recipient's domain takes no mail")
        }
        (_, SmtpStage::RcptTo) if subject == "7" => rejected(
            Reason::Configuration,
            "the mail server does not send from this account to this recipient",
        ),
        (501 | 550 | 551 | 553, SmtpStage::RcptTo) => {
            rejected(Reason::InvalidRecipient, "the mail server refuses the recipient")
        }
        (552 | 554, SmtpStage::Data) => {
            rejected(Reason::ContentRejected, "the mail server refuses the content")
        }
        (550, SmtpStage::Data) if matches!(subject, "" | "6" | "7") => {
            rejected(Reason::ContentRejected, "the mail server refuses the content")
        }
        _ => rejected(Reason::Rejected, "refused by the mail server"),
    }
}

/// As Postfix (`queued as X`), Exim (`id=X`) and Amazon SES (`Ok X`) write it: for people who search a server's log.
fn queue_id(text: &str) -> Option<String> {
    let after = |mark: &str| text.split_once(mark).map(|(_, rest)| rest);
    let rest = after("queued as ").or_else(|| after("id=")).or_else(|| text.strip_prefix("Ok "))?;
    code_word(rest.split_whitespace().next()?)
}
