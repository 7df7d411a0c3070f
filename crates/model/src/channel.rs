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
    Whatsapp,
}

/// What conversations are grouped by: messages between the same addresses are one conversation where they are of the
/// same medium. SMS and MMS are, since a phone shows both in one thread. WhatsApp is a medium of its own although its
/// addresses are phone numbers too: on the phone it is another thread; a reply goes out on its conversation's channel,
/// and one by SMS would answer in a place where the question was never asked; free text may be sent only within 24
/// hours of the recipient's last message *there*; and who hides the number is known by an id that no phone can dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Medium {
    Phone,
    Email,
    Whatsapp,
}

impl Channel {
    pub const ALL: [Self; 4] = [Self::Sms, Self::Mms, Self::Email, Self::Whatsapp];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sms => "sms",
            Self::Mms => "mms",
            Self::Email => "email",
            Self::Whatsapp => "whatsapp",
        }
    }

    pub fn medium(self) -> Medium {
        match self {
            Self::Sms | Self::Mms => Medium::Phone,
            Self::Email => Medium::Email,
            Self::Whatsapp => Medium::Whatsapp,
        }
    }
}

impl Medium {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Phone => "phone",
            Self::Email => "email",
            Self::Whatsapp => "whatsapp",
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
            "whatsapp" => Ok(Self::Whatsapp),
            _ => Err(UnknownWord::new(word, &["phone", "email", "whatsapp"])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_parses_back() {
        for channel in Channel::ALL {
            assert_eq!(channel.as_str().parse(), Ok(channel));
            assert_eq!(channel.medium().as_str().parse(), Ok(channel.medium()));
        }
        assert!("fax".parse::<Channel>().unwrap_err().to_string().ends_with("sms, mms, email, whatsapp"));
    }
}
