//! The structure of a mail (RFC 2046): which of its parts are its text, and which are files. Bounded in depth and number
//! before it descends: the stack that it needs does not depend on the mail. A mail within a mail is a file.

use std::borrow::Cow;

use mail_parser::decoders::base64::base64_decode;
use mail_parser::decoders::charsets::map::charset_decoder;
use mail_parser::decoders::quoted_printable::quoted_printable_decode;
use mail_parser::{HeaderValue, Message, MimeHeaders};

use super::header::{self, HeaderBlock};

/// Multiparts and mails within each other.
pub(crate) const DEPTH_MAX: usize = 50;
/// Parts that are looked at, at all levels together. Those after them are counted.
const PARTS_MAX: usize = 2000;

/// The parts are nested deeper than [`DEPTH_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooDeep;

/// A part that has no parts of its own.
#[derive(Debug)]
pub(crate) struct Part<'a> {
    pub(crate) fields: Fields,
    media: Media,
    body: &'a [u8],
}

/// What the header section of a part says.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    media: Option<(String, String)>,
    boundary: Option<String>,
    charset: Option<String>,
    pub(crate) report_type: Option<String>,
    has_name: bool,
    is_attachment: bool,
    pub(crate) filename: Option<String>,
    encoding: Encoding,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Encoding {
    #[default]
    Identity,
    Base64,
    QuotedPrintable,
}

/// A mail taken apart. The lists hold indices of `parts`.
#[derive(Debug, Default)]
pub(crate) struct Structure<'a> {
    pub(crate) parts: Vec<Part<'a>>,
    pub(crate) text: Vec<usize>,
    pub(crate) html: Vec<usize>,
    pub(crate) files: Vec<usize>,
    /// Parts that were not looked at.
    pub(crate) omitted: usize,
    seen: usize,
}

/// The multipart or mail that a part is in.
struct Parent {
    media: Media,
    in_alternative: bool,
    children: usize,
    needs_text: bool,
    needs_html: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Media {
    Alternative,
    Related,
    Digest,
    Multipart,
    Plain,
    Html,
    Text,
    Inline,
    Mail,
    Other,
}

impl Fields {
    pub(crate) fn of(message: &Message<'_>) -> Self {
        let content_type = message.content_type();
        let disposition = message.content_disposition();
        let attribute = |name| content_type.and_then(|kind| kind.attribute(name)).map(str::to_owned);
        let encoding = match message.header("Content-Transfer-Encoding") {
            Some(HeaderValue::Text(text)) if text.eq_ignore_ascii_case("base64") => Encoding::Base64,
            Some(HeaderValue::Text(text)) if text.eq_ignore_ascii_case("quoted-printable") => {
                Encoding::QuotedPrintable
            }
            _ => Encoding::Identity,
        };
        let media = content_type.map(|kind| {
            (kind.ctype().to_ascii_lowercase(), kind.subtype().unwrap_or_default().to_ascii_lowercase())
        });
        Self {
            media,
            boundary: attribute("boundary").filter(|boundary| !boundary.is_empty()),
            charset: attribute("charset"),
            report_type: attribute("report-type"),
            has_name: content_type.is_some_and(|kind| kind.has_attribute("name")),
            is_attachment: disposition.is_some_and(|disposition| disposition.is_attachment()),
            filename: message.attachment_name().map(str::to_owned),
            encoding,
        }
    }

    fn of_section(section: &[u8]) -> Self {
        HeaderBlock::of_part(section).parse().as_ref().map(Self::of).unwrap_or_default()
    }

    /// Nothing where none is declared.
    pub(crate) fn media_type(&self) -> Option<String> {
        self.media.as_ref().map(|(kind, subtype)| format!("{kind}/{subtype}"))
    }

    pub(crate) fn is(&self, kind: &str, subtype: &str) -> bool {
        self.media.as_ref().is_some_and(|media| (media.0.as_str(), media.1.as_str()) == (kind, subtype))
    }

