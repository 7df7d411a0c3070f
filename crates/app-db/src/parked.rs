//! Receipts that match no message yet: kept in `webhook_deliveries`, already verified and understood. They are matched by
//! the provider's message id: when the send that they are about is settled, and by a paced search ([`search`]). What is
//! left goes after 72 hours with what else is kept there (`quarantine::trim`).

pub mod search;

use std::collections::HashSet;

use jiff::Timestamp;
use uuid::Uuid;

use crate::receipts::NewReceipt;
use crate::text::storable;
use crate::{Client, Error, receive};

/// One that is kept.
#[derive(Clone, Debug)]
pub struct Parked {
    pub id: Uuid,
    pub receipt: NewReceipt,
    pub received_at: Timestamp,
}

pub(crate) const PARK: &str = "
    insert into webhook_deliveries (id, provider_id, reason, detail, method, target, headers, body, key_hash)
    select id, provider_id, 'unmatched', 'a receipt for which no message is known yet', 'POST',
        '/api/webhooks/' || provider_id, '{}', body, key_hash
    from unnest($1::uuid[], $2::text[], $3::bytea[], $4::bytea[]) as k(id, provider_id, body, key_hash)
    on conflict (id) do nothing";

/// Keeps receipts under these ids, all in one statement; once, however often it is called. The caller should look for
/// their messages once more afterwards: those may have been settled in between.
///
/// # Errors
/// As the database gives them, or where a receipt cannot be written as JSON.
pub async fn park(client: &Client, receipts: &[(Uuid, NewReceipt)]) -> Result<(), Error> {
    let ids: Vec<Uuid> = receipts.iter().map(|(id, _)| *id).collect();
    let provider_ids: Vec<&str> = receipts.iter().map(|(_, receipt)| receipt.provider_id.as_str()).collect();
    let bodies: Vec<Vec<u8>> = receipts
        .iter()
        .map(|(_, receipt)| serde_json::to_vec(receipt).map_err(|error| Error::Unreadable(error.to_string())))
        .collect::<Result<_, _>>()?;
    let hashes: Vec<Option<[u8; 32]>> = receipts
        .iter()
        .map(|(_, receipt)| {
            let id = storable(receipt.provider_message_id.as_deref()?);
            Some(receive::key_hash(&receipt.provider_id, &id))
        })
        .collect();
    let hashes: Vec<Option<&[u8]>> =
        hashes.iter().map(|hash| hash.as_ref().map(<[u8; 32]>::as_slice)).collect();
    let statement = client.prepare_cached(PARK).await?;
    client.execute(&statement, &[&ids, &provider_ids, &bodies, &hashes]).await?;
    Ok(())
}

pub(crate) const FORGET: &str = "delete from webhook_deliveries where id = any($1) and reason = 'unmatched'";

/// Forgets those that need not be kept any longer.
///
/// # Errors
/// As the database gives them.
pub async fn forget(client: &Client, ids: &[Uuid]) -> Result<(), Error> {
    let statement = client.prepare_cached(FORGET).await?;
    client.execute(&statement, &[&ids]).await?;
    Ok(())
}

pub(crate) const LOOK: &str = "
    select id, body, received_at from webhook_deliveries where key_hash = any($1) and reason = 'unmatched'";

/// What is parked for these keys (`receive::key_hash`): to be applied by [`crate::receipts::apply_parked`], which forgets
/// it.
///
/// # Errors
/// As the database gives them.
pub async fn look(client: &Client, key_hashes: &[[u8; 32]]) -> Result<Vec<Parked>, Error> {
    let hashes: HashSet<&[u8]> = key_hashes.iter().map(<[u8; 32]>::as_slice).collect();
    let hashes: Vec<&[u8]> = hashes.into_iter().collect();
    let statement = client.prepare_cached(LOOK).await?;
    let mut found: Vec<Parked> =
        client.query(&statement, &[&hashes]).await?.iter().filter_map(parked).collect();
    // Not ORDER BY: it would walk all that is kept by id instead of looking the keys up.
    found.sort_by_key(|parked| parked.id);
    Ok(found)
}

/// One that another version wrote otherwise is of no use.
fn parked(row: &tokio_postgres::Row) -> Option<Parked> {
    let receipt = serde_json::from_slice(row.get(1)).ok()?;
    Some(Parked { id: row.get(0), receipt, received_at: row.get(2) })
}
