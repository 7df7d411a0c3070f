//! A filter as people write it, in the URL and in forms: the API's, and times told by how long ago they were.

use app_db::messages::list::Filter;
use jiff::{SignedDuration, Timestamp};

use super::form::path_with;
use crate::App;
use crate::fields::Fields;
use crate::messages::list_messages::read_filter;
use crate::problem::Problem;
use crate::times;

/// What a filter may name, in the order of the form.
pub(super) const NAMES: [&str; 10] =
    ["status", "delivery", "channel", "direction", "from", "to", "text", "conversation_id", "since", "until"];

/// A filter: what it means, and how the URL says it.
#[derive(Clone, Debug)]
pub(super) struct Narrowed {
    pub filter: Filter,
    /// Names and texts of what is given.
    pub said: Vec<(&'static str, String)>,
}

impl Narrowed {
    /// Takes a filter's fields. An empty one is none: forms send them all. Times may be told by how long ago they were.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(app: &App, mut fields: Fields) -> Result<Self, Problem> {
        let mut said = Vec::new();
        for name in NAMES.into_iter().chain(["problem"]) {
            match fields.peek(name).and_then(serde_json::Value::as_str) {
                Some("") => fields.forget(name),
                Some(text) => said.push((name, text.to_owned())),
                None => {}
            }
        }
        for name in ["since", "until"] {
            let said = fields.peek(name).and_then(serde_json::Value::as_str);
            if let Some(time) = said.and_then(|text| before_now(text, app.clock.now())) {
                fields.replace(name, times::format(time));
            }
        }
        let filter = read_filter(&mut fields, &app.config.addressing);
        fields.finish().map(|()| Self { filter, said })
    }

    pub(super) fn path(&self, path: &str, more: &[(&str, Option<&str>)]) -> String {
        let said = self.said.iter().map(|(name, text)| (*name, Some(text.as_str())));
        path_with(path, &said.chain(more.iter().copied()).collect::<Vec<_>>())
    }

    /// The same, with each time as it is now in place of how long ago it was.
    pub(super) fn at_fixed_times(mut self) -> Self {
        for (name, said) in &mut self.said {
            let time = match *name {
                "since" => self.filter.since,
                "until" => self.filter.until,
                _ => None,
            };
            if let Some(time) = time {
                *said = times::format(time);
            }
        }
        self
    }

    pub(super) fn text(&self, name: &str) -> &str {
        self.said.iter().find(|(other, _)| *other == name).map_or("", |(_, text)| text)
    }

    /// `status failed, to +12025550199`; `all messages`.
    pub(super) fn in_words(&self) -> String {
        if self.said.is_empty() {
            return "all messages".to_owned();
        }
        let parts: Vec<String> =
            self.said.iter().map(|(name, text)| format!("{} {text}", name.replace('_', " "))).collect();
        parts.join(", ")
    }
}

/// `90m`, `6h`, `2d` ago.
fn before_now(text: &str, now: Timestamp) -> Option<Timestamp> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    let span = SignedDuration::from_secs(i64::from(number.parse::<u32>().ok()?) * seconds);
    now.checked_sub(span).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_may_be_told_by_how_long_ago_it_was() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let ago = |text| before_now(text, now).map(|time| 1_000_000 - time.as_second());
        assert_eq!(ago("90m"), Some(5_400));
        assert_eq!(ago("6h"), Some(21_600));
        assert_eq!(ago("2d"), Some(172_800));
        for other in ["", "h", "6", "-6h", "6w", "2026-11-23T08:30:00Z", "6é", "4294967296d"] {
            assert_eq!(ago(other), None, "{other}");
        }
    }
}