    fn media(&self, parent: Media) -> Media {
        let Some((kind, subtype)) = &self.media else {
            return if parent == Media::Digest { Media::Mail } else { Media::Plain };
        };
        match (kind.as_str(), subtype.as_str()) {
            ("multipart", "alternative") => Media::Alternative,
            ("multipart", "related") => Media::Related,
            ("multipart", "digest") => Media::Digest,
            ("multipart", _) => Media::Multipart,
            ("text", "plain") => Media::Plain,
            ("text", "html") => Media::Html,
            ("text", _) => Media::Text,
            ("image" | "audio" | "video", _) => Media::Inline,
            ("message", "rfc822" | "global") => Media::Mail,
            _ => Media::Other,
        }
    }
}

impl Part<'_> {
    pub(crate) fn is_html(&self) -> bool {
        self.media == Media::Html
    }

    pub(crate) fn is_plain(&self) -> bool {
        matches!(self.media, Media::Plain | Media::Text)
    }

    /// Decoded. As it stands where it is not encoded as it says.
    pub(crate) fn bytes(&self) -> Cow<'_, [u8]> {
        let decoded = match self.fields.encoding {
            Encoding::Identity => None,
            Encoding::Base64 => base64_decode(self.body),
            Encoding::QuotedPrintable => quoted_printable_decode(self.body),
        };
        decoded.map_or(Cow::Borrowed(self.body), Cow::Owned)
    }

    pub(crate) fn text(&self) -> String {
        let bytes = self.bytes();
        let decoder = self.fields.charset.as_deref().and_then(|name| charset_decoder(name.as_bytes()));
        match decoder {
            Some(decode) => decode(&bytes),
            None => String::from_utf8_lossy(&bytes).into_owned(),
        }
    }

    /// The bytes as a file has them: those of a text in UTF-8.
    pub(crate) fn file_bytes(&self) -> Vec<u8> {
        match self.is_html() || self.is_plain() {
            true => self.text().into_bytes(),
            false => self.bytes().into_owned(),
        }
    }
}

impl<'a> Structure<'a> {
    /// Of a mail whose own header says `fields`.
    ///
    /// # Errors
    /// [`TooDeep`], before anything descends deeper.
    pub(crate) fn of(fields: Fields, body: &'a [u8]) -> Result<Self, TooDeep> {
        let mut structure = Self::default();
        let mut mail = Parent::of_mail();
        structure.add(fields, body, &mut mail, 0)?;
        Ok(structure)
    }

    fn add(
        &mut self,
        fields: Fields,
        body: &'a [u8],
        parent: &mut Parent,
        depth: usize,
    ) -> Result<(), TooDeep> {
        if depth > DEPTH_MAX {
            return Err(TooDeep);
        }
        self.seen += 1;
        parent.children += 1;
        let mut media = fields.media(parent.media);
        if matches!(media, Media::Alternative | Media::Related | Media::Digest | Media::Multipart) {
            match fields.boundary.as_deref().and_then(|boundary| Children::of(body, boundary)) {
                Some(children) => return self.add_children(children, media, parent, depth),
                // It has no parts, so it is what stands there.
                None => media = Media::Plain,
            }
        }
        if media == Media::Mail && fields.encoding == Encoding::Identity {
            self.check_mail(body, depth + 1)?;
        }
        self.add_part(Part { fields, media, body }, parent);
        Ok(())
    }

    fn add_children(
        &mut self,
        children: Children<'a>,
        media: Media,
        parent: &Parent,
        depth: usize,
    ) -> Result<(), TooDeep> {
        let mut this = Parent {
            media,
            in_alternative: parent.in_alternative || media == Media::Alternative,
            children: 0,
            needs_text: parent.needs_text,
            needs_html: parent.needs_html,
        };
        let (text_from, html_from) = (self.text.len(), self.html.len());
        for child in children {
            if self.seen >= PARTS_MAX {
                self.omitted += 1;
                continue;
            }
            let (section, body) = header::split(child);
            self.add(Fields::of_section(section), body, &mut this, depth + 1)?;
        }
        if media == Media::Alternative && this.needs_text && this.needs_html {
            // There is only one form: it stands for the other.
            match (self.text.len() > text_from, self.html.len() > html_from) {
                (false, true) => self.text.extend_from_slice(&self.html[html_from..]),
                (true, false) => self.html.extend_from_slice(&self.text[text_from..]),
                _ => {}
            }
        }
        Ok(())
    }

