//! What a processor knows of a provider, in the words that it publishes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::channel::UnknownWord;
use crate::message::vocabulary;

/// The reason that a processor publishes of a provider while an operator pauses it.
pub const PAUSED_BY_OPERATOR: &str = "paused_by_operator";

vocabulary! {
    /// Whether a provider is given messages, and if not, why.
    ProviderHealth {
        /// It works: messages go to it.
        Closed = "closed",
        /// It failed too often: none go to it for a while.
        Open = "open",
        /// The while is over: a few messages at a time try whether it works again.
        HalfOpen = "half_open",
        /// Messages wait, because the provider asked for it or an operator did.
        Paused = "paused",
        /// It refuses the account: credentials, credit, suspension.
        Halted = "halted",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_parses_back() {
        for &health in ProviderHealth::ALL {
            assert_eq!(health.as_str().parse(), Ok(health));
        }
        assert!("half-open".parse::<ProviderHealth>().is_err());
    }
}
