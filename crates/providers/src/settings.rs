//! The kind-specific part of a `[[providers]]` entry. References such as `env:NAME` are resolved before.

use std::collections::BTreeMap;
use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::Class;

/// What an adapter is made from. Every value is held as a secret: which of them are is the kind's knowledge.
pub struct Settings {
    pub base_url: Url,
    /// False only where the configuration says `verify = false`.
    pub verify: bool,
    /// What the operator says about the provider's error codes, against the kind's own table.
    pub codes: BTreeMap<String, Class>,
    pub values: BTreeMap<String, SecretString>,
}

/// A key that is missing, unknown or wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct SettingsError {
    pub key: String,
    pub problem: String,
}

impl SettingsError {
    pub fn new(key: &str, problem: impl Into<String>) -> Self {
        Self { key: key.to_owned(), problem: problem.into() }
    }
}

impl Settings {
    /// Refuses every key that the kind does not know.
    ///
    /// # Errors
    /// Names the first unknown key and the known ones.
    pub fn only(&self, known: &[&str]) -> Result<(), SettingsError> {
        match self.values.keys().find(|key| !known.contains(&key.as_str())) {
            Some(key) => {
                Err(SettingsError::new(key, format!("unknown; this kind takes {}", known.join(", "))))
            }
            None => Ok(()),
        }
    }

    /// # Errors
    /// When the key is missing or empty.
    pub fn required(&self, key: &str) -> Result<SecretString, SettingsError> {
        self.optional(key).ok_or_else(|| SettingsError::new(key, "is required and must not be empty"))
    }

    /// The value, unless it is missing or empty.
    pub fn optional(&self, key: &str) -> Option<SecretString> {
        self.values.get(key).filter(|value| !value.expose_secret().is_empty()).cloned()
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<&String> = self.values.keys().collect();
        f.debug_struct("Settings").field("base_url", &self.base_url.as_str()).field("keys", &keys).finish()
    }
}
