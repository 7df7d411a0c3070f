//! Whether a body is HTML, and what remains of it as text. A rule and a reduction, no parser: what is shown to
//! people is the HTML itself.

/// Elements that people write in mail. A closed list, so that `a < b`, `<ann@example.com>` and `Vec<T>` are text.
const ELEMENTS: &[&str] = &[
    "a",
    "b",
    "blockquote",
    "body",
    "br",
    "center",
    "code",
    "div",
    "em",
    "font",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "head",
    "hr",
    "html",
    "i",
    "img",
    "li",
    "meta",
    "ol",
    "p",
    "pre",
    "s",
    "small",
    "span",
    "strong",
    "style",
    "sub",
    "sup",
    "table",
    "tbody",
    "td",
    "th",
    "thead",
    "title",
    "tr",
    "u",
    "ul",
];

/// Elements after which text goes on in a new line.
const BLOCKS: &[&str] = &[
    "blockquote",
    "br",
    "div",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "li",
    "ol",
    "p",
    "pre",
    "table",
    "tr",
    "ul",
];

/// Elements that stand beside each other.
const CELLS: &[&str] = &["td", "th"];

/// Elements whose content is not text.
const HIDDEN: &[&str] = &["head", "script", "style", "template", "title"];

/// A body is HTML if it holds a doctype, or a whole tag of a well-known element.
pub fn is_html(body: &str) -> bool {
    body.trim_start().get(..9).is_some_and(|start| start.eq_ignore_ascii_case("<!doctype"))
        || tags(body).any(|tag| ELEMENTS.contains(&tag.name.as_str()))
}

/// The text of the HTML, without tags, one line per block.
pub fn to_text(html: &str) -> String {
    let mut text = Text::default();
    let mut from = 0;
    let mut hidden: Option<String> = None;
    for tag in tags(html) {
        match &hidden {
            Some(name) if tag.closing && tag.name == *name => hidden = None,
            Some(_) => {}
            None => {
                text.push(&html[from..tag.start]);
                if BLOCKS.contains(&tag.name.as_str()) {
                    text.break_line();
                } else if CELLS.contains(&tag.name.as_str()) {
                    text.push(" ");
                } else if !tag.closing && HIDDEN.contains(&tag.name.as_str()) {
                    hidden = Some(tag.name);
                }
            }
        }
        from = tag.end;
    }
    if hidden.is_none() {
        text.push(&html[from..]);
    }
    text.written.trim().to_owned()
}

pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

struct Tag {
    /// Lower case; empty for a comment or declaration.
    name: String,
    closing: bool,
    start: usize,
    end: usize,
}

/// Every `<name …>`, `</name>`, `<!…>` and `<!--…-->`. All offsets lie at ASCII characters.
fn tags(html: &str) -> impl Iterator<Item = Tag> {
    let mut from = 0;
    std::iter::from_fn(move || {
        loop {
            let start = from + html.get(from..)?.find('<')?;
            from = start + 1;
            let rest = &html[from..];
            if let Some(comment) = rest.strip_prefix("!--") {
                let end = comment.find("-->").map_or(html.len(), |length| from + 3 + length + 3);
                from = end;
                return Some(Tag { name: String::new(), closing: false, start, end });
            }
            let closing = rest.starts_with('/');
            let name = rest.trim_start_matches(['/', '!']);
            let name = &name[..name.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(name.len())];
            let named = name.starts_with(|c: char| c.is_ascii_alphabetic());
            let after = rest[rest.find(name).unwrap_or(0) + name.len()..].chars().next();
            if !named || !after.is_some_and(|c| matches!(c, '>' | '/') || c.is_ascii_whitespace()) {
                continue;
            }
            let end = from + rest.find('>')? + 1;
            from = end;
            let name = if rest.starts_with('!') { String::new() } else { name.to_ascii_lowercase() };
            return Some(Tag { name, closing, start, end });
        }
    })
}

/// Text under construction: white space runs together, as a browser shows it.
#[derive(Default)]
struct Text {
    written: String,
    space: bool,
}

impl Text {
    fn push(&mut self, html: &str) {
        for c in unescape(html).chars() {
            if c.is_whitespace() && c != '\u{a0}' {
                self.space = true;
                continue;
            }
            if self.space && !self.written.is_empty() && !self.written.ends_with('\n') {
                self.written.push(' ');
            }
            self.space = false;
            self.written.push(if c == '\u{a0}' { ' ' } else { c });
        }
    }

    fn break_line(&mut self) {
        self.space = false;
        if !self.written.is_empty() && !self.written.ends_with("\n\n") {
            self.written.push('\n');
        }
    }
}

const ENTITIES: &[(&str, char)] =
    &[("amp", '&'), ("lt", '<'), ("gt", '>'), ("quot", '"'), ("apos", '\''), ("nbsp", '\u{a0}')];
const ENTITY_BYTES_MAX: usize = 8;

fn unescape(html: &str) -> String {
    let mut text = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(at) = rest.find('&') {
        text.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let end = rest.bytes().take(ENTITY_BYTES_MAX + 1).position(|byte| byte == b';');
        let entity = end.map(|end| &rest[..end]);
        match entity.and_then(|entity| Some((entity, character(entity)?))) {
            Some((entity, character)) => {
                text.push(character);
                rest = &rest[entity.len() + 1..];
            }
            None => text.push('&'),
        }
    }
    text.push_str(rest);
    text
}

fn character(entity: &str) -> Option<char> {
    match entity.strip_prefix('#') {
        Some(number) => {
            let code = match number.strip_prefix(['x', 'X']) {
                Some(digits) => u32::from_str_radix(digits, 16),
                None => number.parse(),
            };
            char::from_u32(code.ok()?)
        }
        None => ENTITIES.iter().find(|(name, _)| *name == entity).map(|&(_, character)| character),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_with_a_well_known_tag_is_html() {
        for body in [
            "<b>x</b>",
            "Hi <br/> there",
            "<!DOCTYPE html>x",
            "  <!doctype html><x-y>",
            "a <A HREF='x'>b</A>",
        ] {
            assert!(is_html(body), "{body}");
        }
        for body in [
            "",
            "a < b and b > c",
            "<ann@example.com>",
            "Vec<T>",
            "<3 you",
            "<bold>x",
            "<b",
            "<bé>",
            "1 <é b> 2",
        ] {
            assert!(!is_html(body), "{body}");
        }
    }

    #[test]
    fn text_keeps_words_and_lines_and_loses_the_rest() {
        for (html, text) in [
            ("<p>Hello <b>Ann</b>,</p>\n<p>see  you</p>", "Hello Ann,\n\nsee you"),
            (
                "<style>p{color:red}</style><p>a&nbsp;b &lt;c&gt; &#65;&#x42; &eacute; &</p>",
                "a b <c> AB &eacute; &",
            ),
            ("one<br>two<br/>three", "one\ntwo\nthree"),
            ("<head><title>t</title></head><body>grün<!-- <p>no</p> -->!</body>", "grün!"),
            ("<script>if (a < b) x()", ""),
            ("a < b <i>c</i>", "a < b c"),
            ("<p title=\"<\">x</p>", "x"),
            ("<table><tr><th>A</th><td>1</td></tr><tr><td>B<td>2</table>", "A 1\n\nB 2"),
        ] {
            assert_eq!(to_text(html), text, "{html}");
        }
    }
}
