//! What a mail that was sent as MIME source says.

use mail_parser::{HeaderValue, Message, MessageParser, MimeHeaders as _};

use crate::kind::Outline;
use crate::message::{first_reference, own_reference, reference_of_text};

/// A mail, without its recipients; nothing where the bytes are none.
pub(crate) fn outline(source: &[u8]) -> Option<Outline> {
    let mail = MessageParser::default().parse(source)?;
    let from = mail.from().and_then(|from| from.first()?.address()).unwrap_or_default();
    let body = mail.body_text(0).or_else(|| mail.body_html(0)).unwrap_or_default();
    let files = mail.attachments().map(|file| file.attachment_name().unwrap_or_default().to_owned());
    Some(Outline {
        from: from.to_owned(),
        channel: "email",
        subject: mail.subject().map(str::to_owned),
        body: body.trim_end_matches(['\r', '\n']).to_owned(),
        media: files.collect(),
        reference: reference(&mail),
        event_fields: mail.message_id().map(|id| ("Message-ID".to_owned(), id.into())).into_iter().collect(),
        ..Outline::default()
    })
}

/// The recipients that the header names: To and Cc.
pub(crate) fn recipients(source: &[u8]) -> Vec<String> {
    let Some(mail) = MessageParser::default().parse(source) else { return Vec::new() };
    let lists = [mail.to(), mail.cc()].into_iter().flatten();
    let people = lists.flat_map(|list| list.iter().filter_map(|one| one.address()));
    people.map(str::to_owned).collect()
}

/// The sender's own: in the Message-ID's local part, or in headers of its own.
fn reference(mail: &Message<'_>) -> (Option<uuid::Uuid>, Option<u32>) {
    let local_part = mail.message_id().and_then(|id| id.split('@').next()).unwrap_or_default();
    let own = mail.headers().iter().filter_map(|header| match header.value() {
        HeaderValue::Text(text) if header.name().starts_with("X-") => Some((header.name(), text.trim())),
        _ => None,
    });
    let own: Vec<(String, &str)> = own.map(|(name, text)| (name.to_ascii_lowercase(), text)).collect();
    first_reference([
        own_reference(own.iter().map(|(name, text)| (name.as_str(), *text))),
        reference_of_text(local_part),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_is_read_with_the_senders_reference() {
        let id = "01890a5d-ac96-774b-bcce-b302099a8057";
        let source = format!(
            "From: App <app@example.com>\r\nTo: ann@example.net\r\nSubject: =?UTF-8?Q?Gr=C3=BC=C3=9Fe?=\r\n\
             Message-ID: <{id}.2@example.com>\r\n\r\nHello\r\n"
        );
        let outline = outline(source.as_bytes()).unwrap();
        assert_eq!((outline.from.as_str(), outline.subject.as_deref()), ("app@example.com", Some("Grüße")));
        assert_eq!((outline.body.as_str(), outline.reference), ("Hello", (id.parse().ok(), Some(2))));
        assert_eq!(recipients(source.as_bytes()), ["ann@example.net"]);
    }
}