    fn add_part(&mut self, part: Part<'a>, parent: &mut Parent) {
        let (index, media) = (self.parts.len(), part.media);
        let is_shown = matches!(media, Media::Plain | Media::Html | Media::Inline)
            && !part.fields.is_attachment
            && (parent.children == 1
                || parent.media != Media::Related && (media == Media::Inline || !part.fields.has_name));
        let (in_html, in_text) = match (parent.media, media) {
            (Media::Alternative, _) => (media == Media::Html, media == Media::Plain),
            _ if is_shown => {
                if parent.in_alternative && (parent.needs_text || parent.needs_html) {
                    parent.needs_text &= media != Media::Html;
                    parent.needs_html &= media != Media::Plain;
                }
                (parent.needs_html, parent.needs_text)
            }
            _ => (false, false),
        };
        if in_html {
            self.html.push(index);
        }
        if in_text {
            self.text.push(index);
        }
        let is_body = match media {
            Media::Html => in_html,
            Media::Plain | Media::Text => in_text,
            _ => false,
        };
        if !is_body {
            self.files.push(index);
        }
        self.parts.push(part);
    }

    /// Looks at how deep a mail within this one goes. Nothing of it is read.
    fn check_mail(&mut self, mail: &'a [u8], depth: usize) -> Result<(), TooDeep> {
        if self.seen >= PARTS_MAX {
            return Ok(());
        }
        let (section, body) = header::split(mail);
        let mut inner = Self { seen: self.seen, ..Self::default() };
        let checked = inner.add(Fields::of_section(section), body, &mut Parent::of_mail(), depth);
        self.seen = inner.seen;
        checked
    }
}

impl Parent {
    fn of_mail() -> Self {
        Self { media: Media::Mail, in_alternative: false, children: 0, needs_text: true, needs_html: true }
    }
}

/// The parts of a multipart's body (RFC 2046 section 5.1.1). One that is not closed ends with the body.
struct Children<'a> {
    delimiter: Vec<u8>,
    /// After the last delimiter; nothing after the closing one.
    rest: Option<&'a [u8]>,
}

impl<'a> Children<'a> {
    /// Nothing where the boundary does not occur.
    fn of(body: &'a [u8], boundary: &str) -> Option<Self> {
        let delimiter = [b"--", boundary.trim_end().as_bytes()].concat();
        let (_, rest, is_last) = at_delimiter(body, &delimiter)?;
        Some(Self { delimiter, rest: Some(rest).filter(|_| !is_last) })
    }
}

impl<'a> Iterator for Children<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest.take()?;
        let Some((child, after, is_last)) = at_delimiter(rest, &self.delimiter) else { return Some(rest) };
        self.rest = Some(after).filter(|_| !is_last);
        Some(child)
    }
}

/// What stands before the next line that is a delimiter, what stands after it, and whether it is the closing one.
fn at_delimiter<'a>(bytes: &'a [u8], delimiter: &[u8]) -> Option<(&'a [u8], &'a [u8], bool)> {
    memchr::memmem::find_iter(bytes, delimiter).find_map(|at| {
        let before = &bytes[..at];
        if !before.is_empty() && !before.ends_with(b"\n") {
            return None;
        }
        let before = before.strip_suffix(b"\n").unwrap_or(before);
        let before = before.strip_suffix(b"\r").unwrap_or(before);
        let rest = &bytes[at + delimiter.len()..];
        if rest.starts_with(b"--") {
            return Some((before, &rest[2..], true));
        }
        let padding = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r')).count();
        match rest.get(padding) {
            Some(b'\n') => Some((before, &rest[padding + 1..], false)),
            None => Some((before, &[], false)),
            Some(_) => None,
        }
    })
}

#[cfg(test)]
#[path = "structure/tests.rs"]
mod tests;
