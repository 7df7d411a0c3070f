//! Accepting sends: requests that arrive together share a transaction, and an answer is given after its commit.
//!
//! Lock order, everywhere: keys, conversations, outbox, messages; within a table by key. Sorted groups on two
//! connections never deadlock; unsorted ones do many times a second.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use model::{Bucket, IdGenerator, Message, NewMessage};
use uuid::Uuid;

use crate::group::{self, Surroundings};
use crate::messages::{self, Insert};
use crate::{Client, Error, Pool, conversations};

/// A checked request to send.
#[derive(Clone, Debug)]
pub struct Accept {
    pub message: NewMessage,
    /// The route's name; empty: none matched.
    pub route: String,
    pub idempotency: Option<Idempotency>,
}

/// A client's Idempotency-Key.
#[derive(Clone, Debug)]
pub struct Idempotency {
    /// SHA-256 over the API key's id and the key.
    pub key_hash: [u8; 32],
    /// SHA-256 over the request.
    pub fingerprint: [u8; 32],
}

/// What became of a request to send.
#[derive(Clone, Debug)]
pub enum Accepted {
    New(Message),
    /// The same request came before under its key: the message as it was answered then.
    Replayed(Message),
    /// Another request came before under its key.
    KeyReused,
    /// The same request came before, and its message has been dropped since.
    Forgotten,
}

/// Stores a group of requests; the results are in its order. A request that the database refuses fails alone.
pub async fn accept(
    pool: &Pool,
    ids: &IdGenerator,
    now: Timestamp,
    group: &[Accept],
) -> Vec<Result<Accepted, Error>> {
    group::run(group, Surroundings { pool, ids, now }).await
}

/// The answer to a request that came before under its key; nothing where none did. For requests that would be refused
/// today and may not have been then.
///
/// # Errors
/// As the database gives them.
pub async fn replay(client: &mut Client, idempotency: &Idempotency) -> Result<Option<Accepted>, Error> {
    let transaction = client.transaction().await?;
    let statement = transaction
        .prepare_cached(
            "select fingerprint, message_id from idempotency_keys where bucket = $1 and key_hash = $2",
        )
        .await?;
    let key_hash = idempotency.key_hash.as_slice();
    let row = transaction.query_opt(&statement, &[&i16::from(key_hash[0]), &key_hash]).await?;
    let Some(row) = row else { return Ok(None) };
    if row.get::<_, &[u8]>(0) != idempotency.fingerprint {
        return Ok(Some(Accepted::KeyReused));
    }
    let message = messages::find_all(&transaction, &[row.get(1)]).await?.pop();
    Ok(Some(
        message
            .map_or(Accepted::Forgotten, |message| Accepted::Replayed(messages::as_first_answered(message))),
    ))
}

impl group::Member for Accept {
    type Result = Accepted;

    async fn write_together(group: &[Self], surroundings: Surroundings<'_>) -> Result<Vec<Accepted>, Error> {
        let Surroundings { pool, ids, now } = surroundings;
        let mut client: Client = pool.get().await?;
        let transaction = client.transaction().await?;
        let keys = take_keys(&transaction, group).await?;
        let mut fresh: Vec<&Accept> = group
            .iter()
            .enumerate()
            .filter(|(position, request)| keys.is_fresh(*position, request))
            .map(|(_, request)| request)
            .collect();
        fresh.sort_by_key(|request| request.message.id);

        let mut stored: HashMap<Uuid, Message> = HashMap::with_capacity(group.len());
        if !fresh.is_empty() {
            let participants = fresh.iter().map(|request| &request.message.participants);
            let known = conversations::resolve(&transaction, participants, ids, now).await?;
            let conversation_of = |request: &Accept| known.get(&request.message.participants.hash()).copied();
            let rows: Vec<(&Accept, Uuid)> =
                fresh.iter().filter_map(|request| Some((*request, conversation_of(request)?))).collect();
            if rows.len() != fresh.len() {
                return Err(Error::Unreadable(
                    "a conversation vanished while a message was added to it".to_owned(),
                ));
            }
            insert_outbox(&transaction, &rows).await?;
            let inserts: Vec<Insert<'_>> = rows
                .iter()
                .map(|(request, conversation_id)| Insert {
                    message: &request.message,
                    conversation_id: *conversation_id,
                    provider_id: None,
                    provider_message_id: None,
                })
                .collect();
            let created_at = messages::insert(&transaction, &inserts).await?;
            for (request, conversation_id) in rows {
                let message = messages::as_accepted(&request.message, conversation_id, created_at);
                stored.insert(message.id, message);
            }
        }
        let replayed_ids = keys.replayed_ids();
        if !replayed_ids.is_empty() {
            for message in messages::find_all(&transaction, &replayed_ids).await? {
                stored.entry(message.id).or_insert_with(|| messages::as_first_answered(message));
            }
        }
        transaction.commit().await?;
        Ok(group
            .iter()
            .enumerate()
            .map(|(position, request)| keys.verdict(position, request, &stored))
            .collect())
    }
}

/// Who owns the idempotency keys of a group: for each key the message and fingerprint that it stands for, and the
/// request of this group that took it, if one did.
struct Keys(BTreeMap<[u8; 32], Owner>);

struct Owner {
    message_id: Uuid,
    fingerprint: [u8; 32],
    taken_by: Option<usize>,
}

