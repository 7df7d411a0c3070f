//! Accepting sends: requests that arrive together share a transaction, and an answer is given after its commit.
//!
//! Lock order, everywhere: keys, conversations, outbox, messages; within a table by key. Sorted groups on two
//! connections never deadlock; unsorted ones do many times a second.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use model::{IdGenerator, Message, NewMessage, Variant};
use uuid::Uuid;

use crate::group::{self, Surroundings};
use crate::messages::{self, Insert};
use crate::transaction::Open;
use crate::{Client, Error, Pool, conversations};

/// A checked request to send.
#[derive(Clone, Debug)]
pub struct Accept {
    pub message: NewMessage,
    /// The route's name; empty: none matched.
    pub route: String,
    /// Providers that the message sticks to, where its conversation's last inbound message came through one of them.
    pub sticky: Vec<String>,
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

pub(crate) const REPLAYED: &str =
    "select fingerprint, message_id from idempotency_keys where bucket = $1 and key_hash = $2";

/// The answer to a request that came before under its key; nothing where none did. For requests that would be refused
/// today and may not have been then.
///
/// # Errors
/// As the database gives them.
pub async fn replay(client: &Client, idempotency: &Idempotency) -> Result<Option<Accepted>, Error> {
    let statement = client.prepare_cached(REPLAYED).await?;
    let key_hash = idempotency.key_hash.as_slice();
    let row = client.query_opt(&statement, &[&i16::from(key_hash[0]), &key_hash]).await?;
    let Some(row) = row else { return Ok(None) };
    if row.get::<_, &[u8]>(0) != idempotency.fingerprint {
        return Ok(Some(Accepted::KeyReused));
    }
    let message = messages::find_all(client, &[row.get(1)]).await?.pop();
    Ok(Some(
        message
            .map_or(Accepted::Forgotten, |message| Accepted::Replayed(messages::as_first_answered(message))),
    ))
}

impl group::Member for Accept {
    type Result = Accepted;

    async fn write_together(group: &[Self], surroundings: Surroundings<'_>) -> Result<Vec<Accepted>, Error> {
        let open = Open::on(surroundings.pool).await?;
        let stored = store(&open, group, surroundings).await;
        open.end(stored).await
    }
}

async fn store(
    open: &Open,
    group: &[Accept],
    surroundings: Surroundings<'_>,
) -> Result<Vec<Accepted>, Error> {
    let Surroundings { ids, now, .. } = surroundings;
    let by_participants = |request: &'_ Accept| request.message.participants.hash();
    let wanted =
        group.iter().map(|request| (by_participants(request), &request.message.participants)).collect();
    let (begun, known, keys) =
        tokio::join!(open.begin(), conversations::select(open, &wanted), take_keys(open, group));
    begun?;
    let (mut known, keys) = (known?, keys?);

    let replayed = messages::find_all(open, &keys.replayed_ids()).await?;
    let replayed = replayed.into_iter().map(|message| (message.id, messages::as_first_answered(message)));
    let mut stored: HashMap<Uuid, Message> = replayed.collect();

    let is_fresh = |(position, request): &(usize, &Accept)| keys.is_fresh(*position, request);
    let mut fresh: Vec<&Accept> =
        group.iter().enumerate().filter(is_fresh).map(|(_, request)| request).collect();
    fresh.sort_by_key(|request| request.message.id);
    if fresh.is_empty() {
        open.commit_after_earlier().await?;
    } else {
        let wanted =
            fresh.iter().map(|request| (by_participants(request), &request.message.participants)).collect();
        conversations::add_missing(open, &wanted, &mut known, ids, now).await?;
        let rows = fresh.iter().map(|request| insert_of(request, &known)).collect::<Result<Vec<_>, _>>()?;
        let created_at = messages::insert_and_commit(open, &rows).await?;
        for row in rows {
            stored
                .insert(row.message.id, messages::as_accepted(row.message, row.conversation_id, created_at));
        }
    }
    let verdict = |(position, request)| keys.verdict(position, request, &stored);
    Ok(group.iter().enumerate().map(verdict).collect())
}

fn insert_of<'a>(request: &'a Accept, known: &conversations::Known) -> Result<Insert<'a>, Error> {
    let home = conversations::of(known, &request.message.participants)?;
    let sticks_to = home.provider_id.as_ref().filter(|id| request.sticky.contains(id));
    let lane = sticks_to.map(|id| Variant::Prefer(id.clone()).lane(&request.route));
    Ok(Insert {
        message: &request.message,
        conversation_id: home.id,
        route: Some(lane.map_or(Cow::Borrowed(request.route.as_str()), Cow::Owned)),
        provider_id: None,
        provider_message_id: None,
    })
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

pub(crate) const TAKE_KEYS: &str = "insert into idempotency_keys (bucket, key_hash, fingerprint, message_id)
             select * from unnest($1::smallint[], $2::bytea[], $3::bytea[], $4::uuid[])
             on conflict (bucket, key_hash) do nothing returning key_hash";

pub(crate) const OWNERS_OF_KEYS: &str = "select i.key_hash, i.fingerprint, i.message_id
             from unnest($1::smallint[], $2::bytea[]) as k(bucket, key_hash)
             join idempotency_keys i on i.bucket = any(array[k.bucket]) and i.key_hash = k.key_hash";

async fn take_keys(client: &Client, group: &[Accept]) -> Result<Keys, Error> {
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
    let statement = client.prepare_cached(TAKE_KEYS).await?;
    let taken = client.query(&statement, &[&buckets, &hashes, &fingerprints, &message_ids]).await?;
    if taken.len() == keys.len() {
        return Ok(Keys(keys));
    }
    let statement = client.prepare_cached(OWNERS_OF_KEYS).await?;
    let owned = client.query(&statement, &[&buckets, &hashes]).await?;
    if owned.len() < keys.len() {
        return Err(Error::Unreadable(
            "an idempotency key was deleted for its age while it came again".to_owned(),
        ));
    }
    for row in owned {
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
