//! A kept webhook once more, after what was wrong has been put right: under the configuration of now, and as of when it
//! came, since many a proof is good for minutes only. What was verified when it came is not verified again: credentials
//! are not kept. Must be harmless twice, and at the same time: messages are the same ones then, and the row goes last.

use app_db::audit;
use app_db::quarantine::{self, Delivery, Reason};
use app_db::receipts::{Applied, NewReceipt};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use jiff::Timestamp;
use model::Medium;
use providers::WebhookError;
use serde_json::{Value, json};
use uuid::Uuid;

use super::generic;
use super::keep::{Arrived, UNVERIFIED_BYTES_MAX, storable};
use crate::App;
use crate::audit::Actor;
use crate::authentication::check_webhook_secret;
use crate::body::Share;
use crate::problem::Problem;
use crate::server::PeerAddress;

const GENERIC: &str = "generic";

/// Why something that was not verified is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grounds {
    /// It proves itself.
    Proof,
    /// This person's word.
    Word(Actor),
}

/// Takes it in and forgets that it was kept. With an actor, that is recorded.
///
/// # Errors
/// Why it still cannot be taken; it stays then, with what is wrong with it now.
pub(crate) async fn replay(
    app: &App,
    delivery: Delivery,
    received_at: Timestamp,
    grounds: Grounds,
    by: Option<Actor>,
) -> Result<(), Problem> {
    if delivery.is_cut {
        return Err(Problem::conflict("not_replayable", cut()));
    }
    let (id, reason, provider_id) = (delivery.id, delivery.reason, delivery.provider_id.clone());
    let is_trusted = matches!((reason, &grounds), (Reason::Unverified, Grounds::Word(_)));
    let is_proven = match (reason, grounds) {
        (Reason::Unparsable | Reason::Unmatched, _) => true,
        (Reason::Unverified, Grounds::Proof) => false,
        (Reason::Unverified, Grounds::Word(actor)) => {
            // Whoever looks for how a forgery came in, finds it.
            tracing::warn!(
                provider.id = delivery.provider_id,
                webhook.delivery_id = %id,
                api_key.id = actor.scope(),
                "unverified webhook accepted by operator override"
            );
            true
        }
    };
    let taken = if reason == Reason::Unmatched {
        apply_receipt(app, &delivery).await?;
        Ok(())
    } else if delivery.provider_id == GENERIC {
        take_generic(app, delivery, received_at, is_proven).await?
    } else {
        take(app, delivery, received_at, is_proven).await?
    };
    match taken {
        Ok(()) => remove(app, id, provider_id, reason, grounds, by).await,
        // Why it was not verified when it came, with its credentials, stays the better word.
        Err(WebhookError::Unverified(why)) => Err(still(&format!("is not verified: {why}"))),
        Err(WebhookError::Needs(url)) => Err(still(&format!("needs {url}, which cannot be had"))),
        Err(WebhookError::Unparsable(why)) => {
            // Somebody's word proves nothing to the next who looks at it: it stays unverified.
            if !is_trusted {
                let database = app.database().await?;
                quarantine::note(&database, id, Reason::Unparsable, &storable(&why)).await?;
            }
            Err(still(&format!("is not understood: {why}")))
        }
    }
}

async fn remove(
    app: &App,
    id: Uuid,
    provider_id: String,
    reason: Reason,
    grounds: Grounds,
    by: Option<Actor>,
) -> Result<(), Problem> {
    let mut database = app.database().await?;
    let transaction = app_db::begin(&mut database).await?;
    quarantine::remove(&transaction, id).await?;
    if let Some(actor) = by {
        let action = match grounds {
            Grounds::Proof => "webhook.replay",
            Grounds::Word(_) => "webhook.trust",
        };
        let detail = json!({ "provider_id": provider_id, "reason": reason.as_str() });
        audit::write(&transaction, &actor.entry(app, action, id.to_string(), detail)).await?;
    }
    Ok(app_db::commit(transaction).await?)
}

/// Why one that is cut stays as it is.
pub(crate) fn cut() -> String {
    let kib = UNVERIFIED_BYTES_MAX >> 10;
    format!(
        "it cannot be processed: of what does not prove who sent it, only the first {kib} KiB are kept; put right what \
         is wrong, and have it delivered again"
    )
}

async fn apply_receipt(app: &App, delivery: &Delivery) -> Result<(), Problem> {
    let receipt: NewReceipt =
        serde_json::from_slice(&delivery.body).map_err(|error| still("cannot be read").because(error))?;
    match app.receipts.commit(receipt, Share::default()).await? {
        Applied::Unmatched => Err(still("matches no message")),
        Applied::Ignored(why) => Err(still(&format!("is about no call of its provider ({})", why.as_str()))),
        Applied::Changed { .. } | Applied::Stale => Ok(()),
    }
}

async fn take_generic(
    app: &App,
    delivery: Delivery,
    received_at: Timestamp,
    is_proven: bool,
) -> Result<Result<(), WebhookError>, Problem> {
    let medium =
        if delivery.target.starts_with("/api/webhooks/email") { Medium::Email } else { Medium::Phone };
    let arrived = arrived(delivery);
    let secret = app.config.webhook_secret.as_ref();
    if !is_proven && check_webhook_secret(secret, app.keys.is_open()?, &arrived.headers).is_err() {
        let why = "what it brought as a secret is not kept";
        return Ok(Err(WebhookError::Unverified(why.to_owned())));
    }
    match generic::inbound(app, &arrived, medium) {
        Ok(mut inbound) => {
            inbound.message.timestamp.get_or_insert(received_at);
            generic::take(app, &arrived, inbound).await.map(|_| Ok(()))
        }
        Err(problem) => Ok(Err(WebhookError::Unparsable(problem.summary()))),
    }
}

async fn take(
    app: &App,
    delivery: Delivery,
    received_at: Timestamp,
    is_proven: bool,
) -> Result<Result<(), WebhookError>, Problem> {
    let Some(provider) = app.config.provider(&delivery.provider_id) else {
        return Err(still("is of a provider that is not configured here"));
    };
    let adapter = if is_proven { &provider.trusting } else { &provider.adapter };
    let (arrived, understood) = super::read(app, provider, adapter, arrived(delivery), received_at).await?;
    match understood {
        Ok(mut webhook) => {
            for message in &mut webhook.inbound {
                // It came then, not now.
                message.timestamp.get_or_insert(received_at);
            }
            Ok(super::store(app, &arrived, &provider.base_url, webhook).await?.map(|_reply| ()))
        }
        Err(error) => Ok(Err(error)),
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
        peer: PeerAddress::UNKNOWN,
        is_cut: false,
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
