//! Multipart forms, as webhooks bring mail with files.

use bytes::Bytes;

use crate::mail::{File, one_line};
use crate::post::Post;

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
