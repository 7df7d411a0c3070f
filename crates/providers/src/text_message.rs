//! What kinds that send texts to numbers share: how numbers are written, and who is to blame for a refusal. Knows no
//! provider.

use model::{Channel, Endpoint, Outcome, Reason};

use crate::{Kind, Outgoing};

/// # Errors
/// An [`Outcome::Rejected`] where the kind has no such channel, or where there is nothing to send.
pub(crate) fn refuse_what_cannot_fit(kind: &Kind, message: &Outgoing<'_>) -> Result<(), Outcome> {
    let (reason, detail) = if !kind.channels.contains(&message.channel) {
        let channels: Vec<&str> = kind.channels.iter().map(|channel| channel.as_str()).collect();
        let channels = match channels.as_slice() {
            [others @ .., last] if !others.is_empty() => format!("{} and {last}", others.join(", ")),
            channels => channels.concat(),
        };
        (Reason::Configuration, format!("{} sends {channels}", kind.name))
    } else if message.body.is_empty() && message.attachments.is_empty() {
        (Reason::ContentRejected, format!("{} sends no message without body and attachments", kind.name))
    } else {
        return Ok(());
    };
    Err(Outcome::Rejected { reason, provider_code: None, detail })
}

/// # Errors
/// An [`Outcome::Rejected`] where the message has more attachments than the provider takes.
pub(crate) fn refuse_attachments_beyond(
    max: usize,
    kind: &Kind,
    message: &Outgoing<'_>,
) -> Result<(), Outcome> {
    if message.attachments.len() <= max {
        return Ok(());
    }
    let detail = match max {
        0 => format!("{} takes no attachments", kind.name),
        1 => format!("{} takes one attachment a message", kind.name),
        max => format!("{} takes up to {max} attachments", kind.name),
    };
    Err(Outcome::Rejected { reason: Reason::ContentRejected, provider_code: None, detail })
}

/// Whether it travels as MMS: an SMS with attachments does, since nothing else carries them.
pub(crate) fn is_mms(message: &Outgoing<'_>) -> bool {
    message.channel == Channel::Mms || !message.attachments.is_empty()
}

/// For providers that want E.164 without its plus. Short codes and alphanumeric senders stay as they are.
pub(crate) fn without_plus(endpoint: &Endpoint) -> &str {
    endpoint.as_str().strip_prefix('+').unwrap_or(endpoint.as_str())
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
    fn only_the_plus_is_taken_away() {
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
