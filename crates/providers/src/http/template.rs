//! Texts with placeholders. Each value is encoded for the place it stands in, and a placeholder stands only where an
//! encoded value cannot become anything but a value: that is checked at start.

use std::fmt::Write as _;

use serde_json::Value;

use crate::SettingsError;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placeholder {
    From,
    FromDigits,
    To,
    ToDigits,
    Body,
    Subject,
    /// The one attachment's URL.
    Attachment,
    /// A list of URLs: in JSON only.
    Attachments,
    MessageId,
    Attempt,
    CallbackUrl,
    Username,
    Password,
    ApiKey,
}

use Placeholder::{
    ApiKey, Attachment, Attachments, Attempt, Body, CallbackUrl, From, FromDigits, MessageId, Password,
    Subject, To, ToDigits, Username,
};

const NAMES: &[(&str, Placeholder)] = &[
    ("from", From),
    ("from_digits", FromDigits),
    ("to", To),
    ("to_digits", ToDigits),
    ("body", Body),
    ("subject", Subject),
    ("attachment", Attachment),
    ("attachments", Attachments),
    ("message_id", MessageId),
    ("attempt", Attempt),
    ("callback_url", CallbackUrl),
    ("username", Username),
    ("password", Password),
    ("api_key", ApiKey),
];

/// What a template makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Path and query.
    Url,
    Form,
    Json,
    Xml,
    /// The value of a header.
    Header,
}

#[derive(Debug)]
pub(super) struct Template {
    format: Format,
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    Text(String),
    Value(Placeholder),
}

/// No value that a message can bring is worse.
const PROBE: &str = "x\"\\</>&'\n";

impl Template {
    /// # Errors
    /// Where a placeholder is unknown, or stands where no value can.
    pub(super) fn new(key: &str, format: Format, text: &str) -> Result<Self, SettingsError> {
        let template =
            Self { format, parts: parse(text).map_err(|problem| SettingsError::new(key, problem))? };
        template.check().map_err(|problem| SettingsError::new(key, problem))?;
        Ok(template)
    }

    pub(super) fn has(&self, placeholder: Placeholder) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Value(found) if *found == placeholder))
    }

    /// `value` gives texts as they are; of [`Attachments`] a list in JSON.
    pub(super) fn render(&self, value: &dyn Fn(Placeholder) -> String) -> String {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(literal) => text.push_str(literal),
                Part::Value(Attachments) => text.push_str(&value(Attachments)),
                Part::Value(placeholder) => encode(self.format, &value(*placeholder), &mut text),
            }
        }
        text
    }

    fn check(&self) -> Result<(), String> {
        if self.format != Format::Json && self.has(Attachments) {
            return Err("{attachments} is a list, which only JSON has; use {attachment}".to_owned());
        }
        match self.format {
            Format::Url => self.check_path().and_then(|()| self.check_pairs(false)),
            Format::Form => self.check_pairs(true),
            Format::Json => self.check_json(),
            Format::Xml => self.check_xml(),
            Format::Header => self.check_header(),
        }
    }

    /// A text such as `..` would lead elsewhere; addresses and ids are none.
    fn check_path(&self) -> Result<(), String> {
        for part in &self.parts {
            match part {
                Part::Text(text) if text.contains('?') => break,
                Part::Value(Body | Subject | Attachment | CallbackUrl) => {
                    return Err("takes messages' texts and URLs in its query only".to_owned());
                }
                Part::Text(_) | Part::Value(_) => {}
            }
        }
        match self.parts.first() {
            Some(Part::Text(text)) if text.starts_with('/') => {}
            _ => return Err("must begin with /; it follows base_url".to_owned()),
        }
        let is_plain = |text: &String| text.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
        if self.parts.iter().any(|part| matches!(part, Part::Text(text) if !is_plain(text))) {
            return Err("must be percent-encoded, and has no #".to_owned());
        }
        Ok(())
    }

    /// A placeholder for a name could take another one's place.
    fn check_pairs(&self, mut in_pairs: bool) -> Result<(), String> {
        let mut in_name = in_pairs;
        for part in &self.parts {
            match part {
                Part::Text(text) => {
                    for c in text.chars() {
                        match c {
                            '?' if !in_pairs => (in_pairs, in_name) = (true, true),
                            '&' if in_pairs => in_name = true,
                            '=' if in_pairs => in_name = false,
                            _ => {}
                        }
                    }
                }
                Part::Value(_) if in_pairs && in_name => {
                    return Err("takes placeholders as values of a pair, after its =".to_owned());
                }
                Part::Value(_) => {}
            }
        }
        Ok(())
    }

    fn check_json(&self) -> Result<(), String> {
        let text = self.render(&|placeholder| match placeholder {
            Attachments => "[]".to_owned(),
            Attempt => "1".to_owned(),
            _ => PROBE.to_owned(),
        });
        let value: Value = serde_json::from_str(&text).map_err(
            |_| "must be JSON whose placeholders stand inside strings, except {attachments} and {attempt}",
        )?;
        if has_key_with_probe(&value) {
            return Err("takes placeholders as values, not as names".to_owned());
        }
        Ok(())
    }

    fn check_xml(&self) -> Result<(), String> {
        // Inside a tag; its quotation mark, inside an attribute's value.
        let (mut in_tag, mut quote) = (false, None);
        for part in &self.parts {
            match part {
                Part::Text(text) => {
                    if text.contains("<!") {
                        return Err("takes neither comments nor CDATA nor document types".to_owned());
                    }
                    for c in text.chars() {
                        match (quote, c) {
                            (Some(open), c) if open == c => quote = None,
                            (None, '"' | '\'') if in_tag => quote = Some(c),
                            (None, '<') => in_tag = true,
                            (None, '>') => in_tag = false,
                            _ => {}
                        }
                    }
                }
                Part::Value(_) if in_tag && quote.is_none() => {
                    return Err(
                        "takes placeholders between tags and as whole values of attributes".to_owned()
                    );
                }
                Part::Value(_) => {}
            }
        }
        if in_tag { Err("must be XML; its last tag does not end".to_owned()) } else { Ok(()) }
    }

    fn check_header(&self) -> Result<(), String> {
        let fits = |part: &Part| {
            matches!(part, Part::Text(_) | Part::Value(MessageId | Attempt | Username | Password | ApiKey))
        };
        if self.parts.iter().all(fits) {
            return Ok(());
        }
        Err("takes {message_id}, {attempt}, {username}, {password} and {api_key} only".to_owned())
    }
}

