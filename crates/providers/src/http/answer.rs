//! What an answer means, by what the configuration says about it. Two things are looked for in its body: a text or a
//! value that shows success, and codes, whose meaning `[providers.codes]` gives.

use bytes::Bytes;
use http::Response;
use jiff::Timestamp;
use model::{Outcome, Reason};
use secrecy::ExposeSecret;
use serde_json::Value;

use crate::error_codes::ErrorCodes;
use crate::inbound_text::code_word;
use crate::response_class::by_status;
use crate::wait::retry_after;
use crate::{Settings, SettingsError};

#[derive(Debug)]
pub(super) struct Answers {
    /// Empty: any 2xx.
    success_status: Vec<u16>,
    /// Any of them. Empty: the status is enough.
    success_when: Vec<Condition>,
    message_id: Option<Place>,
    error_code: Option<Place>,
    codes: ErrorCodes,
}

/// `/json/pointer = value`, or a text that the body contains.
#[derive(Debug)]
enum Condition {
    Contains(String),
    Equals { pointer: String, value: String },
}

/// `/json/pointer`, or the text around a value.
#[derive(Debug)]
enum Place {
    Pointer(String),
    Between { before: String, after: String },
}

impl Answers {
    /// # Errors
    /// Where it does not say what success is, or says it in no form that is known.
    pub(super) fn configure(settings: &Settings) -> Result<Self, SettingsError> {
        let optional = |key: &str| settings.optional(key).map(|text| text.expose_secret().to_owned());
        let place = |key: &str, name: &str| match optional(key) {
            Some(text) => Place::parse(&text, name).map(Some).map_err(|why| SettingsError::new(key, why)),
            None => Ok(None),
        };
        let mut answers = Self {
            success_status: Vec::new(),
            success_when: Vec::new(),
            message_id: place("message_id", "{id}")?,
            error_code: place("error_code", "{code}")?,
            codes: ErrorCodes::new(&[], &settings.codes),
        };
        for word in optional("success_status").unwrap_or_default().split([',', ' ']).filter(|w| !w.is_empty())
        {
            let status = word.parse().ok().filter(|status| (200..=299).contains(status));
            let wrong =
                || SettingsError::new("success_status", "must be statuses of 200 to 299, such as 200, 202");
            answers.success_status.push(status.ok_or_else(wrong)?);
        }
        for line in
            optional("success_when").unwrap_or_default().lines().filter(|line| !line.trim().is_empty())
        {
            let condition = Condition::parse(line.trim());
            answers.success_when.push(condition.map_err(|why| SettingsError::new("success_when", why))?);
        }
        let says_nothing = answers.success_status.is_empty()
            && answers.success_when.is_empty()
            && answers.message_id.is_none();
        if says_nothing {
            return Err(SettingsError::new(
                "success_when",
                "is required, or message_id or success_status: one must tell what a successful answer is",
            ));
        }
        if answers.error_code.is_some() && answers.success_when.is_empty() && answers.message_id.is_none() {
            return Err(SettingsError::new(
                "success_when",
                "is required with error_code, or message_id: a code may stand in successful answers too",
            ));
        }
        if !settings.codes.is_empty()
            && answers.error_code.is_none()
            && settings.optional("receipt_status").is_none()
        {
            return Err(SettingsError::new(
                "error_code",
                "is required where codes are given: it says where they stand",
            ));
        }
        Ok(answers)
    }

    pub(super) fn codes(&self) -> &ErrorCodes {
        &self.codes
    }

    pub(super) fn outcome(&self, response: &Response<Bytes>, now: Timestamp) -> Outcome {
        let (status, headers) = (response.status(), response.headers());
        let text = String::from_utf8_lossy(response.body());
        let json: Value = serde_json::from_slice(response.body()).unwrap_or_default();
        let shows_success = self.success_when.is_empty()
            || self.success_when.iter().any(|condition| condition.holds(&text, &json));
        let is_success_status = match self.success_status[..] {
            [] => status.is_success(),
            ref statuses => statuses.contains(&status.as_u16()),
        };
        if is_success_status && shows_success {
            match &self.message_id {
                None => return Outcome::Accepted { provider_message_id: None },
                Some(place) => {
                    if let Some(id) = place.find(&text, &json).and_then(|id| code_word(&id)) {
                        return Outcome::Accepted { provider_message_id: Some(id) };
                    }
                }
            }
        }
        let code = self.error_code.as_ref().and_then(|place| place.find(&text, &json));
        let known = code.as_deref().and_then(|code| self.codes.find(code));
        if let Some(known) = known.filter(|_| !status.is_redirection() && status.as_u16() != 429) {
            return known.outcome(retry_after(headers, None, now));
        }
        let code = code.as_deref().and_then(code_word);
        if !status.is_success() {
            return by_status(status, headers, None, code, now);
        }
        match code.filter(|_| !shows_success) {
            Some(code) => Outcome::Rejected {
                reason: Reason::Rejected,
                provider_code: Some(code),
                detail: format!("HTTP {}, and a code that codes does not name", status.as_u16()),
            },
            None => Outcome::Uncertain {
                reason: Reason::UnreadableAnswer,
                detail: format!("HTTP {}, but not the answer that is configured as success", status.as_u16()),
            },
        }
    }
}

impl Condition {
    fn parse(line: &str) -> Result<Self, &'static str> {
        if !line.starts_with('/') {
            return Ok(Self::Contains(line.to_owned()));
        }
        let (pointer, value) =
            line.split_once('=').ok_or("must be a text, or a JSON pointer and a value: /status = ok")?;
        Ok(Self::Equals { pointer: pointer.trim().to_owned(), value: value.trim().to_owned() })
    }

    fn holds(&self, text: &str, json: &Value) -> bool {
        match self {
            Self::Contains(wanted) => text.contains(wanted),
            Self::Equals { pointer, value } => {
                json.pointer(pointer).and_then(scalar).is_some_and(|found| found == *value)
            }
        }
    }
}

impl Place {
    fn parse(text: &str, placeholder: &str) -> Result<Self, String> {
        if text.starts_with('/') {
            return Ok(Self::Pointer(text.to_owned()));
        }
        match text.split_once(placeholder) {
            Some((before, after)) if !before.trim().is_empty() => {
                Ok(Self::Between { before: before.to_owned(), after: after.to_owned() })
            }
            _ => Err(format!(
                "must be a JSON pointer such as /data/id, or the text before the value and {placeholder}"
            )),
        }
    }

    /// To the text behind, else to the end of the line.
    fn find(&self, text: &str, json: &Value) -> Option<String> {
        let found = match self {
            Self::Pointer(pointer) => json.pointer(pointer).and_then(scalar)?,
            Self::Between { before, after } => {
                let line = text.split_once(before)?.1.lines().next()?;
                let value = if after.is_empty() { line } else { line.split_once(after)?.0 };
                value.trim().to_owned()
            }
        };
        (1..=100).contains(&found.len()).then_some(found)
    }
}

/// A text, number or truth value, as a text.
pub(super) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

#[cfg(test)]
#[path = "answer/tests.rs"]
mod tests;
