//! Receiving: inbound messages that arrive together share a transaction. The same provider message, any number of
//! times and concurrently, is one message. Lock order as in `accept`.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;
use model::{IdGenerator, NewMessage};
use sha2::{Digest, Sha256};
use tokio_postgres::Row;
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

/// Stores a group of inbound messages; the results are in its order. One that the database refuses fails alone. The same
/// group again, after a commit whose answer was lost, is answered as that would have been.
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
    let (begun, known, keys) =
        tokio::join!(open.begin(), conversations::select(open, &wanted), take_keys(open, group, &hashes));
    begun?;
    let (mut known, keys) = (known?, keys?);
    let owner = |position: usize| keys.owners.get(&hashes[position]).copied();
    let is_new = |position: usize| owner(position) == Some(group[position].message.id);

    let ours = group.iter().enumerate().filter(|(position, _)| is_new(*position));
    let (fresh, earlier): (Vec<_>, Vec<_>) =
        ours.partition(|(position, _)| keys.taken.contains(&hashes[*position]));
    let mut fresh: Vec<&Inbound> = fresh.into_iter().map(|(_, inbound)| inbound).collect();
    let mut conversation_ids: HashMap<Uuid, Uuid> = HashMap::with_capacity(group.len());
    if !earlier.is_empty() {
        // Ours, and not of this try: an earlier one of the same group was committed, and its answer lost. That may have
        // been while conversations were looked up.
        known = conversations::select(open, &wanted).await?;
        for (_, inbound) in earlier {
            let home = conversations::of(&known, &inbound.message.participants)?;
            conversation_ids.insert(inbound.message.id, home.id);
        }
    }
    fresh.sort_by_key(|inbound| inbound.message.id);
    if fresh.is_empty() {
        open.commit_after_earlier().await?;
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

/// What is known of the keys of a group.
struct Keys {
    /// Which message each stands for: this group's, or the one that was there before.
    owners: BTreeMap<[u8; 32], Uuid>,
    /// Those that were not there before.
    taken: HashSet<[u8; 32]>,
}

pub(crate) const TAKE_KEYS: &str = "insert into inbound_keys (bucket, key_hash, message_id)
             select * from unnest($1::smallint[], $2::bytea[], $3::uuid[])
             on conflict (bucket, key_hash) do nothing returning key_hash";

pub(crate) const OWNERS_OF_KEYS: &str =
    "select i.key_hash, i.message_id from unnest($1::smallint[], $2::bytea[]) as k(bucket, key_hash)
             join inbound_keys i on i.bucket = any(array[k.bucket]) and i.key_hash = k.key_hash";

async fn take_keys(client: &Client, group: &[Inbound], hashes: &[[u8; 32]]) -> Result<Keys, Error> {
    let mut owners: BTreeMap<[u8; 32], Uuid> = BTreeMap::new();
    for (inbound, hash) in group.iter().zip(hashes) {
        owners.entry(*hash).or_insert(inbound.message.id);
    }
    let hashes: Vec<&[u8]> = owners.keys().map(|hash| hash.as_slice()).collect();
    let buckets: Vec<i16> = hashes.iter().map(|hash| i16::from(hash[0])).collect();
    let message_ids: Vec<Uuid> = owners.values().copied().collect();
    let statement = client.prepare_cached(TAKE_KEYS).await?;
    let inserted = client.query(&statement, &[&buckets, &hashes, &message_ids]).await?;
    let hash_of = |row: &Row| <[u8; 32]>::try_from(row.get::<_, &[u8]>(0)).ok();
    let taken: HashSet<[u8; 32]> = inserted.iter().filter_map(hash_of).collect();
    if taken.len() == owners.len() {
        return Ok(Keys { owners, taken });
    }
    let statement = client.prepare_cached(OWNERS_OF_KEYS).await?;
    let owned = client.query(&statement, &[&buckets, &hashes]).await?;
    // What no row says is not taken for stored.
    if owned.len() < owners.len() {
        return Err(Error::Unreadable(
            "an inbound key was deleted for its age while it came again".to_owned(),
        ));
    }
    for row in owned {
        if let Some(hash) = hash_of(&row) {
            owners.insert(hash, row.get(1));
        }
    }
    Ok(Keys { owners, taken })
}
