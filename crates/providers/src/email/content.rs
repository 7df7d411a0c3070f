//! What a mail says: subject, text and HTML. An attachment that was not fetched is a link below the body.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::{File, Outgoing};

use super::html::{escape, is_html, to_text};

/// Several providers refuse an empty value.
const NO_SUBJECT: &str = "(no subject)";
const NO_BODY: &str = " ";

fn subject(subject: Option<&str>) -> String {
    match subject.map(str::trim) {
        None | Some("") => NO_SUBJECT.to_owned(),
        Some(subject) => subject.replace(char::is_control, " "),
    }
}

/// What a mail says. At least one of `text` and `html` is there, and neither is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    /// One line, never empty.
    pub(crate) subject: String,
    pub(crate) text: Option<String>,
    pub(crate) html: Option<String>,
}

/// HTML comes with its text as the alternative, unless it has none. Attachments that were not fetched are links.
pub(crate) fn of(message: &Outgoing<'_>) -> Content {
    let (text, html) = parts(message.body, message.attachments);
    Content { subject: subject(message.subject), text, html }
}

/// An attachment's bytes as JSON can hold them.
pub(crate) fn base64(file: &File) -> String {
    BASE64.encode(&file.bytes)
}

fn parts(body: &str, attachments: &[String]) -> (Option<String>, Option<String>) {
    if !is_html(body) {
        return (Some(text_with_links(body, attachments)), None);
    }
    let html = html_with_links(body, attachments);
    let text = text_with_links(&to_text(body), attachments);
    (Some(text).filter(|text| !text.trim().is_empty()), Some(html))
}

fn text_with_links(text: &str, attachments: &[String]) -> String {
    let links = attachments.join("\n");
    match (text.is_empty(), links.is_empty()) {
        (true, true) => NO_BODY.to_owned(),
        (true, false) => links,
        (false, true) => text.to_owned(),
        (false, false) => format!("{}\n\n{links}", text.trim_end()),
    }
}

/// The links stand inside the body element where there is one.
fn html_with_links(html: &str, attachments: &[String]) -> String {
    if attachments.is_empty() {
        return html.to_owned();
    }
    let links: String = attachments
        .iter()
        .map(|url| escape(url))
        .map(|url| format!("<p><a href=\"{url}\">{url}</a></p>"))
        .collect();
    // ASCII lower-casing keeps every offset.
    let lower = html.to_ascii_lowercase();
    let end = lower.rfind("</body").or_else(|| lower.rfind("</html")).unwrap_or(html.len());
    let (before, after) = html.split_at(end);
    format!("{before}{links}{after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(urls: &[&str]) -> Vec<String> {
        urls.iter().map(|&url| url.to_owned()).collect()
    }

    fn both(text: &str, html: &str) -> (Option<String>, Option<String>) {
        (Some(text.to_owned()), Some(html.to_owned()))
    }

    #[test]
    fn a_plain_body_is_one_part() {
        assert_eq!(parts("a < b\n", &[]), (Some("a < b\n".to_owned()), None));
    }

    #[test]
    fn an_html_body_comes_with_its_text() {
        assert_eq!(parts("<p>Hello <b>bold</b></p>", &[]), both("Hello bold", "<p>Hello <b>bold</b></p>"));
    }

    #[test]
    fn html_without_any_text_is_sent_alone() {
        let image = "<img src=\"https://example.com/a.png\">";
        assert_eq!(parts(image, &[]), (None, Some(image.to_owned())));
    }

    #[test]
    fn attachments_are_links_below_the_body() {
        let attachments = urls(&["https://example.com/a?b=1&c=2"]);
        assert_eq!(parts("Hi\n", &attachments).0.unwrap(), "Hi\n\nhttps://example.com/a?b=1&c=2");
        let link =
            "<p><a href=\"https://example.com/a?b=1&amp;c=2\">https://example.com/a?b=1&amp;c=2</a></p>";
        let (_, html) = parts("<html><BODY>Hi</BODY></html>", &attachments);
        assert_eq!(html.unwrap(), format!("<html><BODY>Hi{link}</BODY></html>"));
        assert_eq!(parts("<b>Hi</b>", &attachments).1.unwrap(), format!("<b>Hi</b>{link}"));
    }

    #[test]
    fn no_value_is_ever_empty() {
        assert_eq!(parts("", &[]).0.unwrap(), " ");
        assert_eq!(parts("", &urls(&["https://example.com/a"])).0.unwrap(), "https://example.com/a");
        for none in [None, Some(""), Some(" \n")] {
            assert_eq!(subject(none), "(no subject)");
        }
    }

    #[test]
    fn a_subject_stays_on_one_line() {
        assert_eq!(subject(Some("Hi\r\nBcc: x")), "Hi  Bcc: x");
    }
}
