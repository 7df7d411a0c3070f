//! A whole mail (RFC 5322, MIME), for kinds that hand over its source. The same message and attempt give the same
//! bytes: its date is the message's own, and its boundaries are made from its id.

use std::time::{Duration, UNIX_EPOCH};

use lettre::address::Address;
use lettre::message::header::{
    ContentDisposition, ContentTransferEncoding, ContentType, HeaderName, HeaderValue, InReplyTo, References,
};
use lettre::message::{Body, Mailbox, Message, MultiPart, MultiPartBuilder, SinglePart};
use model::{Outcome, Reason, id};

use super::content::{self, Content};
use super::{ascii_address, message_id, threading};
use crate::{File, Outgoing};

/// RFC 5322 section 2.1.1 ends a line at 998 bytes, and a word of a header cannot be folded.
const HEADER_WORD_BYTES_MAX: usize = 900;

/// The mail's source: ASCII, every line ended by CRLF and at most 998 bytes long.
///
/// # Errors
/// [`Outcome::Rejected`] for an address that a mail cannot carry.
pub(crate) fn write(message: &Outgoing<'_>, from_name: Option<&str>) -> Result<Vec<u8>, Outcome> {
    let from = address(message.from.as_str()).ok_or_else(|| rejected(Reason::Configuration, "sender"))?;
    let to = address(message.to.as_str()).ok_or_else(|| rejected(Reason::InvalidRecipient, "recipient"))?;
    let content = content::of(message);
    let from_name = from_name.map(|name| name.replace(char::is_control, " "));
    let mut builder = Message::builder()
        .date(UNIX_EPOCH + Duration::from_secs(accepted_at_unix_s(message)))
        .from(Mailbox::new(from_name, from))
        .to(Mailbox::new(None, to))
        .subject(broken_words(&with_single_spaces(&content.subject)))
        .raw_header(as_it_is("Message-ID", message_id(message)));
    for (name, ids) in threading(message) {
        let ids: Vec<&str> = ids.split_whitespace().filter(|id| is_message_id(id)).collect();
        let ids = ids.join(" ");
        builder = match name {
            _ if ids.is_empty() => builder,
            "In-Reply-To" => builder.header(InReplyTo::from(ids)),
            _ => builder.header(References::from(ids)),
        };
    }
    let mut parts = Parts { message, made: 0 };
    let mail = match (parts.body(content), message.files) {
        (Part::Single(part), []) => builder.singlepart(part),
        (Part::Multi(part), []) => builder.multipart(part),
        (body, files) => {
            let mixed = parts.builder(MultiPart::mixed());
            let mixed = match body {
                Part::Single(part) => mixed.singlepart(part),
                Part::Multi(part) => mixed.multipart(part),
            };
            builder.multipart(files.iter().fold(mixed, |mixed, file| mixed.singlepart(attachment(file))))
        }
    };
    // It asks for a sender and a recipient, and both are there.
    mail.map(|mail| mail.formatted()).map_err(|_| rejected(Reason::Configuration, "sender or recipient"))
}

fn rejected(reason: Reason, whose: &str) -> Outcome {
    let detail = format!("the {whose}'s address cannot stand in a mail");
    Outcome::Rejected { reason, provider_code: None, detail }
}

fn address(text: &str) -> Option<Address> {
    ascii_address(text)?.parse().ok()
}

fn accepted_at_unix_s(message: &Outgoing<'_>) -> u64 {
    u64::try_from(id::time_of(message.message_id).as_second()).unwrap_or_default()
}

/// A header that must not be folded or encoded.
fn as_it_is(name: &'static str, value: String) -> HeaderValue {
    HeaderValue::dangerous_new_pre_encoded(HeaderName::new_from_ascii_str(name), value.clone(), value)
}

/// An identification in angle brackets (RFC 5322 section 3.6.4): an encoded one would be another.
fn is_message_id(text: &str) -> bool {
    text.len() <= HEADER_WORD_BYTES_MAX
        && text.starts_with('<')
        && text.ends_with('>')
        && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The text without repeated spaces: between two encoded words the encoder loses all of them.
fn with_single_spaces(text: &str) -> String {
    text.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The text with a space within words that no line can hold.
fn broken_words(text: &str) -> String {
    let mut broken = String::with_capacity(text.len());
    let mut word_bytes = 0;
    for c in text.chars() {
        word_bytes = if c == ' ' { 0 } else { word_bytes + c.len_utf8() };
        if word_bytes > HEADER_WORD_BYTES_MAX {
            broken.push(' ');
            word_bytes = c.len_utf8();
        }
        broken.push(c);
    }
    broken
}

enum Part {
    Single(SinglePart),
    Multi(MultiPart),
}

/// Makes the parts of one mail.
struct Parts<'a> {
    message: &'a Outgoing<'a>,
    made: u32,
}

impl Parts<'_> {
    fn body(&mut self, content: Content) -> Part {
        let text = |text: String| single(text, ContentType::TEXT_PLAIN);
        let html = |html: String| single(html, ContentType::TEXT_HTML);
        match (content.text, content.html) {
            (Some(plain), Some(rich)) => {
                let alternative = self.builder(MultiPart::alternative());
                Part::Multi(alternative.singlepart(text(plain)).singlepart(html(rich)))
            }
            (None, Some(rich)) => Part::Single(html(rich)),
            (plain, None) => Part::Single(text(plain.unwrap_or_default())),
        }
    }

    /// With a boundary that no part can hold: neither base64 nor quoted-printable ever has `=_` in it, and what is
    /// sent as it stands does not know the id.
    fn builder(&mut self, builder: MultiPartBuilder) -> MultiPart {
        self.made += 1;
        let Outgoing { message_id, attempt, .. } = self.message;
        builder.boundary(format!("=_{}.{attempt}.{}", message_id.simple(), self.made)).build()
    }
}

/// Lines end in CRLF, whatever they ended in: a bare CR or LF is a way to smuggle commands into SMTP.
fn single(text: String, content_type: ContentType) -> SinglePart {
    let text = text.replace("\r\n", "\n").replace('\r', "\n").replace('\0', "\u{fffd}");
    SinglePart::builder().content_type(content_type).body(text)
}

fn attachment(file: &File) -> SinglePart {
    let bytes = Body::new_with_encoding(file.bytes.clone(), ContentTransferEncoding::Base64);
    let bytes = bytes.unwrap_or_else(Body::new);
    // Mails and multiparts within a mail must not be encoded (RFC 2046 section 5): they go as bytes.
    let composite = ["multipart/", "message/"].iter().any(|kind| file.content_type.starts_with(kind));
    let declared = ContentType::parse(&file.content_type).ok().filter(|_| !composite);
    let bytes_of_no_kind = || ContentType::parse("application/octet-stream").ok();
    let content_type = declared.or_else(bytes_of_no_kind).unwrap_or(ContentType::TEXT_PLAIN);
    let name = file.filename.replace(char::is_control, " ");
    SinglePart::builder().header(ContentDisposition::attachment(&name)).content_type(content_type).body(bytes)
}

#[cfg(test)]
#[path = "mime/tests.rs"]
mod tests;
