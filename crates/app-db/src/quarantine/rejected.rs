//! Rejected webhooks: what could not be verified or understood, each kept once however often it is delivered.

use sha2::{Digest, Sha256};
use tokio_postgres::types::Json;

use super::Delivery;
use crate::{Client, Error};

pub(crate) const KEEP_REJECTED: &str = "insert into webhook_deliveries
                 (id, provider_id, reason, detail, method, target, headers, body, is_cut, peer, content_hash,
                  last_received_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, now())
             on conflict (content_hash) do update set
                 deliveries = webhook_deliveries.deliveries + (webhook_deliveries.id <> excluded.id)::int,
                 last_received_at = excluded.last_received_at";

/// Keeps one that could not be verified or understood. The same from the same provider for the same reason, delivered
/// again, is the same row with a higher count; called again for the same id, it is not counted again.
///
/// # Errors
/// As the database gives them.
pub async fn keep_rejected(client: &Client, delivery: &Delivery, peer: &str) -> Result<(), Error> {
    let statement = client.prepare_cached(KEEP_REJECTED).await?;
    client
        .execute(
            &statement,
            &[
                &delivery.id,
                &delivery.provider_id,
                &delivery.reason.as_str(),
                &delivery.detail,
                &delivery.method,
                &delivery.target,
                &Json(&delivery.headers),
                &delivery.body,
                &delivery.is_cut,
                &peer,
                &content_hash(delivery).as_slice(),
            ],
        )
        .await?;
    Ok(())
}

/// What makes two deliveries the same. Each part is preceded by its length, so that no two lists of parts are one text.
fn content_hash(delivery: &Delivery) -> [u8; 32] {
    let Delivery { provider_id, reason, method, target, body, .. } = delivery;
    let parts =
        [provider_id.as_bytes(), reason.as_str().as_bytes(), method.as_bytes(), target.as_bytes(), body];
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}
