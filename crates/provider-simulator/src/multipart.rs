//! Multipart forms, as webhooks bring mail with files.

use bytes::Bytes;

use crate::mail::{File, one_line};
use crate::post::Post;

/// A part of a form that was sent.
#[derive(Debug)]
pub(crate) struct Part {
    pub name: String,
    /// Of a file.
    pub filename: Option<String>,
    pub content: Bytes,
}

/// The parts of a multipart form; nothing where it is none, or is cut short (RFC 7578).
pub(crate) fn parse(content_type: &str, body: &Bytes) -> Option<Vec<Part>> {
    let (kind, parameters) = content_type.split_once(';')?;
    let boundary = parameter(parameters, "boundary")?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let (delimiter, mut parts) = (format!("--{boundary}"), Vec::new());
    let mut at = find(body, delimiter.as_bytes(), 0)? + delimiter.len();
    while !body[at..].starts_with(b"--") {
        let head_ends = find(body, b"\r\n\r\n", at)?;
        let content_ends = find(body, format!("\r\n{delimiter}").as_bytes(), head_ends + 2)?;
        let head = String::from_utf8_lossy(&body[at..head_ends]);
        let mut lines = head.split("\r\n");
        let disposition = lines.find(|line| line.to_ascii_lowercase().starts_with("content-disposition:"))?;
        parts.push(Part {
            name: parameter(disposition, "name")?,
            filename: parameter(disposition, "filename"),
            content: body.slice((head_ends + 4).min(content_ends)..content_ends),
        });
        at = content_ends + 2 + delimiter.len();
    }
    Some(parts)
}

fn find(text: &[u8], wanted: &[u8], from: usize) -> Option<usize> {
    text.get(from..)?.windows(wanted.len()).position(|window| window == wanted).map(|at| from + at)
}

/// `name=value` or `name="value"` among those that semicolons separate.
fn parameter(text: &str, name: &str) -> Option<String> {
    let mut pairs = text.split(';').filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(key, _)| key.eq_ignore_ascii_case(name))?;
    Some(value.trim().trim_matches('"').to_owned())
}

/// A multipart form in the making.
pub(crate) struct Form {
    boundary: String,
    body: Vec<u8>,
}

impl Form {
    /// `unique`: what no part contains twice on a line of its own; a mail's id will do.
    pub(crate) fn new(unique: &str) -> Self {
        let letters = unique.chars().filter(char::is_ascii_alphanumeric).take(40);
        Self { boundary: format!("simulator{}", letters.collect::<String>()), body: Vec::new() }
    }

    fn part(&mut self, head: &str, content: &[u8]) {
        self.body.extend_from_slice(format!("--{}\r\n{head}\r\n\r\n", self.boundary).as_bytes());
        self.body.extend_from_slice(content);
        self.body.extend_from_slice(b"\r\n");
    }

    pub(crate) fn field(&mut self, name: &str, value: &str) {
        self.part(&format!("Content-Disposition: form-data; name=\"{name}\""), value.as_bytes());
    }

    pub(crate) fn file(&mut self, name: &str, file: &File) {
        let head = format!(
            "Content-Disposition: form-data; name=\"{name}\"; filename=\"{}\"\r\nContent-Type: {}",
            one_line(&file.name).replace('"', "%22"),
            one_line(&file.content_type)
        );
        self.part(&head, &file.bytes);
    }

    pub(crate) fn finish(mut self, url: &str) -> Post {
        self.body.extend_from_slice(format!("--{}--\r\n", self.boundary).as_bytes());
        let content_type = format!("multipart/form-data; boundary={}", self.boundary);
        Post::new(url, &content_type, Bytes::from(self.body))
    }
}
