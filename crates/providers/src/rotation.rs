//! Two values at once for a verification secret, while it is rotated: webhooks are accepted under either, and calls are
//! made with the first. Works for every kind, since it only makes the kind's provider once per combination.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response};
use jiff::Timestamp;
use model::Outcome;
use secrecy::SecretString;

use crate::{
    Answer, Call, Kind, Outgoing, Provider, Settings, SettingsError, SmtpReply, Webhook, WebhookError,
    WebhookRequest,
};

/// Makes a provider of the kind from `settings`, and from `seconds`, the second values of verification secrets.
///
/// # Errors
/// As the kind's `configure`, for each value; and for a second value of a key that verifies nothing.
pub fn configure(
    kind: &Kind,
    settings: &Settings,
    seconds: &BTreeMap<String, SecretString>,
) -> Result<Box<dyn Provider>, SettingsError> {
    if let Some(key) = seconds.keys().find(|key| !kind.verification_keys.contains(&key.as_str())) {
        let keys = match kind.verification_keys {
            [] => "no key of this kind".to_owned(),
            keys => format!("only {}", keys.join(" and ")),
        };
        return Err(SettingsError::new(key, format!("takes one value; {keys} may have two")));
    }
    let first = (kind.configure)(settings)?;
    if seconds.is_empty() {
        return Ok(first);
    }
    let mut others = Vec::new();
    // Every combination but the first: a webhook may need two secrets, rotated one after the other.
    for combination in 1_u32..1 << seconds.len() {
        let mut values = settings.values.clone();
        for (position, (key, second)) in seconds.iter().enumerate() {
            if combination >> position & 1 == 1 {
                values.insert(key.clone(), second.clone());
            }
        }
        let Settings { base_url, verify, codes, .. } = settings;
        let settings = Settings { base_url: base_url.clone(), verify: *verify, codes: codes.clone(), values };
        others.push((kind.configure)(&settings)?);
    }
    Ok(Box::new(Rotating { first, others }))
}

/// Sends as the first, verifies as any.
#[derive(Debug)]
struct Rotating {
    first: Box<dyn Provider>,
    others: Vec<Box<dyn Provider>>,
}

impl Provider for Rotating {
    fn call(&self, message: &Outgoing<'_>) -> Result<Call, Outcome> {
        self.first.call(message)
    }

    fn outcome(&self, answer: &Answer, now: Timestamp) -> Outcome {
        self.first.outcome(answer, now)
    }

    fn http_outcome(&self, response: &Response<Bytes>, now: Timestamp) -> Outcome {
        self.first.http_outcome(response, now)
    }

    fn smtp_outcome(&self, reply: &SmtpReply) -> Outcome {
        self.first.smtp_outcome(reply)
    }

    fn webhook(&self, request: &WebhookRequest<'_>) -> Result<Webhook, WebhookError> {
        let first = self.first.webhook(request);
        if !matches!(first, Err(WebhookError::Unverified(_))) {
            return first;
        }
        let others = self.others.iter().map(|other| other.webhook(request));
        let verified = |result: &Result<_, _>| !matches!(result, Err(WebhookError::Unverified(_)));
        others.into_iter().find(verified).unwrap_or(first)
    }

    fn reads_parameter(&self, name: &str) -> bool {
        self.first.reads_parameter(name)
    }

    fn document_authorization(&self, url: &str) -> Option<(HeaderName, HeaderValue)> {
        self.first.document_authorization(url)
    }
}
