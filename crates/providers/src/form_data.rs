//! `multipart/form-data` (RFC 7578) over bytes. Decodes no charset: which one a part is in, its neighbours say.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use crate::File;
use crate::hex::hex;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part<'a> {
    pub(crate) name: String,
    pub(crate) filename: Option<String>,
    pub(crate) content_type: Option<String>,
    pub(crate) bytes: &'a [u8],
}

/// Why a body is no form. Says where, and nothing of what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FormDataError {
    #[error("the content type names no boundary")]
    NoBoundary,
    #[error("the body does not begin with its boundary")]
    NoStart,
    #[error("the body ends before its last boundary; it was cut off")]
    CutOff,
    #[error("a part has no readable header")]
    PartHeader,
    #[error("there are more than {PARTS_MAX} parts")]
    TooManyParts,
}

/// More than the files of a message: the first of those are kept as files, and the form with all of them.
const PARTS_MAX: usize = 10_000;
const BOUNDARY_BYTES_MAX: usize = 200;

/// # Errors
/// [`FormDataError`] where the body is not whole.
pub(crate) fn parse<'a>(content_type: &str, body: &'a [u8]) -> Result<Vec<Part<'a>>, FormDataError> {
    let boundary = parameter(content_type, "boundary")
        .filter(|boundary| (1..=BOUNDARY_BYTES_MAX).contains(&boundary.len()))
        .ok_or(FormDataError::NoBoundary)?;
    let delimiter = format!("\r\n--{boundary}").into_bytes();
    // The first delimiter lacks the line break where there is no preamble.
    let mut rest = match body.strip_prefix(&delimiter[2..]) {
        Some(rest) => rest,
        None => split_at(body, &delimiter).ok_or(FormDataError::NoStart)?.1,
    };
    let mut parts = Vec::new();
    loop {
        if rest.starts_with(b"--") {
            return Ok(parts);
        }
        if parts.len() == PARTS_MAX {
            return Err(FormDataError::TooManyParts);
        }
        // White space may follow a delimiter (RFC 2046 section 5.1.1); nothing else.
        let (padding, after) = split_at(rest, b"\r\n").ok_or(FormDataError::CutOff)?;
        if !padding.iter().all(|byte| matches!(byte, b' ' | b'\t')) {
            return Err(FormDataError::PartHeader);
        }
        let (part, after) = split_at(after, &delimiter).ok_or(FormDataError::CutOff)?;
        parts.push(read_part(part)?);
        rest = after;
    }
}

/// Fields, then files, each under its name: the content type and the body. The boundary is a hash of what it divides,
/// which cannot hold it.
pub(crate) fn write(fields: &[(&str, String)], files: &[(&str, &File)]) -> (String, Vec<u8>) {
    let mut hash = Sha256::new();
    fields.iter().for_each(|(_, value)| hash.update(value));
    files.iter().for_each(|(_, file)| hash.update(&file.bytes));
    let boundary = hex(&hash.finalize());
    let mut body = Vec::new();
    let mut part = |header: String, bytes: &[u8]| {
        body.extend_from_slice(
            format!("--{boundary}\r\nContent-Disposition: form-data; {header}\r\n\r\n").as_bytes(),
        );
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    };
    for (name, value) in fields {
        part(format!("name=\"{}\"", escaped(name)), value.as_bytes());
    }
    for (name, File { filename, content_type, bytes }) in files {
        let content_type = content_type.replace(char::is_control, "");
        let header = format!(
            "name=\"{}\"; filename=\"{}\"\r\nContent-Type: {content_type}",
            escaped(name),
            escaped(filename)
        );
        part(header, bytes);
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    (format!("multipart/form-data; boundary={boundary}"), body)
}

/// As browsers do it (WHATWG HTML, multipart/form-data): UTF-8 as it is, and only these three escaped.
fn escaped(name: &str) -> String {
    name.replace('\r', "%0D").replace('\n', "%0A").replace('"', "%22")
}

fn read_part(part: &[u8]) -> Result<Part<'_>, FormDataError> {
    let (header, bytes) = split_at(part, b"\r\n\r\n").ok_or(FormDataError::PartHeader)?;
    let header = String::from_utf8_lossy(header);
    let field = |wanted: &str| {
        header.split("\r\n").find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.trim().eq_ignore_ascii_case(wanted).then(|| value.trim())
        })
    };
    let disposition = field("content-disposition").ok_or(FormDataError::PartHeader)?;
    Ok(Part {
        name: parameter(disposition, "name").ok_or(FormDataError::PartHeader)?,
        filename: parameter(disposition, "filename"),
        content_type: field("content-type").map(str::to_owned),
        bytes,
    })
}

