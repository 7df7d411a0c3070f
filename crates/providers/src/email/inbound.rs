//! What the headers and the source of a mail (RFC 5322, MIME) say. Must not decide who gets it: that is the
//! envelope's.

use jiff::{SignedDuration, Timestamp};
use mail_parser::{Address, Message, MessageParser, MimeHeaders, PartType};

use super::delivery_report;
use crate::inbound_text::storable;
use crate::{File, Receipt};

/// The header of a mail, from its own fields or from its whole source.
#[derive(Debug, Default)]
pub(crate) struct Header {
    pub(crate) message_id: Option<String>,
    pub(crate) from: Option<String>,
    pub(crate) to: Vec<String>,
    pub(crate) subject: Option<String>,
    pub(crate) date: Option<Timestamp>,
}

/// A mail in one piece.
#[derive(Debug, Default)]
pub(crate) struct Source {
    pub(crate) header: Header,
    pub(crate) body: String,
    pub(crate) files: Vec<File>,
}

pub(crate) fn read_header(block: &[u8]) -> Header {
    let block = [block.trim_ascii(), b"\r\n\r\n"].concat();
    MessageParser::default().parse_headers(&block).as_ref().map(header_of).unwrap_or_default()
}

/// What a mail is to us.
#[derive(Debug)]
pub(crate) enum Mail {
    /// From somebody.
    Message(Source),
    /// About mails that we sent: a delivery status notification (RFC 3464).
    Report(Vec<Receipt>),
}

/// Nothing where the bytes are no mail at all. A report about mails that are not ours is a message like others.
pub(crate) fn read_source(source: &[u8]) -> Option<Mail> {
    let message = MessageParser::default().parse(source)?;
    let header = header_of(&message);
    let receipts = delivery_report::receipts(&message, header.date);
    if !receipts.is_empty() {
        return Some(Mail::Report(receipts));
    }
    Some(Mail::Message(Source { header, body: body_of(&message), files: files_of(&message) }))
}

/// The recipient that a server noted at delivery, for mail that comes without its envelope.
pub(crate) fn delivered_to(source: &[u8]) -> Option<String> {
    let message = MessageParser::default().parse_headers(source)?;
    ["X-Original-To", "Delivered-To", "Envelope-To"].into_iter().find_map(|name| {
        let value = message.header_raw(name)?.trim().trim_matches(['<', '>']);
        (value.contains('@') && !value.contains([' ', ','])).then(|| storable(value))
    })
}

/// The address in a `From` field as it was written, such as `Ann <ann@example.com>`.
pub(crate) fn address_in(field: &str) -> Option<String> {
    let line = format!("From: {}\r\n\r\n", field.replace(['\r', '\n'], " "));
    read_header(line.as_bytes()).from
}

/// A file name without folders, made up where there is none.
pub(crate) fn file_name(name: Option<&str>) -> String {
    let name: String = name.unwrap_or_default().chars().filter(|c| !c.is_control()).collect();
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default().trim();
    if matches!(name, "" | "." | "..") { "attachment".to_owned() } else { name.to_owned() }
}

/// A media type without parameters, or the one for bytes of no known type.
pub(crate) fn media_type(text: Option<&str>) -> String {
    let text = text.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_token = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'+' | b'-' | b'_'))
    };
    match text.split_once('/') {
        Some((kind, subtype)) if text.len() <= 127 && is_token(kind) && is_token(subtype) => text,
        _ => "application/octet-stream".to_owned(),
    }
}

fn header_of(message: &Message<'_>) -> Header {
    let date = message.date().filter(|date| date.is_valid());
    Header {
        message_id: message.message_id().map(str::trim).filter(|id| !id.is_empty()).map(storable),
        from: message.from().and_then(|from| addresses(from).next()),
        to: message.to().map(|to| addresses(to).collect()).unwrap_or_default(),
        subject: message.subject().map(storable),
        date: date.and_then(|date| Timestamp::from_second(date.to_timestamp()).ok()),
    }
}

fn addresses<'a>(address: &'a Address<'_>) -> impl Iterator<Item = String> + 'a {
    address.iter().filter_map(|address| address.address()).filter(|text| text.contains('@')).map(storable)
}

/// The text parts, one below the other; else the HTML ones.
fn body_of(message: &Message<'_>) -> String {
    let joined = |parts: Vec<&str>| parts.join("\n");
    let text = joined(
        message
            .text_bodies()
            .filter_map(|part| match &part.body {
                PartType::Text(text) => Some(text.as_ref()),
                _ => None,
            })
            .collect(),
    );
    if !text.trim().is_empty() {
        return storable(text);
    }
    storable(joined(
        message
            .html_bodies()
            .filter_map(|part| match &part.body {
                PartType::Html(html) => Some(html.as_ref()),
                _ => None,
            })
            .collect(),
    ))
}

fn files_of(message: &Message<'_>) -> Vec<File> {
    message
        .attachments()
        .map(|part| {
            let declared = part.content_type().map(|kind| match kind.subtype() {
                Some(subtype) => format!("{}/{subtype}", kind.ctype()),
                None => kind.ctype().to_owned(),
            });
            File {
                filename: file_name(part.attachment_name()),
                content_type: media_type(declared.as_deref()),
                bytes: part.contents().to_vec(),
            }
        })
        .collect()
}

/// A sender's own date, where it can be true: not in the future, and not older than mail is held back on its way.
pub(crate) fn believable(date: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
    let age = now.duration_since(date?);
    (age >= SignedDuration::ZERO && age <= SignedDuration::from_hours(7 * 24)).then_some(date?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_in_its_field() {
        for (field, address) in [
            ("ann@example.com", Some("ann@example.com")),
            ("Ann Example <ann@example.com>", Some("ann@example.com")),
            ("\"Example, Ann\" <ann@example.com>, Bob <bob@example.com>", Some("ann@example.com")),
            ("Ann", None),
            ("", None),
        ] {
            assert_eq!(address_in(field).as_deref(), address, "{field}");
        }
    }

    #[test]
    fn a_file_name_has_no_folder_and_is_never_empty() {
        for (name, expected) in [
            (Some("a.txt"), "a.txt"),
            (Some("../../etc/passwd"), "passwd"),
            (Some("C:\\temp\\a.txt"), "a.txt"),
            (Some("a\r\n.txt\0"), "a.txt"),
            (Some(".."), "attachment"),
            (Some("x/"), "attachment"),
            (None, "attachment"),
        ] {
            assert_eq!(file_name(name), expected);
        }
    }

    #[test]
    fn a_media_type_is_well_formed_or_bytes() {
        assert_eq!(media_type(Some("Image/PNG; name=\"a\"")), "image/png");
        for text in [None, Some("image"), Some("a/b/c"), Some("text/\u{e9}"), Some("/")] {
            assert_eq!(media_type(text), "application/octet-stream");
        }
    }

    #[test]
    fn a_date_that_cannot_be_true_is_not_believed() {
        let at = |s| Timestamp::from_second(s).unwrap();
        let now = at(1_700_000_000);
        assert_eq!(believable(Some(at(1_699_999_000)), now), Some(at(1_699_999_000)));
        assert_eq!(believable(Some(at(1_700_000_001)), now), None);
        assert_eq!(believable(Some(at(1_600_000_000)), now), None);
        assert_eq!(believable(None, now), None);
    }
}
