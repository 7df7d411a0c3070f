//! Channels, and the media that conversations are grouped by.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How a message travels. The API calls it `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    Sms,
    Mms,
    Email,
}

/// What kind of address a channel uses. SMS and MMS between the same numbers are one conversation because both
/// are of medium `phone`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Medium {
    Phone,
    Email,
}

impl Channel {
    pub const ALL: [Self; 3] = [Self::Sms, Self::Mms, Self::Email];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sms => "sms",
            Self::Mms => "mms",
            Self::Email => "email",
        }
    }

    pub fn medium(self) -> Medium {
        match self {
            Self::Sms | Self::Mms => Medium::Phone,
            Self::Email => Medium::Email,
        }
    }
}

impl Medium {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Phone => "phone",
            Self::Email => "email",
        }
    }
}

/// A word that is not in a vocabulary.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` is not one of {allowed}")]
pub struct UnknownWord {
    pub word: String,
    pub allowed: String,
}

impl UnknownWord {
    pub fn new(word: &str, allowed: &[&str]) -> Self {
        Self { word: word.to_owned(), allowed: allowed.join(", ") }
    }
}

impl FromStr for Channel {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        Self::ALL
            .into_iter()
            .find(|channel| channel.as_str() == word)
            .ok_or_else(|| UnknownWord::new(word, &Self::ALL.map(Self::as_str)))
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Medium {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        match word {
            "phone" => Ok(Self::Phone),
            "email" => Ok(Self::Email),
            _ => Err(UnknownWord::new(word, &["phone", "email"])),
        }
    }
}
