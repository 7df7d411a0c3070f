//! A filter as people write it, in the URL and in forms: the API's, and times told by how long ago they were.

use app_db::messages::list::Filter;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::form::path_with;
use super::trouble::Trouble;
use crate::App;
use crate::fields::Fields;
use crate::messages::list_messages::read_filter;
use crate::problem::Problem;
use crate::times;

/// What a filter may name.
pub(super) const NAMES: [&str; 13] = [
    "text",
    "status",
    "channel",
    "to",
    "from",
    "since",
    "until",
    "delivery",
    "direction",
    "provider_id",
    "code",
    "conversation_id",
    "problem",
];

/// Names and texts of what a filter is given, in the order of [`NAMES`].
pub(super) type Said = Vec<(&'static str, String)>;

/// A filter: what it means, and how the URL says it.
#[derive(Clone, Debug)]
pub(super) struct Narrowed {
    pub filter: Filter,
    pub said: Said,
}

/// A filter that cannot be meant.
#[derive(Debug)]
pub(super) struct Misread {
    pub said: Said,
    pub problem: Problem,
}

impl From<Box<Misread>> for Trouble {
    fn from(misread: Box<Misread>) -> Self {
        misread.problem.into()
    }
}

impl Narrowed {
    /// Takes a filter's fields; others are refused: a misspelt one must not mean everything. An empty one is none, as
    /// forms send them all. Times may be told as days, or by how long ago they were.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(app: &App, mut fields: Fields) -> Result<Self, Box<Misread>> {
        let mut said = Vec::new();
        for name in NAMES {
            match fields.peek(name).and_then(serde_json::Value::as_str) {
                Some("") => fields.forget(name),
                Some(text) => said.push((name, text.to_owned())),
                None => {}
            }
        }
        for name in ["since", "until"] {
            let said = fields.peek(name).and_then(serde_json::Value::as_str);
            if let Some(time) = said.and_then(|text| moment(text, app.clock.now())) {
                fields.replace(name, times::format(time));
            }
        }
        let filter = read_filter(&mut fields, &app.config.addressing);
        fields.refuse_the_rest(&[&NAMES]);
        match fields.finish() {
            Ok(()) => Ok(Self { filter, said }),
            Err(problem) => Err(Box::new(Misread { said, problem })),
        }
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

    /// `status failed, to +12025550199`; `all messages`.
    pub(super) fn in_words(&self) -> String {
        if self.said.is_empty() {
            return "all messages".to_owned();
        }
        let parts: Vec<String> = self
            .said
            .iter()
            .map(|(name, text)| match *name {
                "problem" => "problems".to_owned(),
                "text" => format!("“{text}”"),
                name => format!("{} {text}", name.replace('_', " ")),
            })
            .collect();
        parts.join(", ")
    }
}

/// `90m`, `6h`, `2d` ago; the beginning of a day, `today` or `2026-11-23`, in UTC.
fn moment(text: &str, now: Timestamp) -> Option<Timestamp> {
    let day = match text {
        "today" => Some(now.to_zoned(TimeZone::UTC).date()),
        text => text.parse().ok().filter(|_| text.len() == "2026-11-23".len()),
    };
    if let Some(day) = day {
        return Some(day.to_zoned(TimeZone::UTC).ok()?.timestamp());
    }
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
    fn a_time_may_be_told_as_a_day_or_by_how_long_ago_it_was() {
        let now: Timestamp = "2026-11-23T08:30:00Z".parse().unwrap();
        let then = |text| moment(text, now).map(|time| time.to_string());
        assert_eq!(then("90m").as_deref(), Some("2026-11-23T07:00:00Z"));
        assert_eq!(then("6h").as_deref(), Some("2026-11-23T02:30:00Z"));
        assert_eq!(then("2d").as_deref(), Some("2026-11-21T08:30:00Z"));
        assert_eq!(then("today").as_deref(), Some("2026-11-23T00:00:00Z"));
        assert_eq!(then("2026-11-20").as_deref(), Some("2026-11-20T00:00:00Z"));
        for other in ["", "h", "6", "-6h", "6w", "2026-11-23T08:30:00Z", "2026-11-31", "6é", "4294967296d"] {
            assert_eq!(then(other), None, "{other}");
        }
    }
}
