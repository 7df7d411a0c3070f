//! What kinds that send SMS and MMS share: how numbers are written, and who is to blame for a refusal. Knows no
//! provider.

use model::{Channel, Endpoint, Outcome, Reason};
use url::Url;

use crate::Outgoing;

/// # Errors
/// An [`Outcome::Rejected`] where no provider of SMS and MMS could send the message.
pub(crate) fn refuse_what_cannot_fit(kind: &str, message: &Outgoing<'_>) -> Result<(), Outcome> {
    let (reason, detail) = if !matches!(message.channel, Channel::Sms | Channel::Mms) {
        (Reason::Configuration, format!("{kind} sends sms and mms"))
    } else if message.body.is_empty() && message.attachments.is_empty() {
        (Reason::ContentRejected, format!("{kind} sends no message without body and attachments"))
    } else {
        return Ok(());
    };
    Err(Outcome::Rejected { reason, provider_code: None, detail })
}

/// Whether it travels as MMS: an SMS with attachments does, since nothing else carries them.
pub(crate) fn is_mms(message: &Outgoing<'_>) -> bool {
    message.channel == Channel::Mms || !message.attachments.is_empty()
}

/// For providers that want E.164 without its plus. Short codes and alphanumeric senders stay as they are.
pub(crate) fn without_plus(endpoint: &Endpoint) -> &str {
    endpoint.as_str().strip_prefix('+').unwrap_or(endpoint.as_str())
}

/// E.164 where a provider leaves out the plus. Up to eight digits are a short code, a leading zero is no country.
pub(crate) fn with_plus(text: &str) -> String {
    let is_e164 =
        (9..=15).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    if is_e164 { format!("+{text}") } else { text.to_owned() }
}

pub(crate) fn is_web_address(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
}

/// A rejection without a reason of its own, where the answer names the field of the request that it is about: by
/// name, path or JSON pointer.
pub(crate) fn blame(outcome: Outcome, field: Option<&str>) -> Outcome {
    let field = field.and_then(|field| field.trim_start_matches('/').split(['/', '.', '[']).next());
    match (outcome, field) {
        (Outcome::Rejected { reason: Reason::Rejected, provider_code, detail }, Some(field)) => {
            let (reason, detail) = match reason_of(field) {
                Some(reason) => (reason, format!("{detail}, at {field}")),
                None => (Reason::Rejected, detail),
            };
            Outcome::Rejected { reason, provider_code, detail }
        }
        (outcome, _) => outcome,
    }
}

fn reason_of(field: &str) -> Option<Reason> {
    match field {
        "to" => Some(Reason::InvalidRecipient),
        "from" | "channel" | "applicationId" | "messaging_profile_id" | "webhook_url" => {
            Some(Reason::Configuration)
        }
        "text" | "subject" | "media" | "media_urls" | "image" | "audio" | "video" | "vcard" | "file"
        | "content" => Some(Reason::ContentRejected),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plus_is_put_before_e164_and_nothing_else() {
        for (text, written) in [
            ("14155550100", "+14155550100"),
            ("+14155550100", "+14155550100"),
            ("447700900000", "+447700900000"),
            ("07700900000", "07700900000"),
            ("12345", "12345"),
            ("12345678", "12345678"),
            ("1234567890123456", "1234567890123456"),
            ("ACME", "ACME"),
            ("", ""),
        ] {
            assert_eq!(with_plus(text), written);
        }
        assert_eq!(without_plus(&Endpoint::stored("+14155550100")), "14155550100");
        assert_eq!(without_plus(&Endpoint::stored("ACME")), "ACME");
    }

    #[test]
    fn only_an_unspecific_rejection_is_blamed_on_a_field() {
        let rejected = |reason, detail: &str| Outcome::Rejected {
            reason,
            provider_code: None,
            detail: detail.to_owned(),
        };
        let reason = |field| match blame(rejected(Reason::Rejected, "HTTP 400"), Some(field)) {
            Outcome::Rejected { reason, detail, .. } => (reason, detail),
            outcome => panic!("{outcome:?}"),
        };
        assert_eq!(reason("/to/0"), (Reason::InvalidRecipient, "HTTP 400, at to".to_owned()));
        assert_eq!(reason("from"), (Reason::Configuration, "HTTP 400, at from".to_owned()));
        assert_eq!(reason("image.url"), (Reason::ContentRejected, "HTTP 400, at image".to_owned()));
        assert_eq!(reason("+14155550100"), (Reason::Rejected, "HTTP 400".to_owned()));
        let opted_out = rejected(Reason::OptedOut, "x");
        assert_eq!(blame(opted_out.clone(), Some("to")), opted_out);
    }
}
