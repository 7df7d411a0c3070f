//! What commands print: data to stdout, as text or as JSON a line; everything else to stderr. People see control
//! characters that came from outside, their terminal never obeys them; JSON is exact.

use std::borrow::Cow;
use std::io::{self, Write};

use clap::builder::styling::{AnsiColor, Style};
use serde_json::Value;

use crate::arguments::Color;

/// For the whole process; anstream strips what may not be shown.
pub(crate) fn choose_color(color: Color) {
    match color {
        Color::Auto => anstream::ColorChoice::Auto,
        Color::Always => anstream::ColorChoice::Always,
        Color::Never => anstream::ColorChoice::Never,
    }
    .write_global();
}

/// How this command's data is printed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub(crate) json: bool,
}

impl Output {
    /// One record: as JSON, or as the lines that `text` makes of it. What `text` is given may go to a terminal; what
    /// it takes from elsewhere may not.
    pub(crate) fn record(self, value: &Value, text: impl FnOnce(&Value) -> String) -> anyhow::Result<()> {
        if self.json {
            writeln!(anstream::stdout(), "{value}")?;
        } else {
            writeln!(anstream::stdout(), "{}", text(&shown(value, "")))?;
        }
        Ok(())
    }
}

/// The value with every control character visible. A body keeps its lines and tabs.
fn shown(value: &Value, key: &str) -> Value {
    match value {
        Value::String(text) => {
            Value::String(if key == "body" { laid_out(text) } else { visible(text).into_owned() })
        }
        Value::Array(items) => items.iter().map(|item| shown(item, key)).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, field)| (visible(name).into_owned(), shown(field, name)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        other => other.clone(),
    }
}

/// Control characters, and those that turn the direction of text, as `\u{1b}`: a stranger's message must not move
/// the cursor, hide a line or make it read as another.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    if text.contains(is_obeyed) { Cow::Owned(spell_out(text, &[])) } else { Cow::Borrowed(text) }
}

/// As [`visible`], in the lines that the text has.
fn laid_out(text: &str) -> String {
    spell_out(&text.replace("\r\n", "\n"), &['\n', '\t'])
}

fn spell_out(text: &str, kept: &[char]) -> String {
    let mut spelled = String::with_capacity(text.len());
    for c in text.chars() {
        if is_obeyed(c) && !kept.contains(&c) {
            spelled.extend(c.escape_default());
        } else {
            spelled.push(c);
        }
    }
    spelled
}

/// C0, DEL and C1; line and paragraph separators; embeddings, overrides and isolates of direction.
fn is_obeyed(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Text as it is, to stdout.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    write!(anstream::stdout(), "{text}")?;
    Ok(())
}

/// For people, on stderr. Lost where nobody reads it.
pub(crate) fn note(text: &str) {
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// What went wrong, on stderr. It may quote what a server or a person said.
pub(crate) fn problem(text: &str) {
    let text = laid_out(text);
    note(&format!("{}: {text}", paint("error", AnsiColor::Red.on_default().bold())));
}

/// What is odd, on stderr.
pub(crate) fn warning(text: &str) {
    let text = laid_out(text);
    note(&format!("{}: {text}", paint("warning", AnsiColor::Yellow.on_default().bold())));
}

pub(crate) fn paint(text: &str, style: Style) -> String {
    format!("{style}{text}{style:#}")
}

/// A message's status and delivery: green where all is well, red where a person should look.
pub(crate) fn paint_state(text: &str, status: &str, delivery: &str) -> String {
    let color = match (status, delivery) {
        ("failed", _) | (_, "undelivered") => AnsiColor::Red,
        ("retry", _) | (_, "unknown") => AnsiColor::Yellow,
        ("ok", _) => AnsiColor::Green,
        _ => return text.to_owned(),
    };
    paint(text, color.on_default())
}

pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_control_character_from_outside_reaches_a_terminal() {
        let obeyed = (0..=0x9f_u32).chain(0x2028..=0x202e).chain(0x2066..=0x2069);
        let obeyed: Vec<char> = obeyed.filter_map(char::from_u32).filter(|c| is_obeyed(*c)).collect();
        assert_eq!(obeyed.len(), 32 + 33 + 7 + 4);
        let all: String = obeyed.into_iter().collect();
        let value =
            json!({ "from": all, "body": all, "events": [{ "detail": all }], "errors": { &all: all } });
        let shown = shown(&value, "");
        for text in [&shown["from"], &shown["events"][0]["detail"]].map(|text| text.as_str().unwrap()) {
            assert!(!text.contains(is_obeyed), "{text:?}");
        }
        assert!(!shown["errors"].as_object().unwrap().keys().any(|name| name.contains(is_obeyed)));
        let body = shown["body"].as_str().unwrap();
        assert!(!body.contains(|c| is_obeyed(c) && !matches!(c, '\n' | '\t')), "{body:?}");
    }

    #[test]
    fn a_body_keeps_its_lines_and_every_other_text_is_one() {
        let value = json!({ "subject": "a\r\nb\u{1b}[2J", "body": "a\r\nb\rc\u{9b}31m\u{202e}d 👩‍💻 é" });
        let shown = shown(&value, "");
        assert_eq!(shown["subject"], r"a\r\nb\u{1b}[2J");
        assert_eq!(shown["body"], "a\nb\\rc\\u{9b}31m\\u{202e}d 👩‍💻 é");
    }
}