/// A parameter of a header's value: a token, or a quoted string with backslashes.
fn parameter(value: &str, wanted: &str) -> Option<String> {
    let mut rest = value.split_once(';')?.1;
    loop {
        let (name, after) = rest.split_once('=')?;
        let (text, after) = match after.trim_start().strip_prefix('"') {
            Some(quoted) => quoted_string(quoted),
            None => {
                let end = after.find(';').unwrap_or(after.len());
                (Cow::Borrowed(after[..end].trim()), &after[end..])
            }
        };
        if name.trim_matches([' ', '\t', ';']).eq_ignore_ascii_case(wanted) {
            return Some(text.into_owned());
        }
        rest = after;
    }
}

fn quoted_string(text: &str) -> (Cow<'_, str>, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (Cow::Owned(value), &text[at + 1..]),
            // Only these two are escaped; in a path of Windows the backslash is itself.
            '\\' if text[at + 1..].starts_with(['"', '\\']) => value.extend(chars.next().map(|(_, c)| c)),
            c => value.push(c),
        }
    }
    (Cow::Owned(value), "")
}

fn split_at<'a>(bytes: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = memchr::memmem::find(bytes, separator)?;
    Some((&bytes[..at], &bytes[at + separator.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "multipart/form-data; charset=utf-8; boundary=\"x y\"";

    fn body(parts: &str) -> Vec<u8> {
        format!("--x y{parts}\r\n--x y--\r\n").into_bytes()
    }

    #[test]
    fn parts_are_read_as_bytes() {
        let mut body = body(
            "\r\nContent-Disposition: form-data; name=\"text\"\r\n\r\na\r\n\r\nb--x y\r\n--x y \r\ncontent-type: image/png\r\nCONTENT-DISPOSITION: form-data; name=attachment1; filename=\"a\\\"b;c\\d.png\"\r\n\r\n#",
        );
        let hash = body.iter().position(|&byte| byte == b'#').unwrap();
        body[hash] = 0xff;
        let parts = parse(TYPE, &body).unwrap();
        assert_eq!(parts.len(), 2);
        assert_eq!((parts[0].name.as_str(), parts[0].bytes), ("text", &b"a\r\n\r\nb--x y"[..]));
        assert_eq!(parts[1].filename.as_deref(), Some("a\"b;c\\d.png"));
        assert_eq!(parts[1].content_type.as_deref(), Some("image/png"));
        assert_eq!(parts[1].bytes, [0xff]);
    }

    #[test]
    fn what_is_written_is_read() {
        let file = File {
            filename: "Gr\u{fc}\u{df}e \"1\"\r\n.txt".to_owned(),
            content_type: "text/plain".to_owned(),
            bytes: b"--\r\n\xff".to_vec(),
        };
        let (content_type, body) = write(&[("to", "a\r\n".to_owned())], &[("attachment", &file)]);
        let parts = parse(&content_type, &body).unwrap();
        assert_eq!((parts[0].name.as_str(), parts[0].bytes), ("to", &b"a\r\n"[..]));
        assert_eq!(parts[1].filename.as_deref(), Some("Gr\u{fc}\u{df}e %221%22%0D%0A.txt"));
        assert_eq!((parts[1].content_type.as_deref(), parts[1].bytes), (Some("text/plain"), &file.bytes[..]));
        assert_eq!(parts.len(), 2);
    }

    #[test]
    fn a_form_without_parts_is_a_form() {
        assert_eq!(parse("multipart/form-data; boundary=b", b"--b--"), Ok(Vec::new()));
    }

    #[test]
    fn what_is_not_whole_is_refused() {
        let whole = body("\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1");
        assert!(parse(TYPE, &whole).is_ok());
        // The last two bytes are the line break after the closing delimiter, the two before its dashes.
        for length in 0..whole.len() - 2 {
            assert!(parse(TYPE, &whole[..length]).is_err(), "cut at {length}");
        }
        assert_eq!(parse("multipart/form-data", &whole), Err(FormDataError::NoBoundary));
        assert_eq!(parse("multipart/form-data; boundary=z", &whole), Err(FormDataError::NoStart));
        assert_eq!(parse(TYPE, &body("\r\nX: y\r\n\r\n1")), Err(FormDataError::PartHeader));
        let many = "\r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n--x y".repeat(PARTS_MAX + 1);
        assert_eq!(parse(TYPE, format!("--x y{many}--").as_bytes()), Err(FormDataError::TooManyParts));
    }
}
