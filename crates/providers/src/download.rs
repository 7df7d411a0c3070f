//! From the answer that brought a file to the file. Must not trust its name.

use mail_parser::{MessageParser, MimeHeaders};
use url::Url;

use crate::File;
use crate::email::inbound::{file_name, media_type};

impl File {
    /// The file that was fetched from this address, named by the answer's `Content-Disposition` (RFC 6266), else by
    /// the address.
    pub fn downloaded(
        url: &Url,
        content_disposition: Option<&[u8]>,
        content_type: Option<&str>,
        bytes: Vec<u8>,
    ) -> Self {
        let name = content_disposition.and_then(name_in).or_else(|| name_of(url));
        Self { filename: file_name(name.as_deref()), content_type: media_type(content_type), bytes }
    }
}

/// Read as the mail header of the same name, which has both `filename=` and the encoded `filename*=`.
fn name_in(content_disposition: &[u8]) -> Option<String> {
    let field = [b"Content-Disposition: ", content_disposition.trim_ascii(), b"\r\n\r\n"].concat();
    let message = MessageParser::default().parse_headers(&field)?;
    let attributes = message.content_disposition()?.attributes()?;
    let names = attributes.iter().filter(|attribute| attribute.name == "filename");
    let names: Vec<&str> = names.map(|name| name.value.trim()).filter(|name| !name.is_empty()).collect();
    // The plain one is only what remains in ASCII of the encoded one.
    let encoded = names.iter().find(|name| !name.is_ascii());
    encoded.or(names.first()).map(|name| (*name).to_owned())
}

/// The last part of the path, decoded.
fn name_of(url: &Url) -> Option<String> {
    let part = url.path_segments()?.next_back()?;
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let [byte, after @ ..] = rest {
        let decoded =
            after.get(..2).filter(|digits| *byte == b'%' && digits.iter().all(u8::is_ascii_hexdigit));
        match decoded.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()) {
            Some(decoded) => {
                bytes.push(decoded);
                rest = &after[2..];
            }
            None => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(url: &str, content_disposition: Option<&str>) -> String {
        let disposition = content_disposition.map(str::as_bytes);
        File::downloaded(&url.parse().unwrap(), disposition, None, Vec::new()).filename
    }

    #[test]
    fn the_answer_names_the_file() {
        for (disposition, name) in [
            ("attachment; filename=a.pdf", "a.pdf"),
            ("attachment; filename=\"a b.pdf\"", "a b.pdf"),
            (
                "inline; filename=x; filename*=UTF-8''Gr%C3%BC%C3%9Fe%20%E7%8C%AB.pdf",
                "Gr\u{fc}\u{df}e \u{732b}.pdf",
            ),
            ("attachment; filename=\"../../etc/passwd\"", "passwd"),
            ("attachment; filename=\"Gr\u{fc}\u{df}e.pdf\"", "Gr\u{fc}\u{df}e.pdf"),
        ] {
            assert_eq!(named("https://example.com/other", Some(disposition)), name, "{disposition}");
        }
    }

    #[test]
    fn else_its_address_does() {
        for (url, name) in [
            ("https://example.com/a/b.pdf?c=d.e#f", "b.pdf"),
            ("https://example.com/Gr%C3%BC%C3%9Fe%20%41.pdf", "Gr\u{fc}\u{df}e A.pdf"),
            ("https://example.com/a%2Fb.pdf", "b.pdf"),
            ("https://example.com/100%", "100%"),
            ("https://example.com/%zz%+4%4", "%zz%+4%4"),
            ("https://example.com/", "attachment"),
        ] {
            assert_eq!(named(url, None), name, "{url}");
            assert_eq!(named(url, Some("attachment")), name, "{url}");
        }
    }
}
