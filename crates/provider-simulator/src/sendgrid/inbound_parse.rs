//! Inbound Parse: mail for us, as a multipart form; parsed into fields, or as its MIME source.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Map, json};

use crate::message::Accepted;
use crate::post::Post;
use crate::schedule::reply_text;
use crate::simulator::Shared;

/// A mail that somebody writes to us.
pub(crate) struct InboundMail<'a> {
    /// The Message-ID without its brackets.
    pub id: &'a str,
    pub in_reply_to: Option<&'a str>,
    pub from: &'a str,
    pub to: &'a str,
    pub subject: &'a str,
    pub text: &'a str,
    pub html: Option<&'a str>,
    pub files: &'a [File],
    pub date: jiff::Timestamp,
    pub raw: bool,
}

/// An attachment.
#[derive(Clone, Debug)]
pub(crate) struct File {
    pub name: String,
    pub content_type: String,
    pub bytes: Vec<u8>,
}

/// One delivery; deliveries of the same mail are byte for byte the same.
pub(crate) fn post_inbound(url: &str, mail: &InboundMail<'_>) -> Post {
    let mut form = Form::new(mail.id);
    let envelope = json!({ "to": [mail.to], "from": mail.from }).to_string();
    let domain = mail.from.rsplit_once('@').map_or("", |(_, domain)| domain);
    form.field("dkim", &format!("{{@{domain} : pass}}"));
    form.field("SPF", "pass");
    form.field("sender_ip", "127.0.0.1");
    form.field("from", mail.from);
    form.field("to", mail.to);
    form.field("subject", mail.subject);
    form.field("envelope", &envelope);
    if mail.raw {
        form.field("charsets", &json!({ "to": "UTF-8", "from": "UTF-8", "subject": "UTF-8" }).to_string());
        form.field("email", &mime(mail));
        return form.finish(url);
    }
    form.field("headers", &headers(mail));
    form.field("text", mail.text);
    let mut charsets = json!({ "to": "UTF-8", "from": "UTF-8", "subject": "UTF-8", "text": "UTF-8" });
    if let Some(html) = mail.html {
        form.field("html", html);
        charsets["html"] = json!("UTF-8");
    }
    form.field("charsets", &charsets.to_string());
    form.field("attachments", &mail.files.len().to_string());
    let mut info = Map::new();
    for (index, file) in mail.files.iter().enumerate() {
        let name = format!("attachment{}", index + 1);
        form.file(&name, file);
        info.insert(name, json!({ "filename": file.name, "name": file.name, "type": file.content_type }));
    }
    if !info.is_empty() {
        form.field("attachment-info", &serde_json::Value::Object(info).to_string());
    }
    form.finish(url)
}

/// A multipart form in the making.
struct Form {
    boundary: String,
    body: Vec<u8>,
}

impl Form {
    /// `unique`: what no part contains twice on a line of its own; a mail's id will do.
    fn new(unique: &str) -> Self {
        let letters = unique.chars().filter(char::is_ascii_alphanumeric).take(40);
        Self { boundary: format!("simulator{}", letters.collect::<String>()), body: Vec::new() }
    }

    fn part(&mut self, head: &str, content: &[u8]) {
        self.body.extend_from_slice(format!("--{}\r\n{head}\r\n\r\n", self.boundary).as_bytes());
        self.body.extend_from_slice(content);
        self.body.extend_from_slice(b"\r\n");
    }

    fn field(&mut self, name: &str, value: &str) {
        self.part(&format!("Content-Disposition: form-data; name=\"{name}\""), value.as_bytes());
    }

    fn file(&mut self, name: &str, file: &File) {
        let head = format!(
            "Content-Disposition: form-data; name=\"{name}\"; filename=\"{}\"\r\nContent-Type: {}",
            one_line(&file.name).replace('"', "%22"),
            one_line(&file.content_type)
        );
        self.part(&head, &file.bytes);
    }

    fn finish(mut self, url: &str) -> Post {
        self.body.extend_from_slice(format!("--{}--\r\n", self.boundary).as_bytes());
        Post {
            url: url.to_owned(),
            content_type: format!("multipart/form-data; boundary={}", self.boundary),
            headers: Vec::new(),
            body: Bytes::from(self.body),
        }
    }
}

fn one_line(text: &str) -> String {
    text.replace(['\r', '\n'], " ")
}

/// The header block of the mail, without the blank line.
fn headers(mail: &InboundMail<'_>) -> String {
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
        one_line(mail.id),
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

fn mime(mail: &InboundMail<'_>) -> String {
    let text = mime_part("text/plain; charset=UTF-8", "", mail.text.as_bytes());
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

/// The auto-reply. True also where there is nobody to reply to.
pub(crate) async fn post_reply(shared: &Shared, message: &Accepted, reply_id: &str) -> bool {
    let Some(account) = shared.options.sendgrid.get(message.account) else { return true };
    let Some(url) = &account.inbound_parse_url else { return true };
    let subject = format!("Re: {}", message.subject.as_deref().unwrap_or_default());
    let mail = InboundMail {
        id: &format!("{reply_id}@simulator.invalid"),
        in_reply_to: Some(&format!("{}@simulator.invalid", message.provider_message_id)),
        from: &message.to,
        to: &message.from,
        subject: &subject,
        text: &reply_text(&without_tags(&message.body)),
        html: None,
        files: &[],
        date: message.received_at,
        raw: account.inbound_parse_raw,
    };
    shared.poster.post(post_inbound(url.as_str(), &mail)).await.is_ok_and(|status| status.is_success())
}

/// Enough to quote the first words of HTML; not a sanitizer.
fn without_tags(body: &str) -> String {
    let mut text = String::new();
    let mut is_tag = false;
    for character in body.chars() {
        match character {
            '<' => is_tag = true,
            '>' if is_tag => {
                is_tag = false;
                text.push(' ');
            }
            _ if !is_tag => text.push(character),
            _ => {}
        }
    }
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

    #[test]
    fn tags_are_not_quoted() {
        assert_eq!(
            without_tags("<p>Hello <b>you</b></p>").split_whitespace().collect::<Vec<_>>(),
            ["Hello", "you"]
        );
    }
}
