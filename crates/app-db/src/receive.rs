//! Receiving: inbound messages that arrive together share a transaction. The same provider message, any number of
//! times and concurrently, is one message. Lock order as in `accept`.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use model::{IdGenerator, NewMessage};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::group::{self, Surroundings};
use crate::media::NewFile;
use crate::messages::{self, Insert};
use crate::transaction::Open;
use crate::{Client, Error, Pool, conversations, media};

/// An inbound message, normalised.
#[derive(Clone, Debug)]
pub struct Inbound {
    pub message: NewMessage,
    pub provider_id: String,
    pub provider_message_id: String,
    pub files: Vec<NewFile>,
}

/// What became of an inbound message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    pub message_id: Uuid,
    /// Whether this delivery stored it; otherwise an earlier one had.
    pub new: bool,
    /// The conversation, where this delivery stored it.
    pub conversation_id: Option<Uuid>,
}

/// The key of a provider's message: SHA-256 over provider and id.
pub fn key_hash(provider_id: &str, provider_message_id: &str) -> [u8; 32] {
    let mut sha = Sha256::new();
    sha.update(provider_id);
    sha.update("\n");
    sha.update(provider_message_id);
    sha.finalize().into()
}

/// Stores a group of inbound messages; the results are in its order. One that the database refuses fails alone.
pub async fn receive(
    pool: &Pool,
    ids: &IdGenerator,
    now: Timestamp,
    group: &[Inbound],
) -> Vec<Result<Received, Error>> {
    group::run(group, Surroundings { pool, ids, now }).await
}

impl group::Member for Inbound {
    type Result = Received;

    async fn write_together(group: &[Self], surroundings: Surroundings<'_>) -> Result<Vec<Received>, Error> {
        let open = Open::on(surroundings.pool).await?;
        let stored = store(&open, group, surroundings).await;
        open.end(stored).await
    }
}

async fn store(
    open: &Open,
    group: &[Inbound],
    surroundings: Surroundings<'_>,
) -> Result<Vec<Received>, Error> {
    let Surroundings { ids, now, .. } = surroundings;
    let hashes: Vec<[u8; 32]> =
        group.iter().map(|inbound| key_hash(&inbound.provider_id, &inbound.provider_message_id)).collect();
    let by_participants = |inbound: &'_ Inbound| inbound.message.participants.hash();
    let wanted =
        group.iter().map(|inbound| (by_participants(inbound), &inbound.message.participants)).collect();
    let (begun, known, owners) =
        tokio::join!(open.begin(), conversations::select(open, &wanted), take_keys(open, group, &hashes));
    begun?;
    let (mut known, owners) = (known?, owners?);
    let owner = |position: usize| owners.get(&hashes[position]).copied();
    let is_new = |position: usize| owner(position) == Some(group[position].message.id);

    let mut fresh: Vec<&Inbound> = group
        .iter()
        .enumerate()
        .filter(|(position, _)| is_new(*position))
        .map(|(_, inbound)| inbound)
        .collect();
    fresh.sort_by_key(|inbound| inbound.message.id);
    let mut conversation_ids: HashMap<Uuid, Uuid> = HashMap::with_capacity(fresh.len());
    if fresh.is_empty() {
        open.commit().await?;
    } else {
        let wanted =
            fresh.iter().map(|inbound| (by_participants(inbound), &inbound.message.participants)).collect();
        conversations::add_missing(open, &wanted, &mut known, ids, now).await?;
        let mut latest = BTreeMap::new();
        for inbound in &fresh {
            let home = conversations::of(&known, &inbound.message.participants)?;
            if home.provider_id.as_ref() != Some(&inbound.provider_id) {
                latest.insert(home.id, inbound.provider_id.as_str());
            }
        }
        conversations::remember_providers(open, &latest).await?;
        let files =
            fresh.iter().flat_map(|inbound| inbound.files.iter().map(|file| (inbound.message.id, file)));
        media::insert(open, &files.collect::<Vec<_>>()).await?;
        let rows = fresh.iter().map(|inbound| insert_of(inbound, &known)).collect::<Result<Vec<_>, _>>()?;
        messages::insert_and_commit(open, &rows).await?;
        conversation_ids.extend(rows.iter().map(|row| (row.message.id, row.conversation_id)));
    }
    let received = |position: usize| {
        let message_id = owner(position).unwrap_or(group[position].message.id);
        let conversation_id = conversation_ids.get(&message_id).copied();
        Received { message_id, new: is_new(position), conversation_id }
    };
    Ok((0..group.len()).map(received).collect())
}

fn insert_of<'a>(inbound: &'a Inbound, known: &conversations::Known) -> Result<Insert<'a>, Error> {
    Ok(Insert {
        message: &inbound.message,
        conversation_id: conversations::of(known, &inbound.message.participants)?.id,
        route: None,
        provider_id: Some(&inbound.provider_id),
        provider_message_id: Some(&inbound.provider_message_id),
    })
}

/// Which message each key stands for: this group's, or the one that was there before.
async fn take_keys(
    client: &Client,
    group: &[Inbound],
    hashes: &[[u8; 32]],
) -> Result<BTreeMap<[u8; 32], Uuid>, Error> {
    let mut owners: BTreeMap<[u8; 32], Uuid> = BTreeMap::new();
    for (inbound, hash) in group.iter().zip(hashes) {
        owners.entry(*hash).or_insert(inbound.message.id);
    }
    let hashes: Vec<&[u8]> = owners.keys().map(|hash| hash.as_slice()).collect();
    let buckets: Vec<i16> = hashes.iter().map(|hash| i16::from(hash[0])).collect();
    let message_ids: Vec<Uuid> = owners.values().copied().collect();
    let statement = client
        .prepare_cached(
            "insert into inbound_keys (bucket, key_hash, message_id)
             select * from unnest($1::smallint[], $2::bytea[], $3::uuid[])
             on conflict (bucket, key_hash) do nothing returning key_hash",
        )
        .await?;
    let taken = client.query(&statement, &[&buckets, &hashes, &message_ids]).await?;
    if taken.len() == owners.len() {
        return Ok(owners);
    }
    let statement = client
        .prepare_cached(
            "select i.key_hash, i.message_id from unnest($1::smallint[], $2::bytea[]) as k(bucket, key_hash)
             join inbound_keys i on i.bucket = any(array[k.bucket]) and i.key_hash = k.key_hash",
        )
        .await?;
    let existing = client.query(&statement, &[&buckets, &hashes]).await?;
    for row in existing {
        if let Ok(hash) = <[u8; 32]>::try_from(row.get::<_, &[u8]>(0)) {
            owners.insert(hash, row.get(1));
        }
    }
    Ok(owners)
}
