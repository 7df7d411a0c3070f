//! The MIME source of a mail that somebody writes to us.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::kind::Inbound;

/// An attachment.
#[derive(Clone, Debug)]
pub(crate) struct File {
    pub name: String,
    pub content_type: String,
    pub bytes: Vec<u8>,
}

pub(crate) fn one_line(text: &str) -> String {
    text.replace(['\r', '\n'], " ")
}

/// The Message-ID, without brackets, of a mail whose protocol has this id for it.
pub(crate) fn message_id(id: &str) -> String {
    let id = one_line(id);
    if id.contains('@') { id } else { format!("{id}@simulator.invalid") }
}

/// The header block of the mail, without the blank line.
pub(crate) fn headers(mail: &Inbound<'_>) -> String {
    let subject = if mail.subject.is_ascii() {
        one_line(mail.subject)
    } else {
        // Encoded words hold at most 45 bytes of text (RFC 2047 section 2).
        let words = chunks_of_characters(mail.subject, 45);
        let words = words.iter().map(|word| format!("=?UTF-8?B?{}?=", STANDARD.encode(word)));
        words.collect::<Vec<_>>().join("\r\n ")
    };
    let mut headers = format!(
        "Date: {}\r\nMessage-ID: <{}>\r\nFrom: {}\r\nTo: {}\r\nSubject: {subject}\r\n",
        mail.date.strftime("%a, %d %b %Y %H:%M:%S +0000"),
        message_id(mail.id),
        one_line(mail.from),
        one_line(mail.to),
    );
    if let Some(id) = mail.in_reply_to {
        headers.push_str(&format!("In-Reply-To: <{id}>\r\nReferences: <{id}>\r\n"));
    }
    headers.push_str("MIME-Version: 1.0\r\n");
    headers
}

fn chunks_of_characters(text: &str, bytes_max: usize) -> Vec<String> {
    let mut chunks = vec![String::new()];
    for character in text.chars() {
        if chunks.last().is_some_and(|chunk| chunk.len() + character.len_utf8() > bytes_max) {
            chunks.push(String::new());
        }
        if let Some(chunk) = chunks.last_mut() {
            chunk.push(character);
        }
    }
    chunks
}

pub(crate) fn source(mail: &Inbound<'_>) -> String {
    let text = mime_part("text/plain; charset=UTF-8", "", mail.body.as_bytes());
    let body = match mail.html {
        Some(html) => {
            multipart("alternative", &[text, mime_part("text/html; charset=UTF-8", "", html.as_bytes())])
        }
        None => text,
    };
    let mut parts = vec![body];
    for file in mail.files {
        let name = one_line(&file.name).replace(['"', '\\'], "_");
        let disposition = format!("Content-Disposition: attachment; filename=\"{name}\"\r\n");
        parts.push(mime_part(&one_line(&file.content_type), &disposition, &file.bytes));
    }
    let whole = if parts.len() == 1 { parts.concat() } else { multipart("mixed", &parts) };
    headers(mail) + &whole
}

fn mime_part(content_type: &str, more_headers: &str, content: &[u8]) -> String {
    let encoded = STANDARD.encode(content);
    let lines: Vec<&str> =
        encoded.as_bytes().chunks(76).map(|line| str::from_utf8(line).unwrap_or_default()).collect();
    format!(
        "Content-Type: {content_type}\r\n{more_headers}Content-Transfer-Encoding: base64\r\n\r\n{}\r\n",
        lines.join("\r\n")
    )
}

/// Base64 has no underscore: the boundary cannot occur in a part.
fn multipart(subtype: &str, parts: &[String]) -> String {
    let boundary = format!("=_{subtype}");
    let mut text = format!("Content-Type: multipart/{subtype}; boundary=\"{boundary}\"\r\n\r\n");
    for part in parts {
        text.push_str(&format!("--{boundary}\r\n{part}"));
    }
    text.push_str(&format!("--{boundary}--\r\n"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_outside_ascii_is_folded_into_encoded_words() {
        let chunks = chunks_of_characters(&"ü".repeat(50), 45);
        assert_eq!(chunks.iter().map(String::len).collect::<Vec<_>>(), [44, 44, 12]);
        assert_eq!(chunks.concat(), "ü".repeat(50));
    }
}
