//! A kept webhook once more, after what was wrong has been put right: verified and understood again, under the
//! configuration of now. Credentials were not kept, so what was proven by them cannot be proven again.

use app_db::quarantine::{self, Delivery, Reason};
use app_db::receipts::{Applied, NewReceipt};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use model::Medium;
use providers::WebhookError;
use serde_json::Value;

use super::generic;
use super::keep::Arrived;
use crate::App;
use crate::body::Share;
use crate::problem::Problem;

const GENERIC: &str = "generic";

/// Takes it in and forgets that it was kept.
///
/// # Errors
/// Why it still cannot be taken; it stays then.
pub(crate) async fn replay(app: &App, delivery: Delivery) -> Result<(), Problem> {
    let id = delivery.id;
    if delivery.reason == Reason::Unmatched {
        apply_receipt(app, &delivery).await?;
    } else if delivery.provider_id == GENERIC {
        take_generic(app, delivery).await?;
    } else {
        take(app, delivery).await?;
    }
    quarantine::remove(&*app.database().await?, id).await?;
    Ok(())
}

async fn apply_receipt(app: &App, delivery: &Delivery) -> Result<(), Problem> {
    let receipt: NewReceipt =
        serde_json::from_slice(&delivery.body).map_err(|error| still("cannot be read").because(error))?;
    match app.receipts.commit(receipt, Share::default()).await? {
        Applied::Unmatched => Err(still("matches no message")),
        Applied::Changed { .. } | Applied::Stale => Ok(()),
    }
}

async fn take_generic(app: &App, delivery: Delivery) -> Result<(), Problem> {
    if delivery.reason == Reason::Unverified {
        let detail = "it came without the right secret, and secrets are not kept: only its sender can deliver it again";
        return Err(Problem::new(StatusCode::CONFLICT, "not_replayable", detail));
    }
    let medium =
        if delivery.target.starts_with("/api/webhooks/email") { Medium::Email } else { Medium::Phone };
    let arrived = arrived(delivery);
    let inbound = generic::inbound(app, &arrived, medium)?;
    generic::take(app, &arrived, inbound).await?;
    Ok(())
}

async fn take(app: &App, delivery: Delivery) -> Result<(), Problem> {
    let Some(provider) = app.config.provider(&delivery.provider_id) else {
        return Err(still("is of a provider that is not configured here"));
    };
    let (arrived, understood) = super::read(app, provider, arrived(delivery)).await?;
    match understood {
        Ok(webhook) => match super::store(app, &arrived, &provider.base_url, webhook).await {
            // It was kept again, with what is wrong now.
            Err(problem) if problem.status() == StatusCode::BAD_REQUEST => Ok(()),
            stored => stored.map(|_| ()),
        },
        Err(WebhookError::Unverified(why)) => Err(still(&format!("is not verified: {why}"))),
        Err(WebhookError::Unparsable(why)) => Err(still(&format!("is not understood: {why}"))),
        Err(WebhookError::Needs(url)) => Err(still(&format!("needs {url}, which cannot be had"))),
    }
}

fn still(why: &str) -> Problem {
    Problem::conflict("not_replayable", format!("it still {why}"))
}

fn arrived(delivery: Delivery) -> Arrived {
    Arrived {
        method: Method::from_bytes(delivery.method.as_bytes()).unwrap_or(Method::POST),
        headers: headers(&delivery.headers),
        provider_id: delivery.provider_id,
        target: delivery.target,
        body: Bytes::from(delivery.body),
        share: Share::default(),
    }
}

/// From the form in which they are kept.
fn headers(kept: &Value) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, values) in kept.as_object().into_iter().flatten() {
        for value in values.as_array().into_iter().flatten().filter_map(Value::as_str) {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                headers.append(name, value);
            }
        }
    }
    headers
}
