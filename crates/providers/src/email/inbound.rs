//! What the headers and the source of a mail (RFC 5322, MIME) say. Must not decide who gets it: that is the
//! envelope's.

use jiff::{SignedDuration, Timestamp};
use mail_parser::{Address, Message};

use super::header::{self, HeaderBlock};
use super::structure::{Fields, Part, Structure, TooDeep};
use super::{delivery_report, structure};
use crate::inbound_text::storable;
use crate::{File, Receipt};

/// Files of one message.
pub(crate) const FILES_MAX: usize = 500;
/// The name of the file that holds a mail as it came.
const SOURCE_NAME: &str = "message.eml";
const SOURCE_MEDIA_TYPE: &str = "message/rfc822";

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
    pub(crate) files: Files,
}

/// The files of a mail, at most [`FILES_MAX`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Files {
    pub(crate) kept: Vec<File>,
    /// Files that only the last one of `kept`, the source, holds.
    pub(crate) omitted: usize,
}

impl Files {
    /// All of them, or else the first ones and then the source. Only files that are kept are made.
    pub(crate) fn bounded(
        count: usize,
        files: impl Iterator<Item = File>,
        source: impl FnOnce() -> File,
    ) -> Self {
        if count <= FILES_MAX {
            return Self { kept: files.collect(), omitted: 0 };
        }
        let mut kept: Vec<File> = files.take(FILES_MAX - 1).collect();
        kept.push(source());
        Self { kept, omitted: count - (FILES_MAX - 1) }
    }
}

pub(crate) fn read_header(block: &[u8]) -> Header {
    let (section, _) = header::split(block.trim_ascii());
    HeaderBlock::of_mail(section).parse().as_ref().map(header_of).unwrap_or_default()
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
    let (section, body) = header::split(source);
    if body.is_empty() && !section.contains(&b':') {
        return None;
    }
    let block = HeaderBlock::of_mail(section);
    let message = block.parse();
    let header = message.as_ref().map(header_of).unwrap_or_default();
    let fields = message.as_ref().map(Fields::of).unwrap_or_default();
    let is_report = delivery_report::is_report(&fields);
    let structure = match Structure::of(fields, body) {
        Ok(structure) => structure,
        Err(TooDeep) => return Some(Mail::Message(unread(header, source))),
    };
    if is_report {
        let receipts = delivery_report::receipts(&structure, header.date);
        if !receipts.is_empty() {
            return Some(Mail::Report(receipts));
        }
    }
    let files = files_of(&structure, source);
    Some(Mail::Message(Source { header, body: body_of(&structure), files }))
}

/// A mail that is not taken apart: its header, and itself as a file.
fn unread(header: Header, source: &[u8]) -> Source {
    let body = format!(
        "This mail is nested too deeply to be read: it has more than {} levels of parts. It is attached as \
         {SOURCE_NAME}, as it came.",
        structure::DEPTH_MAX
    );
    Source { header, body, files: Files { kept: vec![source_file(source)], omitted: 0 } }
}

/// A webhook's form or JSON as a file, for what of it is no file of its own.
pub(crate) fn form_file(body: &[u8]) -> File {
    File {
        filename: "webhook.form".to_owned(),
        content_type: "multipart/form-data".to_owned(),
        bytes: body.to_vec(),
    }
}

pub(crate) fn json_file(body: &[u8]) -> File {
    File {
        filename: "webhook.json".to_owned(),
        content_type: "application/json".to_owned(),
        bytes: body.to_vec(),
    }
}

fn source_file(source: &[u8]) -> File {
    File {
        filename: SOURCE_NAME.to_owned(),
        content_type: SOURCE_MEDIA_TYPE.to_owned(),
        bytes: source.to_vec(),
    }
}

/// The recipient that a server noted at delivery, for mail that comes without its envelope.
pub(crate) fn delivered_to(source: &[u8]) -> Option<String> {
    let block = HeaderBlock::of_mail(header::split(source).0);
    let message = block.parse()?;
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
fn body_of(structure: &Structure<'_>) -> String {
    let text = joined(structure, &structure.text, |part| part.is_plain());
    if !text.trim().is_empty() {
        return storable(text);
    }
    storable(joined(structure, &structure.html, |part| part.is_html()))
}

fn joined<'a>(structure: &Structure<'a>, indices: &[usize], is_wanted: impl Fn(&Part<'a>) -> bool) -> String {
    let parts = indices.iter().filter_map(|&index| structure.parts.get(index));
    parts.filter(|part| is_wanted(part)).map(Part::text).collect::<Vec<_>>().join("\n")
}

fn files_of(structure: &Structure<'_>, source: &[u8]) -> Files {
    let parts = structure.files.iter().filter_map(|&index| structure.parts.get(index));
    let files = parts.map(|part| File {
        filename: file_name(part.fields.filename.as_deref()),
        content_type: media_type(part.fields.media_type().as_deref()),
        bytes: part.file_bytes(),
    });
    Files::bounded(structure.files.len() + structure.omitted, files, || source_file(source))
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
