//! What could not be verified or understood is kept as it came, without credentials, so that it can be looked at
//! and processed again. Must not keep more than a bounded amount of what strangers send.

use std::sync::atomic::Ordering;

use app_db::quarantine::{self, Delivery, Reason};
use bytes::Bytes;
use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION};
use http::{HeaderMap, Method};
use model::Bucket;
use serde_json::{Map, Value};
use service::metrics::ProviderResult;
use tokio::time::Instant;

use crate::App;
use crate::body::Share;
use crate::patience::Met;
use crate::problem::Problem;

/// Of what is not verified, only the beginning.
pub(super) const UNVERIFIED_BYTES_MAX: usize = 256 << 10;
/// How many are kept between two looks at the bounds.
const TRIM_EVERY: usize = 200;
/// Parameters of a URL that are secrets.
const SECRET_PARAMETERS: [&str; 4] = ["secret", "token", "key", "hub.verify_token"];

/// A webhook as it arrived.
pub(super) struct Arrived {
    pub provider_id: String,
    pub method: Method,
    /// Path and query.
    pub target: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Of the memory for bodies.
    pub share: Share,
}

impl Arrived {
    pub(super) async fn keep(&self, app: &App, reason: Reason, detail: &str) -> Result<(), Problem> {
        // Names that anybody may make up are no labels.
        let label = app.config.provider(&self.provider_id).map_or("generic", |provider| provider.id.as_str());
        app.metrics.webhooks_received.get_or_create(&ProviderResult::new(label, reason.as_str())).inc();
        let is_cut = reason == Reason::Unverified && self.body.len() > UNVERIFIED_BYTES_MAX;
        let body = if is_cut { &self.body[..UNVERIFIED_BYTES_MAX] } else { &self.body[..] };
        let delivery = Delivery {
            id: app.ids.next(app.clock.now(), Bucket(0)),
            provider_id: self.provider_id.clone(),
            reason,
            detail: storable(detail),
            method: self.method.to_string(),
            target: without_secrets(&self.target),
            headers: headers_as_json(&self.headers),
            body: body.to_vec(),
            is_cut,
            key_hash: None,
        };
        write_down(app, &delivery).await?;
        tracing::warn!(
            provider.id = label,
            webhook.delivery_id = %delivery.id,
            webhook.reason = reason.as_str(),
            "a webhook was not taken; it is kept in webhook_deliveries"
        );
        if app.kept.fetch_add(1, Ordering::Relaxed) % TRIM_EVERY == TRIM_EVERY - 1 {
            trim(app).await;
        }
        Ok(())
    }
}

/// It is kept, whether or not others make room now: that is tried again later.
async fn trim(app: &App) {
    let trimmed = async {
        let database = app.database().await?;
        Ok::<_, Problem>(quarantine::trim(&database).await?)
    };
    if let Err(problem) = trimmed.await {
        tracing::warn!(error = problem.cause(), "what is kept of webhooks was not trimmed");
    }
}

/// Keeps one, also where the database comes back only in a moment.
pub(super) async fn write_down(app: &App, delivery: &Delivery) -> Result<(), Problem> {
    let began = Instant::now();
    loop {
        let kept = async {
            let database = app.database().await?;
            Ok::<_, Problem>(quarantine::keep(&database, delivery).await?)
        };
        let kept = kept.await;
        let met = match &kept {
            Err(problem) if problem.is_of_no_database() => Met::NoDatabase,
            Err(problem) if problem.is_overload() => Met::NoTurn,
            Ok(()) | Err(_) => Met::Answer,
        };
        if !app.patience.waits_to_repeat(began, met).await {
            return kept;
        }
    }
}

/// No text column takes a NUL.
pub(super) fn storable(detail: &str) -> String {
    detail.replace('\0', "\u{fffd}")
}

fn headers_as_json(headers: &HeaderMap) -> Value {
    let mut map = Map::new();
    for (name, value) in headers {
        if ![AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE].contains(name) {
            let text = Value::from(String::from_utf8_lossy(value.as_bytes()).into_owned());
            match map.get_mut(name.as_str()) {
                Some(Value::Array(values)) => values.push(text),
                _ => {
                    map.insert(name.to_string(), Value::Array(vec![text]));
                }
            }
        }
    }
    Value::Object(map)
}

fn without_secrets(target: &str) -> String {
    let Some((path, query)) = target.split_once('?') else { return target.to_owned() };
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) if SECRET_PARAMETERS.contains(&name.to_ascii_lowercase().as_str()) => {
            format!("{name}=...")
        }
        _ => pair.to_owned(),
    });
    format!("{path}?{}", pairs.collect::<Vec<_>>().join("&"))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn credentials_are_not_kept() {
        let target = "/api/webhooks/sendgrid-main?secret=hush&x=1&TOKEN=t";
        assert_eq!(without_secrets(target), "/api/webhooks/sendgrid-main?secret=...&x=1&TOKEN=...");
        assert_eq!(without_secrets("/api/webhooks/sms"), "/api/webhooks/sms");
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer hush"));
        headers.append("x-twilio-signature", HeaderValue::from_static("a"));
        headers.append("x-twilio-signature", HeaderValue::from_static("b"));
        assert_eq!(headers_as_json(&headers), serde_json::json!({"x-twilio-signature": ["a", "b"]}));
    }
}
