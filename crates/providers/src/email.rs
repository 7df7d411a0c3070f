//! What all email kinds share: the parts of a mail that goes out, and the reading of one that came in.

pub(crate) mod content;
mod delivery_report;
pub(crate) mod html;
pub(crate) mod inbound;
pub(crate) mod mime;
pub(crate) mod raw;
pub(crate) mod status;

use url::Host;

use crate::Outgoing;

/// The `Message-ID` of a mail of ours (RFC 5322 section 3.6.4), the same for every attempt: a recipient's server may
/// then tell a repeated mail from a new one. In the sender's domain.
pub(crate) fn message_id(message: &Outgoing<'_>) -> String {
    let sender = ascii_address(message.from.as_str());
    let domain = sender
        .as_deref()
        .and_then(|sender| sender.rsplit_once('@'))
        .map_or("localhost", |(_, domain)| domain);
    format!("<{}@{domain}>", message.message_id)
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