/// A placeholder is a word in braces; any other brace is itself, as JSON needs many.
fn parse(text: &str) -> Result<Vec<Part>, String> {
    let (mut parts, mut literal, mut rest) = (Vec::new(), String::new(), text);
    while let Some(at) = rest.find('{') {
        let (before, after) = rest.split_at(at);
        literal.push_str(before);
        let is_word =
            |word: &&str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        let Some(word) = after[1..].split_once('}').map(|(word, _)| word).filter(is_word) else {
            literal.push('{');
            rest = &after[1..];
            continue;
        };
        let Some((_, placeholder)) = NAMES.iter().find(|(name, _)| *name == word) else {
            let names: Vec<String> = NAMES.iter().map(|(name, _)| format!("{{{name}}}")).collect();
            return Err(format!("{{{word}}} is no placeholder; there are {}", names.join(", ")));
        };
        parts.push(Part::Text(std::mem::take(&mut literal)));
        parts.push(Part::Value(*placeholder));
        rest = &after[word.len() + 2..];
    }
    literal.push_str(rest);
    parts.push(Part::Text(literal));
    parts.retain(|part| !matches!(part, Part::Text(text) if text.is_empty()));
    Ok(parts)
}

fn has_key_with_probe(value: &Value) -> bool {
    match value {
        Value::Object(object) => {
            object.iter().any(|(key, value)| key.contains(PROBE) || has_key_with_probe(value))
        }
        Value::Array(values) => values.iter().any(has_key_with_probe),
        _ => false,
    }
}

pub(super) fn encode(format: Format, value: &str, text: &mut String) {
    match format {
        Format::Url => {
            for byte in value.bytes() {
                if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                    text.push(char::from(byte));
                } else {
                    let _ = write!(text, "%{byte:02X}");
                }
            }
        }
        Format::Form => text.extend(form_urlencoded::byte_serialize(value.as_bytes())),
        Format::Json => {
            let quoted = Value::from(value).to_string();
            text.push_str(quoted.get(1..quoted.len() - 1).unwrap_or_default());
        }
        Format::Xml => {
            for c in value.chars() {
                match c {
                    '&' => text.push_str("&amp;"),
                    '<' => text.push_str("&lt;"),
                    '>' => text.push_str("&gt;"),
                    '"' => text.push_str("&quot;"),
                    '\'' => text.push_str("&#39;"),
                    // As references they survive the reading of attributes and line ends.
                    '\t' | '\n' | '\r' => {
                        let _ = write!(text, "&#{};", u32::from(c));
                    }
                    // XML 1.0 section 2.2 has no other control characters, not even as references.
                    '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => text.push('\u{fffd}'),
                    c => text.push(c),
                }
            }
        }
        Format::Header => text.push_str(value),
    }
}

#[cfg(test)]
#[path = "template/tests.rs"]
mod tests;
