//! The header section of a mail or of one of its parts, reduced before it is parsed: only the fields that are read, each
//! of a bounded length. The parser takes time quadratic in the length of a field.

use mail_parser::{Message, MessageParser};

/// All fields of one header section together, and one of them.
const SECTION_BYTES_MAX: usize = 256 << 10;
const FIELD_BYTES_MAX: usize = 64 << 10;
/// A field whose parameters are parsed.
const CONTENT_FIELD_BYTES_MAX: usize = 4 << 10;

const FIELDS: &[&str] =
    &["from", "to", "subject", "date", "message-id", "x-original-to", "delivered-to", "envelope-to"];

/// The header section and the body of an entity (RFC 5322 section 2.1). Without an empty line it is all header.
pub(super) fn split(entity: &[u8]) -> (&[u8], &[u8]) {
    let mut line_start = 0;
    loop {
        let rest = &entity[line_start..];
        if let Some(body) = rest.strip_prefix(b"\n").or_else(|| rest.strip_prefix(b"\r\n")) {
            return (&entity[..line_start], body);
        }
        match memchr::memchr(b'\n', rest) {
            Some(at) => line_start += at + 1,
            None => return (entity, &[]),
        }
    }
}

/// The fields of a header section that are read here, as the parser takes them.
pub(super) struct HeaderBlock(Vec<u8>);

impl HeaderBlock {
    /// All fields that are read of a mail.
    pub(super) fn of_mail(section: &[u8]) -> Self {
        Self::of(section, |name| is_content_field(name) || FIELDS.iter().any(|known| is(name, known)))
    }

    /// The fields that say what a part is.
    pub(super) fn of_part(section: &[u8]) -> Self {
        Self::of(section, is_content_field)
    }

    fn of(section: &[u8], is_read: impl Fn(&[u8]) -> bool) -> Self {
        let mut block = Vec::new();
        for field in fields(section) {
            let Some(colon) = field.iter().position(|&byte| byte == b':') else { continue };
            let name = field[..colon].trim_ascii();
            let bytes_max = if is_content_field(name) { CONTENT_FIELD_BYTES_MAX } else { FIELD_BYTES_MAX };
            if !is_read(name) || block.len() + field.len().min(bytes_max) > SECTION_BYTES_MAX {
                continue;
            }
            block.extend_from_slice(&field[..field.len().min(bytes_max)]);
            block.extend_from_slice(b"\r\n");
        }
        block.extend_from_slice(b"\r\n");
        Self(block)
    }

    /// Nothing where no field is there.
    pub(super) fn parse(&self) -> Option<Message<'_>> {
        MessageParser::default().parse_headers(&self.0)
    }
}

/// Each field with its folded lines, without the last line break.
fn fields(section: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = section;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut end = 0;
        loop {
            end = memchr::memchr(b'\n', &rest[end..]).map_or(rest.len(), |at| end + at + 1);
            if !matches!(rest.get(end), Some(b' ' | b'\t')) {
                break;
            }
        }
        let (field, after) = rest.split_at(end);
        rest = after;
        let field = field.strip_suffix(b"\n").unwrap_or(field);
        Some(field.strip_suffix(b"\r").unwrap_or(field))
    })
}

fn is(name: &[u8], known: &str) -> bool {
    name.eq_ignore_ascii_case(known.as_bytes())
}

fn is_content_field(name: &[u8]) -> bool {
    ["content-type", "content-transfer-encoding", "content-disposition"].iter().any(|known| is(name, known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entity_is_split_at_its_first_empty_line() {
        for (entity, section, body) in [
            ("A: 1\r\nB: 2\r\n\r\nbody\r\n\r\nmore", "A: 1\r\nB: 2\r\n", "body\r\n\r\nmore"),
            ("A: 1\n\nbody", "A: 1\n", "body"),
            ("\r\nbody", "", "body"),
            ("\nbody", "", "body"),
            ("A: 1\r\n", "A: 1\r\n", ""),
            ("", "", ""),
        ] {
            assert_eq!(split(entity.as_bytes()), (section.as_bytes(), body.as_bytes()), "{entity:?}");
        }
    }

    #[test]
    fn only_fields_that_are_read_reach_the_parser() {
        let section = b"Received: x\r\nTo: a@example.com,\r\n b@example.com\r\nno field\r\n\
                        content-type : text/plain\r\n\tformat=flowed\r\nX-To: c\r\nSubject: Hi";
        let block = HeaderBlock::of_mail(section);
        let expected = "To: a@example.com,\r\n b@example.com\r\n\
                        content-type : text/plain\r\n\tformat=flowed\r\nSubject: Hi\r\n\r\n";
        assert_eq!(String::from_utf8_lossy(&block.0), expected);
        assert_eq!(HeaderBlock::of_part(section).0, b"content-type : text/plain\r\n\tformat=flowed\r\n\r\n");
    }

    #[test]
    fn a_long_field_is_cut_and_the_others_stay() {
        let parameters: String = (0..20_000).map(|n| format!(" p{n}*0*=us'en'x;\r\n")).collect();
        let to: String = (0..20_000).map(|n| format!(" a{n}@example.com,\r\n")).collect();
        let section = format!("Content-Type: text/plain;\r\n{parameters}To:{to}Subject: Hi\r\n");
        let block = HeaderBlock::of_mail(section.as_bytes());
        assert!(block.0.len() < CONTENT_FIELD_BYTES_MAX + FIELD_BYTES_MAX + 100, "{}", block.0.len());
        assert_eq!(block.parse().unwrap().subject(), Some("Hi"));
    }
}
