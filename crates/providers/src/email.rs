//! What all email kinds share: the parts of a mail that goes out, and the reading of one that came in.

pub(crate) mod content;
mod delivery_report;
mod header;
pub(crate) mod html;
pub(crate) mod inbound;
pub(crate) mod mime;
pub(crate) mod raw;
pub(crate) mod received;
pub(crate) mod status;
mod structure;

use model::{Channel, Endpoint, Outcome, Reason};
use secrecy::ExposeSecret;
use url::Host;
use uuid::Uuid;

use crate::{Outgoing, Settings};

/// Names under which our message id and attempt travel as metadata, variables or tags.
pub(crate) const MESSAGE_ID_NAME: &str = "app_message_id";
pub(crate) const ATTEMPT_NAME: &str = "app_attempt";

/// # Errors
/// Where the message is no mail between two addresses.
pub(crate) fn check(message: &Outgoing<'_>, kind: &str) -> Result<(), Outcome> {
    let detail = if message.channel != Channel::Email {
        format!("{kind} sends email")
    } else if !message.from.as_str().contains('@') || !message.to.as_str().contains('@') {
        format!("{kind} sends from and to email addresses")
    } else {
        return Ok(());
    };
    Err(Outcome::Rejected { reason: Reason::Configuration, provider_code: None, detail })
}

/// The setting `from_name`: the display name of every sender.
pub(crate) fn from_name(settings: &Settings) -> Option<String> {
    let name = settings.optional("from_name")?;
    Some(name.expose_secret().trim().replace(char::is_control, " ")).filter(|name| !name.is_empty())
}

/// The `Message-ID` of a mail of ours (RFC 5322 section 3.6.4), the same for every attempt: a recipient's server may
/// then tell a repeated mail from a new one. In the sender's domain.
pub(crate) fn message_id(message: &Outgoing<'_>) -> String {
    message_id_of(message.message_id, message.from)
}

/// The `Message-ID`, with its angle brackets, of the mail that this message of ours is sent as.
pub fn message_id_of(message_id: Uuid, from: &Endpoint) -> String {
    let sender = ascii_address(from.as_str());
    let domain = sender
        .as_deref()
        .and_then(|sender| sender.rsplit_once('@'))
        .map_or("localhost", |(_, domain)| domain);
    format!("<{message_id}@{domain}>")
}

/// The header fields that are ours to set: our `Message-ID`, and what an answer says of the mails before it.
pub(crate) fn headers(message: &Outgoing<'_>) -> Vec<(&'static str, String)> {
    let mut headers = vec![("Message-ID", message_id(message))];
    headers.extend(threading(message));
    headers
}

/// The address with its domain as it stands in the DNS (RFC 5891), as every server understands it. Nothing where the
/// local part is not ASCII, which only SMTPUTF8 (RFC 6531) carries, or where it is no address.
pub(crate) fn ascii_address(address: &str) -> Option<String> {
    let (local, domain) = address.rsplit_once('@')?;
    let Ok(Host::Domain(domain)) = Host::parse(domain) else { return None };
    (local.is_ascii() && !local.is_empty()).then(|| format!("{local}@{domain}"))
}

/// `In-Reply-To` and `References` of an answer; nothing for a mail that begins a conversation.
pub(crate) fn threading(message: &Outgoing<'_>) -> Vec<(&'static str, String)> {
    let Some(in_reply_to) = message.in_reply_to else { return Vec::new() };
    let references =
        if message.references.is_empty() { in_reply_to.to_owned() } else { message.references.join(" ") };
    vec![("In-Reply-To", in_reply_to.to_owned()), ("References", references)]
}

/// `"Name" <address>` (RFC 5322 section 3.4), or the address alone. The name is a quoted string; what is not ASCII in
/// it stays as it is, for protocols that are UTF-8.
pub(crate) fn mailbox(name: Option<&str>, address: &str) -> String {
    let Some(name) = name else { return address.to_owned() };
    let quoted: String = name
        .chars()
        .filter(|c| !c.is_control())
        .flat_map(|c| matches!(c, '"' | '\\').then_some('\\').into_iter().chain([c]))
        .collect();
    format!("\"{quoted}\" <{address}>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_written_as_the_dns_has_it() {
        assert_eq!(ascii_address("ann@b\u{fc}cher.example").as_deref(), Some("ann@xn--bcher-kva.example"));
        assert_eq!(ascii_address("ann@example.net").as_deref(), Some("ann@example.net"));
        for address in ["\u{e4}nn@example.net", "ann", "@example.net", "ann@", "ann@a b", "ann@127.0.0.1"] {
            assert_eq!(ascii_address(address), None, "{address}");
        }
    }

    #[test]
    fn a_name_is_quoted() {
        assert_eq!(mailbox(None, "a@example.com"), "a@example.com");
        assert_eq!(
            mailbox(Some("M\u{fc}ller, \"A\""), "a@example.com"),
            "\"M\u{fc}ller, \\\"A\\\"\" <a@example.com>"
        );
        assert_eq!(mailbox(Some("x\r\nBcc: y"), "a@example.com"), "\"xBcc: y\" <a@example.com>");
    }
}
