//! What a mail says: subject, text and HTML. An attachment that was not fetched is a link below the body.

use serde_json::{Value, json};

use super::html::{escape, is_html, to_text};

/// Mail send refuses an empty value.
const NO_SUBJECT: &str = "(no subject)";
const NO_BODY: &str = " ";

pub(crate) fn subject(subject: Option<&str>) -> String {
    match subject.map(str::trim) {
        None | Some("") => NO_SUBJECT.to_owned(),
        Some(subject) => subject.replace(char::is_control, " "),
    }
}

/// `text/plain`, or `text/plain` and then `text/html`, in the order that mail send demands.
pub(crate) fn parts(body: &str, attachments: &[String]) -> Value {
    let part = |media_type: &str, value: &str| json!({ "type": media_type, "value": value });
    if !is_html(body) {
        return json!([part("text/plain", &text_with_links(body, attachments))]);
    }
    let html = part("text/html", &html_with_links(body, attachments));
    let text = text_with_links(&to_text(body), attachments);
    if text.trim().is_empty() { json!([html]) } else { json!([part("text/plain", &text), html]) }
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

    #[test]
    fn a_plain_body_is_one_part() {
        assert_eq!(parts("a < b\n", &[]), json!([{"type": "text/plain", "value": "a < b\n"}]));
    }

    #[test]
    fn an_html_body_comes_with_its_text_first() {
        let expected = json!([
            {"type": "text/plain", "value": "Hello bold"},
            {"type": "text/html", "value": "<p>Hello <b>bold</b></p>"},
        ]);
        assert_eq!(parts("<p>Hello <b>bold</b></p>", &[]), expected);
    }

    #[test]
    fn html_without_any_text_is_sent_alone() {
        let image = "<img src=\"https://example.com/a.png\">";
        assert_eq!(parts(image, &[]), json!([{"type": "text/html", "value": image}]));
    }

    #[test]
    fn attachments_are_links_below_the_body() {
        let attachments = urls(&["https://example.com/a?b=1&c=2"]);
        assert_eq!(parts("Hi\n", &attachments)[0]["value"], "Hi\n\nhttps://example.com/a?b=1&c=2");
        let link =
            "<p><a href=\"https://example.com/a?b=1&amp;c=2\">https://example.com/a?b=1&amp;c=2</a></p>";
        let html = parts("<html><BODY>Hi</BODY></html>", &attachments);
        assert_eq!(html[1]["value"], format!("<html><BODY>Hi{link}</BODY></html>"));
        assert_eq!(parts("<b>Hi</b>", &attachments)[1]["value"], format!("<b>Hi</b>{link}"));
    }

    #[test]
    fn no_value_is_ever_empty() {
        assert_eq!(parts("", &[])[0]["value"], " ");
        assert_eq!(parts("", &urls(&["https://example.com/a"]))[0]["value"], "https://example.com/a");
        for none in [None, Some(""), Some(" \n")] {
            assert_eq!(subject(none), "(no subject)");
        }
    }

    #[test]
    fn a_subject_stays_on_one_line() {
        assert_eq!(subject(Some("Hi\r\nBcc: x")), "Hi  Bcc: x");
    }
}
