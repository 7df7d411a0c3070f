//! What could not be verified or understood is kept as it came, without credentials, so that it can be looked at
//! and processed again. Must not keep more than a bounded amount of what strangers send.

use std::sync::atomic::Ordering;

use app_db::quarantine::{self, Delivery, Reason};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, Method};
use model::Bucket;
use service::metrics::ProviderResult;
use tokio::time::Instant;

use super::masking::{headers_as_json, target_without_secrets};
use crate::App;
use crate::body::Share;
use crate::patience::Met;
use crate::problem::Problem;
use crate::server::PeerAddress;

/// Of what is not verified, only the beginning.
pub(super) const UNVERIFIED_BYTES_MAX: usize = 256 << 10;
/// How many are kept between two looks at the bounds.
const TRIM_EVERY: usize = 200;

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
    pub peer: PeerAddress,
    /// Whether the body is only its beginning.
    pub is_cut: bool,
}

impl Arrived {
    /// Without its body.
    pub(super) fn head(provider_id: String, parts: &Parts) -> Self {
        Self {
            provider_id,
            method: parts.method.clone(),
            target: parts.uri.path_and_query().map_or_else(String::new, ToString::to_string),
            headers: parts.headers.clone(),
            body: Bytes::new(),
            share: Share::default(),
            peer: PeerAddress::of(&parts.extensions),
            is_cut: false,
        }
    }

    /// Its body as an attachment.
    pub(super) fn as_file(&self) -> providers::File {
        let content_type = self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let content_type = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        let (extension, content_type) = match content_type.to_ascii_lowercase().as_str() {
            "application/json" => ("json", "application/json"),
            "application/x-www-form-urlencoded" => ("form", "application/x-www-form-urlencoded"),
            _ => ("bin", "application/octet-stream"),
        };
        providers::File {
            filename: format!("webhook.{extension}"),
            content_type: content_type.to_owned(),
            bytes: self.body.to_vec(),
        }
    }

    pub(super) async fn keep(&self, app: &App, reason: Reason, detail: &str) -> Result<(), Problem> {
        // Names that anybody may make up are no labels.
        let provider = app.config.provider(&self.provider_id);
        let label = provider.map_or("generic", |provider| provider.id.as_str());
        let reads = |name: &str| provider.is_some_and(|provider| provider.adapter.reads_parameter(name));
        app.metrics.webhooks_received.get_or_create(&ProviderResult::new(label, reason.as_str())).inc();
        let kept_bytes = match reason {
            Reason::Unverified => self.body.len().min(UNVERIFIED_BYTES_MAX),
            Reason::Unparsable | Reason::Unmatched => self.body.len(),
        };
        let is_cut = self.is_cut || kept_bytes < self.body.len();
        let body = &self.body[..kept_bytes];
        let delivery = Delivery {
            id: app.ids.next(app.database_clock.now(), Bucket(0)),
            provider_id: self.provider_id.clone(),
            reason,
            detail: storable(detail),
            method: self.method.to_string(),
            target: target_without_secrets(&self.target, reads),
            headers: headers_as_json(&self.headers),
            body: body.to_vec(),
            is_cut,
            key_hash: None,
        };
        let peer = self.peer.ip.to_string();
        write_down(app, &delivery, &peer).await?;
        if let Some(suppressed) =
            app.log_throttle.due(&format!("rejected webhook {label} {}", reason.as_str()))
        {
            tracing::warn!(
                provider.id = label,
                webhook.delivery_id = %delivery.id,
                webhook.reason = reason.as_str(),
                log.suppressed = suppressed,
                "a webhook was rejected; it is kept in webhook_deliveries"
            );
        }
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
async fn write_down(app: &App, delivery: &Delivery, peer: &str) -> Result<(), Problem> {
    let began = Instant::now();
    loop {
        let kept = async {
            let database = app.database().await?;
            Ok::<_, Problem>(quarantine::keep_rejected(&database, delivery, peer).await?)
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
