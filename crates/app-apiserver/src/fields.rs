//! Taking a request apart field by field, collecting everything that is wrong with it, so that one answer names
//! all of it. Must not repeat contents in what it says: they may be somebody's message.

mod object;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use jiff::Timestamp;
use model::{Endpoint, EndpointError};
use serde_json::{Map, Value};

pub(crate) use self::object::Object;
use crate::problem::{FieldError, Problem};
use crate::times;

const ERRORS_MAX: usize = 50;
const NAME_CHARS_MAX: usize = 64;
const ADDRESS_CHARS_MAX: usize = 320;
const URL_BYTES_MAX: usize = 2048;
const METADATA_KEYS_MAX: usize = 50;
const METADATA_BYTES_MAX: usize = 8 << 10;

/// The fields of a request that have not been taken yet, and what was wrong with those that have.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    left: BTreeMap<String, Value>,
    errors: Vec<FieldError>,
}

/// What a text may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Text {
    /// Lines of text.
    Lines,
    /// One line: no line breaks, no tabs.
    Line,
    /// Lines of text that somebody else wrote, with what old encodings leave behind (U+0080 to U+009F).
    Received,
}

impl Fields {
    pub(crate) fn of(object: Object) -> Self {
        let mut fields = Self::default();
        for (name, value) in object.0 {
            match fields.left.entry(name) {
                Entry::Vacant(place) => {
                    place.insert(value);
                }
                Entry::Occupied(mut place) => {
                    place.insert(value);
                    let name = place.key().clone();
                    fields.wrong(&name, "duplicate_field", "stands there more than once");
                }
            }
        }
        fields
    }

    /// The parameters of a URL's query, as fields.
    pub(crate) fn of_query(query: Option<&str>) -> Self {
        let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        Self::of(Object(
            pairs.map(|(name, value)| (name.into_owned(), Value::from(value.into_owned()))).collect(),
        ))
    }

    /// A problem: a sentence whose subject is the field.
    pub(crate) fn wrong(&mut self, field: &str, code: &str, sentence: impl fmt::Display) {
        if self.errors.len() < ERRORS_MAX {
            let field: String = field.chars().take(NAME_CHARS_MAX).collect();
            self.errors.push(FieldError { field, code: code.to_owned(), message: sentence.to_string() });
        }
    }

    pub(crate) fn error_count(&self) -> usize {
        self.errors.len()
    }

    /// What it says, without taking it.
    pub(crate) fn peek(&self, name: &str) -> Option<&Value> {
        self.left.get(name)
    }

    /// As if it had said this.
    pub(crate) fn replace(&mut self, name: &str, text: String) {
        self.left.insert(name.to_owned(), Value::String(text));
    }

    /// As if it had not been there.
    pub(crate) fn forget(&mut self, name: &str) {
        self.left.remove(name);
    }

    /// Nothing where it is absent or null.
    fn take(&mut self, name: &str) -> Option<Value> {
        self.left.remove(name).filter(|value| !value.is_null())
    }

    fn wrong_type(&mut self, name: &str, expected: &str) {
        self.wrong(name, "wrong_type", format_args!("must be {expected}"));
    }

    pub(crate) fn text(&mut self, name: &str, form: Text, chars_max: usize) -> Option<String> {
        let text = match self.take(name)? {
            Value::String(text) => text,
            _ => {
                self.wrong_type(name, "a text");
                return None;
            }
        };
        let plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        let clean = plain || form.takes_all(&text);
        let chars = if plain { text.len() } else { text.chars().count() };
        if !clean {
            self.wrong(name, "control_character", form.refusal());
        }
        if chars > chars_max {
            let sentence = format_args!("has {chars} characters; {chars_max} are taken at most");
            self.wrong(name, "too_long", sentence);
        }
        (clean && chars <= chars_max).then_some(text)
    }

    /// An address: a required line that `normalise` takes.
    pub(crate) fn endpoint(
        &mut self,
        name: &str,
        normalise: impl FnOnce(&str) -> Result<Endpoint, EndpointError>,
    ) -> Option<Endpoint> {
        let text = self.required_text(name, Text::Line, ADDRESS_CHARS_MAX)?;
        match normalise(&text) {
            Ok(endpoint) => Some(endpoint),
            Err(error) => {
                self.wrong(name, error.code(), error);
                None
            }
        }
    }

    /// Required: its absence is a problem.
    pub(crate) fn required_text(&mut self, name: &str, form: Text, chars_max: usize) -> Option<String> {
        let errors_before = self.errors.len();
        let text = self.text(name, form, chars_max);
        if text.is_none() && self.errors.len() == errors_before {
            self.wrong(name, "required", "is required");
        }
        text
    }

    /// One of a few words, or nothing where it is absent.
    pub(crate) fn word<T: std::str::FromStr>(&mut self, name: &str, words: &[&str]) -> Option<T> {
        let value = self.take(name)?;
        let word = value.as_str().filter(|word| words.contains(word)).and_then(|word| word.parse().ok());
        if word.is_none() {
            self.wrong(name, "unknown_word", format_args!("must be one of {}", words.join(", ")));
        }
        word
    }

