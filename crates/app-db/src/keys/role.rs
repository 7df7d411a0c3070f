//! What a key is for.

use std::str::FromStr;

use serde::Serialize;

/// What its holder may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything: the API, and the console with what it administers.
    Operator,
    /// The API alone: a sender whose key is stolen loses messages, not the installation.
    Application,
}

/// A word for none of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no role of a key: it is `operator` or `application`")]
pub struct UnknownRole(String);

impl Role {
    pub const ALL: [Self; 2] = [Self::Operator, Self::Application];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Application => "application",
        }
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or_else(|| UnknownRole(text.to_owned()))
    }
}
