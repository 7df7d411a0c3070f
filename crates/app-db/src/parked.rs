//! Receipts that match no message yet: kept in `webhook_deliveries`, already verified and understood, until the send
//! that they are about is settled. They go after 72 hours with what else is kept there (`quarantine::trim`).

use serde_json::json;
use uuid::Uuid;

use crate::quarantine::{Delivery, Reason};
use crate::receipts::NewReceipt;
use crate::{Client, Error, receive};

/// In the form in which one is parked (`quarantine::keep`). The caller should look for its message once more afterwards:
/// it may have been settled in between.
///
/// # Errors
/// Where it cannot be written as JSON.
pub fn delivery(id: Uuid, receipt: &NewReceipt) -> Result<Delivery, Error> {
    let key_hash = receipt.provider_message_id.as_ref().map(|id| receive::key_hash(&receipt.provider_id, id));
    Ok(Delivery {
        id,
        provider_id: receipt.provider_id.clone(),
        reason: Reason::Unmatched,
        detail: "a receipt for which no message is known yet".to_owned(),
        method: "POST".to_owned(),
        target: format!("/api/webhooks/{}", receipt.provider_id),
        headers: json!({}),
        body: serde_json::to_vec(receipt).map_err(|error| Error::Unreadable(error.to_string()))?,
        is_cut: false,
        key_hash,
    })
}

pub(crate) const FORGET: &str = "delete from webhook_deliveries where id = $1 and reason = 'unmatched'";

/// Forgets one that found its message after all.
///
/// # Errors
/// As the database gives them.
pub async fn forget(client: &Client, id: Uuid) -> Result<(), Error> {
    let statement = client.prepare_cached(FORGET).await?;
    client.execute(&statement, &[&id]).await?;
    Ok(())
}

pub(crate) const LOOK: &str =
    "select id, body from webhook_deliveries where key_hash = any($1) and reason = 'unmatched'";

/// What is parked for these keys (`receive::key_hash`): to be applied, and only then forgotten.
///
/// # Errors
/// As the database gives them.
pub async fn look(client: &Client, key_hashes: &[[u8; 32]]) -> Result<Vec<(Uuid, NewReceipt)>, Error> {
    let hashes: Vec<&[u8]> = key_hashes.iter().map(<[u8; 32]>::as_slice).collect();
    let statement = client.prepare_cached(LOOK).await?;
    let mut rows = client.query(&statement, &[&hashes]).await?;
    // Not ORDER BY: it would walk all that is kept by id instead of looking the keys up.
    rows.sort_by_key(|row| row.get::<_, Uuid>(0));
    // One that an older version wrote otherwise is of no use any more.
    Ok(rows.iter().filter_map(|row| Some((row.get(0), serde_json::from_slice(row.get(1)).ok()?))).collect())
}