    pub(crate) fn time(&mut self, name: &str) -> Option<Timestamp> {
        let value = self.take(name)?;
        let time = value.as_str().and_then(times::parse);
        if time.is_none() {
            let lost_plus = value.as_str().is_some_and(times::has_lost_its_plus);
            let hint = if lost_plus { "; in a URL, write the plus of an offset as %2B" } else { "" };
            let sentence = format_args!(
                "must be a time in RFC 3339, from 1970-01-01T00:00:00Z to 9999-12-30T22:00:00Z, such as \
                 2026-11-23T08:30:00Z{hint}"
            );
            self.wrong(name, "invalid_time", sentence);
        }
        time
    }

    /// A list of http(s) URLs; none where it is absent.
    pub(crate) fn urls(&mut self, name: &str, count_max: usize) -> Vec<String> {
        let list = match self.take(name) {
            None => return Vec::new(),
            Some(Value::Array(list)) => list,
            Some(_) => {
                self.wrong_type(name, "a list of URLs");
                return Vec::new();
            }
        };
        if list.len() > count_max {
            let sentence = format_args!("has {} entries; {count_max} are taken at most", list.len());
            self.wrong(name, "too_many", sentence);
            return Vec::new();
        }
        let mut urls = Vec::with_capacity(list.len());
        for (position, value) in list.into_iter().enumerate() {
            match value {
                Value::String(url) if is_web_url(&url) => urls.push(url),
                _ => {
                    let field = format!("{name}[{position}]");
                    let sentence =
                        format_args!("must be an http or https URL of at most {URL_BYTES_MAX} bytes");
                    self.wrong(&field, "invalid_url", sentence);
                }
            }
        }
        urls
    }

    pub(crate) fn metadata(&mut self, name: &str) -> Map<String, Value> {
        let map = match self.take(name) {
            None => return Map::new(),
            Some(Value::Object(map)) => map,
            Some(_) => {
                self.wrong_type(name, "an object");
                return Map::new();
            }
        };
        if map.len() > METADATA_KEYS_MAX {
            self.wrong(name, "too_many", format_args!("has more than {METADATA_KEYS_MAX} keys"));
        }
        if serde_json::to_vec(&map).map_or(usize::MAX, |json| json.len()) > METADATA_BYTES_MAX {
            self.wrong(name, "too_long", format_args!("has more than {METADATA_BYTES_MAX} bytes as JSON"));
        }
        if !map.iter().all(|(key, value)| Text::Lines.takes_all(key) && is_clean(value)) {
            self.wrong(name, "control_character", Text::Lines.refusal());
        }
        map
    }

    /// Every field that nobody took is a mistake: a misspelt one must not be ignored.
    pub(crate) fn refuse_the_rest(&mut self, known: &[&[&str]]) {
        for name in std::mem::take(&mut self.left).into_keys() {
            let sentence = format_args!("is not taken here; these are: {}", known.concat().join(", "));
            self.wrong(&shown(&name), "unknown_field", sentence);
        }
    }

    /// Where a URL takes no parameters: `?send_at=` beside a body would be ignored.
    pub(crate) fn refuse_query(&mut self, query: Option<&str>) {
        for (name, _) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            let sentence = "stands in the URL's query, where nothing is taken; fields belong into the body";
            self.wrong(&shown(&name), "unknown_field", sentence);
        }
    }

    /// The names of what was not taken, with their texts.
    pub(crate) fn texts_left(&self) -> impl Iterator<Item = (&str, &str)> {
        self.left.iter().filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
    }

    /// Whether something that is no text was not taken, under a name of this ending.
    pub(crate) fn other_left(&self, suffix: &str) -> bool {
        self.left.iter().any(|(name, value)| name.ends_with(suffix) && !value.is_string() && !value.is_null())
    }

    /// # Errors
    /// 400 with everything that was wrong, if anything was.
    pub(crate) fn finish(self) -> Result<(), Problem> {
        if self.errors.is_empty() { Ok(()) } else { Err(Problem::validation(self.errors)) }
    }
}

fn shown(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

impl Text {
    fn takes(self, c: char) -> bool {
        match self {
            Self::Lines => !c.is_control() || matches!(c, '\n' | '\r' | '\t'),
            Self::Line => !c.is_control(),
            Self::Received => !c.is_ascii_control() || matches!(c, '\n' | '\r' | '\t'),
        }
    }

    fn takes_all(self, text: &str) -> bool {
        text.chars().all(|c| self.takes(c))
    }

    fn refusal(self) -> &'static str {
        match self {
            Self::Lines | Self::Received => {
                "holds a control character; of those only line breaks and tabs are taken"
            }
            Self::Line => "holds a control character or a line break; it must be one line",
        }
    }
}

fn is_clean(value: &Value) -> bool {
    match value {
        Value::String(text) => Text::Lines.takes_all(text),
        Value::Array(list) => list.iter().all(is_clean),
        Value::Object(map) => map.iter().all(|(key, value)| Text::Lines.takes_all(key) && is_clean(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
    }
}

fn is_web_url(text: &str) -> bool {
    // The parser of URLs drops tabs and line breaks; a stored URL must not hold any.
    let plain = text.len() <= URL_BYTES_MAX && !text.chars().any(|c| c.is_control() || c.is_whitespace());
    // It also finds a host where none is written: http:///x is http://x to it.
    let host_is_written = text.split_once("://").is_some_and(|(_, rest)| !rest.starts_with(['/', '\\']));
    plain
        && host_is_written
        && url::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

#[cfg(test)]
mod tests;