impl Keys {
    fn owner(&self, request: &Accept) -> Option<&Owner> {
        self.0.get(&request.idempotency.as_ref()?.key_hash)
    }

    fn is_fresh(&self, position: usize, request: &Accept) -> bool {
        self.owner(request).is_none_or(|owner| owner.taken_by == Some(position))
    }

    fn replayed_ids(&self) -> Vec<Uuid> {
        self.0.values().filter(|owner| owner.taken_by.is_none()).map(|owner| owner.message_id).collect()
    }

    fn verdict(&self, position: usize, request: &Accept, stored: &HashMap<Uuid, Message>) -> Accepted {
        let owner = self.owner(request);
        let same =
            |owner: &Owner| request.idempotency.as_ref().is_some_and(|i| i.fingerprint == owner.fingerprint);
        match owner {
            Some(owner) if !same(owner) => Accepted::KeyReused,
            Some(owner) if owner.taken_by != Some(position) => {
                stored.get(&owner.message_id).cloned().map_or(Accepted::Forgotten, Accepted::Replayed)
            }
            _ => stored.get(&request.message.id).cloned().map_or(Accepted::Forgotten, Accepted::New),
        }
    }
}

async fn take_keys(
    transaction: &deadpool_postgres::Transaction<'_>,
    group: &[Accept],
) -> Result<Keys, Error> {
    let mut keys = BTreeMap::new();
    for (position, request) in group.iter().enumerate() {
        if let Some(idempotency) = &request.idempotency {
            keys.entry(idempotency.key_hash).or_insert(Owner {
                message_id: request.message.id,
                fingerprint: idempotency.fingerprint,
                taken_by: Some(position),
            });
        }
    }
    if keys.is_empty() {
        return Ok(Keys(keys));
    }
    let hashes: Vec<&[u8]> = keys.keys().map(|hash| hash.as_slice()).collect();
    let buckets: Vec<i16> = hashes.iter().map(|hash| i16::from(hash[0])).collect();
    let fingerprints: Vec<&[u8]> = keys.values().map(|owner| owner.fingerprint.as_slice()).collect();
    let message_ids: Vec<Uuid> = keys.values().map(|owner| owner.message_id).collect();
    let statement = transaction
        .prepare_cached(
            "insert into idempotency_keys (bucket, key_hash, fingerprint, message_id)
             select * from unnest($1::smallint[], $2::bytea[], $3::bytea[], $4::uuid[])
             on conflict (bucket, key_hash) do nothing returning key_hash",
        )
        .await?;
    let taken = transaction.query(&statement, &[&buckets, &hashes, &fingerprints, &message_ids]).await?;
    if taken.len() == keys.len() {
        return Ok(Keys(keys));
    }
    let statement = transaction
        .prepare_cached(
            "select i.key_hash, i.fingerprint, i.message_id
             from unnest($1::smallint[], $2::bytea[]) as k(bucket, key_hash)
             join idempotency_keys i on i.bucket = k.bucket and i.key_hash = k.key_hash",
        )
        .await?;
    for row in transaction.query(&statement, &[&buckets, &hashes]).await? {
        let stored =
            (<[u8; 32]>::try_from(row.get::<_, &[u8]>(0)), <[u8; 32]>::try_from(row.get::<_, &[u8]>(1)));
        let (Ok(key_hash), Ok(fingerprint)) = stored else { continue };
        let message_id: Uuid = row.get(2);
        if let Some(owner) = keys.get_mut(&key_hash).filter(|owner| owner.message_id != message_id) {
            *owner = Owner { message_id, fingerprint, taken_by: None };
        }
    }
    Ok(Keys(keys))
}

async fn insert_outbox(
    transaction: &deadpool_postgres::Transaction<'_>,
    rows: &[(&Accept, Uuid)],
) -> Result<(), Error> {
    let message_ids: Vec<Uuid> = rows.iter().map(|(request, _)| request.message.id).collect();
    let buckets: Vec<i16> = message_ids.iter().map(|&id| Bucket::of(id).as_i16()).collect();
    let conversation_ids: Vec<Uuid> = rows.iter().map(|(_, conversation_id)| *conversation_id).collect();
    let channels: Vec<&str> = rows.iter().map(|(request, _)| request.message.channel.as_str()).collect();
    let routes: Vec<&str> = rows.iter().map(|(request, _)| request.route.as_str()).collect();
    let priorities: Vec<i16> = rows.iter().map(|(request, _)| request.message.priority.as_i16()).collect();
    let send_ats: Vec<Option<Timestamp>> = rows.iter().map(|(request, _)| request.message.send_at).collect();
    let expires_ats: Vec<Option<Timestamp>> =
        rows.iter().map(|(request, _)| request.message.expires_at).collect();
    let statement = transaction
        .prepare_cached(
            "insert into outbox (bucket, message_id, conversation_id, channel, route, priority, next_attempt_at,
                 expires_at)
             select bucket, message_id, conversation_id, channel, route, priority, greatest(send_at, now()), expires_at
             from unnest($1::smallint[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::smallint[],
                     $7::timestamptz[], $8::timestamptz[])
                 as k(bucket, message_id, conversation_id, channel, route, priority, send_at, expires_at)",
        )
        .await?;
    transaction
        .execute(
            &statement,
            &[
                &buckets,
                &message_ids,
                &conversation_ids,
                &channels,
                &routes,
                &priorities,
                &send_ats,
                &expires_ats,
            ],
        )
        .await?;
    Ok(())
}
