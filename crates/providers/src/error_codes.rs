//! A provider's error codes as data: what each means for a message, whether it comes as an answer or in a receipt.
//! The words are ours: the providers' own often quote addresses. An operator may say otherwise for any code, in the
//! configuration's `codes`: tables are made from documentation, which errs and ages.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use model::{Outcome, Reason};

/// What a code means for the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Not processed: too many requests.
    Throttle,
    /// May work on another try, after so many seconds at least where that is known.
    Retry {
        wait_s: u64,
    },
    /// The account cannot send at all.
    Halt,
    /// The account cannot send at all, or not this message: the code does not say which.
    Forbidden,
    BadRecipient,
    OptedOut,
    Configuration,
    Content,
    /// Refused for good, without a word of its own.
    Refuse,
    /// Nobody knows whether it was accepted.
    Unknown,
}

pub(crate) const RETRY: Class = Class::Retry { wait_s: 0 };

const WORDS: &[(&str, Class)] = &[
    ("throttle", Class::Throttle),
    ("retry", RETRY),
    ("halt", Class::Halt),
    ("forbidden", Class::Forbidden),
    ("bad_recipient", Class::BadRecipient),
    ("opted_out", Class::OptedOut),
    ("configuration", Class::Configuration),
    ("content", Class::Content),
    ("refuse", Class::Refuse),
    ("unknown", Class::Unknown),
];

/// A word that names no [`Class`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownClass;

impl fmt::Display for UnknownClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<&str> = WORDS.iter().map(|(word, _)| *word).collect();
        write!(f, "must be one of {}", words.join(", "))
    }
}

impl std::error::Error for UnknownClass {}

impl FromStr for Class {
    type Err = UnknownClass;

    fn from_str(word: &str) -> Result<Self, UnknownClass> {
        WORDS.iter().find(|(known, _)| *known == word).map(|(_, class)| *class).ok_or(UnknownClass)
    }
}

/// A line of a kind's table.
#[derive(Debug)]
pub(crate) struct ErrorCode {
    pub(crate) code: &'static str,
    pub(crate) class: Class,
    pub(crate) meaning: &'static str,
}

pub(crate) const fn entry(code: &'static str, class: Class, meaning: &'static str) -> ErrorCode {
    ErrorCode { code, class, meaning }
}

/// A kind's table, in ascending order of the codes' text, and what the operator says otherwise.
#[derive(Debug)]
pub(crate) struct ErrorCodes {
    table: &'static [ErrorCode],
    overrides: BTreeMap<String, Class>,
}

/// What is known of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known<'a> {
    pub(crate) code: &'a str,
    pub(crate) class: Class,
    pub(crate) meaning: &'a str,
}

impl ErrorCodes {
    pub(crate) fn new(table: &'static [ErrorCode], overrides: &BTreeMap<String, Class>) -> Self {
        Self { table, overrides: overrides.clone() }
    }

    pub(crate) fn find<'a>(&'a self, code: &'a str) -> Option<Known<'a>> {
        let written =
            self.table.binary_search_by_key(&code, |entry| entry.code).ok().map(|at| &self.table[at]);
        let meaning = written.map(|entry| entry.meaning);
        let class = self.overrides.get(code).copied().or(written.map(|entry| entry.class))?;
        Some(Known { code, class, meaning: meaning.unwrap_or("classified by the configuration") })
    }

    /// Whether the configuration says what the code means: then nothing else does.
    pub(crate) fn is_configured(&self, code: &str) -> bool {
        self.overrides.contains_key(code)
    }
}

impl Known<'_> {
    /// What the code means as the answer to a call; `retry_after` is what the answer's headers ask for.
    pub(crate) fn outcome(self, retry_after: Option<Duration>) -> Outcome {
        let provider_code = Some(self.code.to_owned());
        let detail = self.meaning.to_owned();
        let reason = match self.class {
            Class::Throttle => return Outcome::Throttled { retry_after, provider_code },
            Class::Retry { wait_s } => {
                let retry_after = retry_after.or((wait_s > 0).then(|| Duration::from_secs(wait_s)));
                return Outcome::Unavailable { retry_after, provider_code, detail };
            }
            Class::Halt => return Outcome::Halted { provider_code, detail },
            Class::Forbidden => return Outcome::Forbidden { provider_code, detail },
            Class::Unknown => return Outcome::Uncertain { reason: Reason::UnreadableAnswer, detail },
            Class::BadRecipient => Reason::InvalidRecipient,
            Class::OptedOut => Reason::OptedOut,
            Class::Configuration => Reason::Configuration,
            Class::Content => Reason::ContentRejected,
            Class::Refuse => Reason::Rejected,
        };
        Outcome::Rejected { reason, provider_code, detail }
    }

    /// Whether a message that a receipt reports undelivered with this code might be delivered on another try.
    pub(crate) fn is_temporary(self) -> bool {
        matches!(self.class, Class::Retry { .. } | Class::Throttle)
    }
}

/// Every code of a table is found, which binary search promises of an ascending one only.
#[cfg(test)]
pub(crate) fn assert_ascending(table: &'static [ErrorCode]) {
    for pair in table.windows(2) {
        assert!(pair[0].code < pair[1].code, "{} stands before {}", pair[0].code, pair[1].code);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[ErrorCode] = &[entry("1", RETRY, "busy"), entry("10", Class::Halt, "blocked")];

    #[test]
    fn the_configuration_has_the_last_word() {
        assert_ascending(TABLE);
        let codes = |pairs: &[(&str, Class)]| {
            ErrorCodes::new(TABLE, &pairs.iter().map(|(code, class)| ((*code).to_owned(), *class)).collect())
        };
        assert_eq!(codes(&[]).find("10").unwrap().class, Class::Halt);
        assert_eq!(codes(&[]).find("2"), None);
        let changed = codes(&[("10", Class::Refuse), ("2", Class::Content)]);
        assert_eq!(changed.find("10"), Some(Known { code: "10", class: Class::Refuse, meaning: "blocked" }));
        assert_eq!(changed.find("2").unwrap().class, Class::Content);
        assert!(changed.is_configured("10") && !changed.is_configured("1"));
    }

    #[test]
    fn every_class_has_a_word() {
        for (word, class) in WORDS {
            assert_eq!(word.parse::<Class>().as_ref(), Ok(class));
        }
        assert!("maybe".parse::<Class>().unwrap_err().to_string().contains("bad_recipient"));
    }
}
