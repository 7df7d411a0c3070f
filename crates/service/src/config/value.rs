//! Values that are written elsewhere (`env:NAME`, `file:PATH`), and the list of what is wrong.

use std::fmt::Display;
use std::ops::Range;

use secrecy::{ExposeSecret, SecretString};

use super::ConfigError;

/// Looks up a variable; unset and empty are the same.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A literal, or what `env:NAME` or `file:PATH` refers to.
pub(super) fn resolve(raw: &str, environment: Environment<'_>) -> Result<SecretString, String> {
    if let Some(name) = raw.strip_prefix("env:") {
        let value = environment(name);
        return value.map(SecretString::from).ok_or(format!("environment variable {name} is not set"));
    }
    if let Some(path) = raw.strip_prefix("file:") {
        let text = std::fs::read_to_string(path).map_err(|error| format!("file {path}: {error}"))?;
        return Ok(SecretString::from(text.trim_end_matches(['\r', '\n']).to_owned()));
    }
    Ok(SecretString::from(raw.to_owned()))
}

/// As [`resolve`], for what guards something: an empty secret would guard nothing.
pub(super) fn resolve_secret(raw: &str, environment: Environment<'_>) -> Result<SecretString, String> {
    let secret = resolve(raw, environment)?;
    if secret.expose_secret().trim().is_empty() {
        return Err("must not be empty".to_owned());
    }
    Ok(secret)
}

/// A secret, or a list of two while it is rotated: both are accepted, the first is the one in use.
pub(super) fn secrets(raw: toml::Value, environment: Environment<'_>) -> Result<Vec<SecretString>, String> {
    let values = match raw {
        toml::Value::Array(values) if values.len() == 2 => values,
        toml::Value::Array(_) => return Err("takes a text, or a list of two while it is rotated".to_owned()),
        value => vec![value],
    };
    let secret = |value| text(value).and_then(|text| resolve_secret(&text, environment));
    values.into_iter().map(secret).collect()
}

/// A text, also where its quotes are forgotten around a number.
pub(super) fn text(value: toml::Value) -> Result<String, String> {
    match value {
        toml::Value::String(text) => Ok(text),
        toml::Value::Integer(number) => Ok(number.to_string()),
        toml::Value::Boolean(flag) => Ok(flag.to_string()),
        _ => Err("must be a text".to_owned()),
    }
}

/// What is wrong so far.
pub(super) struct Problems<'a> {
    file: &'a str,
    text: &'a str,
    found: Vec<String>,
}

impl<'a> Problems<'a> {
    pub(super) fn new(file: &'a str, text: &'a str) -> Self {
        Self { file, text, found: Vec::new() }
    }

    /// A problem with a key of the file.
    pub(super) fn add(&mut self, key: &str, problem: impl Display) {
        self.found.push(format!("{}: {key}: {problem}", self.file));
    }

    /// A problem with a key of the entry that stands at `span`.
    pub(super) fn add_at(&mut self, span: &Range<usize>, key: &str, problem: impl Display) {
        let line = self.text.get(..span.start).unwrap_or_default().matches('\n').count() + 1;
        self.found.push(format!("{}:{line}: {key}: {problem}", self.file));
    }

    /// The file is no TOML, or has a key or value that cannot be. Only the place is told: the line may hold a secret.
    pub(super) fn add_unreadable(&mut self, error: &toml::de::Error) {
        let before = error.span().and_then(|span| self.text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let message = error.message().trim_end().replace('\n', ", ");
        self.found.push(format!("{}: line {line} column {column}: {message}", self.file));
    }

    /// A problem with an environment variable.
    pub(super) fn add_outside(&mut self, name: &str, problem: impl Display) {
        self.found.push(format!("environment variable {name}: {problem}"));
    }

    pub(super) fn into_error(self) -> ConfigError {
        ConfigError { problems: self.found }
    }

    pub(super) fn into_result(self) -> Result<(), ConfigError> {
        if self.found.is_empty() { Ok(()) } else { Err(self.into_error()) }
    }
}
