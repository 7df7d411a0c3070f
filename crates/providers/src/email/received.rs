//! From a mail to the messages of its recipients, and to the id under which each is known. Must not know any provider's
//! form.

use std::collections::BTreeSet;

use jiff::Timestamp;
use model::Channel;
use sha2::{Digest, Sha256};

use super::inbound::{Source, believable};
use crate::hex::hex;
use crate::inbound_text::storable;
use crate::webhook::unparsable;
use crate::{InboundMessage, WebhookError};

const RECIPIENTS_MAX: usize = 100;
const MESSAGE_ID_BYTES_MAX: usize = 255;
/// Characters of the mark that tells recipients of one mail apart.
const MARK_CHARS: usize = 16;

/// One message for each recipient of the envelope: the header's To knows neither bcc nor aliases. `from` is what the
/// provider says where the mail does not. `identity` is what is equal in each delivery of this mail and differs in
/// others: it stands in for a `Message-ID`.
///
/// # Errors
/// Where nobody sent it or nobody gets it.
pub(crate) fn messages(
    source: &Source,
    from: Option<String>,
    recipients: BTreeSet<String>,
    identity: &[&[u8]],
    now: Timestamp,
) -> Result<Vec<InboundMessage>, WebhookError> {
    let from = source.header.from.clone().or(from).filter(|from| !from.trim().is_empty());
    let from = from.ok_or_else(|| unparsable("it names no sender"))?;
    let recipients = match recipients {
        named if named.is_empty() => source.header.to.iter().take(1).cloned().collect(),
        named => named,
    };
    if recipients.is_empty() {
        return Err(unparsable("its envelope names no recipient"));
    }
    let message = |to: String| InboundMessage {
        provider_message_id: provider_message_id(source, &to, identity),
        channel: Channel::Email,
        from: storable(from.as_str()),
        to: storable(to),
        subject: source.header.subject.clone().filter(|subject| !subject.trim().is_empty()),
        body: source.body.clone(),
        attachments: Vec::new(),
        files: source.files.kept.clone(),
        omitted_files: source.files.omitted,
        timestamp: believable(source.header.date, now),
    };
    Ok(recipients.into_iter().take(RECIPIENTS_MAX).map(message).collect())
}

/// The same for every delivery of one mail to one recipient, and different otherwise. The first recipient in the
/// header gets the Message-ID as it is; others, who may be told of the same mail in another post, get it with a
/// mark of their own.
fn provider_message_id(source: &Source, to: &str, identity: &[&[u8]]) -> String {
    let first = source.header.to.first().is_some_and(|first| first.eq_ignore_ascii_case(to));
    let recipient = to.to_ascii_lowercase();
    match &source.header.message_id {
        Some(id) if first && id.len() <= MESSAGE_ID_BYTES_MAX => id.clone(),
        Some(id) if id.len() <= MESSAGE_ID_BYTES_MAX => {
            format!("{id}/{}", &hex(&Sha256::digest(recipient.as_bytes()))[..MARK_CHARS])
        }
        _ => {
            let mut hash = Sha256::new();
            hash.update(recipient.as_bytes());
            for bytes in identity {
                hash.update(bytes.len().to_be_bytes());
                hash.update(bytes);
            }
            for file in &source.files.kept {
                hash.update(&file.bytes);
            }
            format!("sha256:{}", hex(&hash.finalize()))
        }
    }
}

/// The `Message-ID`, with its angle brackets, in the provider's id of a mail that came in. Nothing where the mail had
/// none that can be referred to.
pub fn message_id_in(provider_message_id: &str) -> Option<String> {
    let is_mark = |text: &str| {
        text.len() == MARK_CHARS && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let id = match provider_message_id.rsplit_once('/') {
        Some((id, mark)) if is_mark(mark) => id,
        _ => provider_message_id,
    };
    let id = id.strip_prefix('<').and_then(|id| id.strip_suffix('>')).unwrap_or(id);
    let (left, right) = id.split_once('@')?;
    // It becomes part of a header field: nothing that could end it.
    let fits =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_graphic() && !b"<>@".contains(&b));
    (id.len() <= MESSAGE_ID_BYTES_MAX && fits(left) && fits(right)).then(|| format!("<{id}>"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::email::inbound::Header;

    fn id(header: Header, to: &str) -> String {
        provider_message_id(&Source { header, ..Source::default() }, to, &[b"a"])
    }

    fn header(message_id: Option<&str>) -> Header {
        let to = vec!["App@example.com".to_owned(), "bob@example.com".to_owned()];
        Header { message_id: message_id.map(str::to_owned), to, ..Header::default() }
    }

    #[test]
    fn a_message_id_is_found_in_every_id_that_was_made_from_it() {
        for to in ["app@example.com", "bob@example.com", "hidden@example.com"] {
            let stored = id(header(Some("x/1@example.net")), to);
            assert_eq!(message_id_in(&stored).as_deref(), Some("<x/1@example.net>"), "{stored}");
        }
        assert_eq!(message_id_in(&id(header(None), "app@example.com")), None);
    }

    #[test]
    fn what_is_no_message_id_is_not_referred_to() {
        assert_eq!(message_id_in("<a@b>").as_deref(), Some("<a@b>"));
        let long = format!("{}@b", "a".repeat(300));
        for text in ["", "x-1", "a@", "@b", "a@b@c", "a b@c", "a@b\r\nBcc: c", "a>@b", "\u{e9}@b", &long] {
            assert_eq!(message_id_in(text), None, "{text}");
        }
    }

    #[test]
    fn recipients_of_one_mail_have_ids_of_their_own() {
        let ids: BTreeSet<String> = [Some("x@example.net"), None]
            .into_iter()
            .flat_map(|message_id| {
                ["app@example.com", "bob@example.com"].map(|to| id(header(message_id), to))
            })
            .collect();
        assert_eq!(ids.len(), 4);
    }
}
