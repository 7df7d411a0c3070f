//! Conversations: one per participant set under any concurrency; their lists.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use model::{Bucket, Channel, Direction, Endpoint, IdGenerator, Participants};
use tokio_postgres::types::Json;
use uuid::Uuid;

use crate::{Client, Error};

/// A stored conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct Conversation {
    pub id: Uuid,
    /// A [`model::Medium`]'s word.
    pub medium: String,
    pub participants: Vec<String>,
    pub created_at: Timestamp,
    pub last_message_at: Timestamp,
}

/// Which conversation belongs to which participants, by their hash.
pub(crate) type Known = HashMap<[u8; 32], Home>;

/// A conversation that messages are added to.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    pub(crate) id: Uuid,
    /// Which provider its last inbound message came through.
    pub(crate) provider_id: Option<String>,
}

/// Participants by their hash, in its order: the order in which conversations are locked.
pub(crate) type Wanted<'a> = BTreeMap<[u8; 32], &'a Participants>;

/// The conversation of these participants.
///
/// # Errors
/// Where it was neither found nor inserted: somebody deleted it in between.
pub(crate) fn of<'a>(known: &'a Known, participants: &Participants) -> Result<&'a Home, Error> {
    let vanished = || Error::Unreadable("a conversation vanished while a message was added to it".to_owned());
    known.get(&participants.hash()).ok_or_else(vanished)
}

pub(crate) const OF_PARTICIPANTS: &str = "select c.participants_hash, c.id, c.provider_id from unnest($1::smallint[], $2::bytea[]) as k(bucket, hash)
             join conversations c on c.bucket = any(array[k.bucket]) and c.participants_hash = k.hash";

/// The conversations that are there already.
pub(crate) async fn select(client: &Client, wanted: &Wanted<'_>) -> Result<Known, Error> {
    let hashes: Vec<&[u8]> = wanted.keys().map(<[u8; 32]>::as_slice).collect();
    let buckets: Vec<i16> = hashes.iter().map(|hash| i16::from(hash[0])).collect();
    let statement = client.prepare_cached(OF_PARTICIPANTS).await?;
    let mut known = Known::with_capacity(wanted.len());
    for row in client.query(&statement, &[&buckets, &hashes]).await? {
        remember(&row, &mut known);
    }
    Ok(known)
}

pub(crate) const ADD_MISSING: &str =
    "insert into conversations (bucket, id, participants_hash, medium, participants)
             select bucket, id, hash, medium, array(select jsonb_array_elements_text(participants))
             from unnest($1::smallint[], $2::uuid[], $3::bytea[], $4::text[], $5::jsonb[])
                 as k(bucket, id, hash, medium, participants)
             on conflict (bucket, participants_hash) do nothing
             returning participants_hash, id, provider_id";

/// Inserts the conversations that are not known yet, in the order of their keys, so that two groups never wait for
/// each other in a circle.
pub(crate) async fn add_missing(
    client: &Client,
    wanted: &Wanted<'_>,
    known: &mut Known,
    ids: &IdGenerator,
    now: Timestamp,
) -> Result<(), Error> {
    let missing: Wanted<'_> =
        wanted.iter().filter(|(hash, _)| !known.contains_key(*hash)).map(|(hash, p)| (*hash, *p)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let hashes: Vec<&[u8]> = missing.keys().map(<[u8; 32]>::as_slice).collect();
    let buckets: Vec<i16> = hashes.iter().map(|hash| i16::from(hash[0])).collect();
    let new_ids: Vec<Uuid> = missing.keys().map(|hash| ids.next(now, Bucket::of_hash(hash))).collect();
    let media: Vec<&str> = missing.values().map(|participants| participants.medium().as_str()).collect();
    let lists: Vec<Json<&[String]>> =
        missing.values().map(|participants| Json(participants.endpoints())).collect();
    let statement = client.prepare_cached(ADD_MISSING).await?;
    let inserted = client.query(&statement, &[&buckets, &new_ids, &hashes, &media, &lists]).await?;
    for row in &inserted {
        remember(row, known);
    }
    if inserted.len() < missing.len() {
        // Somebody else inserted the rest first, and committed: ON CONFLICT waited for that.
        known.extend(select(client, &missing).await?);
    }
    Ok(())
}

fn remember(row: &tokio_postgres::Row, known: &mut Known) {
    if let Ok(hash) = <[u8; 32]>::try_from(row.get::<_, &[u8]>(0)) {
        known.insert(hash, Home { id: row.get(1), provider_id: row.get(2) });
    }
}

pub(crate) const REMEMBER_PROVIDERS: &str = "update conversations c set provider_id = k.provider_id from (
                 select k.* from unnest($1::smallint[], $2::uuid[], $3::text[])
                     as k(bucket, id, provider_id)
                 cross join lateral (
                     select from conversations where id = k.id and bucket = k.bucket for no key update
                 ) as o
             ) as k where c.bucket = any(array[k.bucket]) and c.id = k.id";

/// Notes which provider these conversations' inbound messages came through, where it was another one before. Rows are
/// locked in the order of their ids.
pub(crate) async fn remember_providers(client: &Client, latest: &BTreeMap<Uuid, &str>) -> Result<(), Error> {
    if latest.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = latest.keys().copied().collect();
    let buckets: Vec<i16> = ids.iter().map(|&id| Bucket::of(id).as_i16()).collect();
    let providers: Vec<&str> = latest.values().copied().collect();
    let statement = client.prepare_cached(REMEMBER_PROVIDERS).await?;
    client.execute(&statement, &[&buckets, &ids, &providers]).await?;
    Ok(())
}

pub(crate) const TOUCH: &str = "update conversations c
             set last_message_at = greatest(last_message_at, now() - stale.before * interval '1 microsecond')
             from (
                 select c.bucket, c.id, cardinality($2::uuid[]) - k.position as before
                 from unnest($1::smallint[], $2::uuid[]) with ordinality as k(bucket, id, position)
                 join conversations c on c.bucket = any(array[k.bucket]) and c.id = k.id
                 for no key update of c skip locked
             ) as stale
             where c.bucket = any(array[stale.bucket]) and c.id = stale.id";

/// Notes that something happened in these conversations, in this order. A transaction of its own that skips rows that
/// another server is noting at this moment: activity orders a list, nothing depends on it. The lock does not conflict
/// with the key share lock that every insert of a message holds on its conversation. A server calls it once a second
/// at most.
///
/// # Errors
/// As the database gives them.
pub async fn touch(client: &Client, ids: &[Uuid]) -> Result<(), Error> {
    let buckets: Vec<i16> = ids.iter().map(|&id| Bucket::of(id).as_i16()).collect();
    let statement = client.prepare_cached(TOUCH).await?;
    client.execute(&statement, &[&buckets, &ids]).await?;
    Ok(())
}

const COLUMNS: &str = "bucket, id, medium, participants, created_at, last_message_at";

pub(crate) fn from_row(row: &tokio_postgres::Row) -> Conversation {
    Conversation {
        id: row.get("id"),
        medium: row.get("medium"),
        participants: row.get("participants"),
        created_at: row.get("created_at"),
        last_message_at: row.get("last_message_at"),
    }
}

pub(crate) fn find_sql() -> String {
    format!("select {COLUMNS} from conversations where bucket = $1 and id = $2")
}

/// One conversation.
///
/// # Errors
/// As the database gives them.
pub async fn find(client: &Client, id: Uuid) -> Result<Option<Conversation>, Error> {
    let statement = client.prepare_cached(&find_sql()).await?;
    Ok(client.query_opt(&statement, &[&Bucket::of(id).as_i16(), &id]).await?.as_ref().map(from_row))
}

/// Conversations, the newest activity first, after `after` (its activity and id).
///
/// # Errors
/// As the database gives them.
pub async fn list(
    client: &Client,
    after: Option<(Timestamp, Uuid)>,
    limit: i64,
) -> Result<Vec<Conversation>, Error> {
    let statement = client.prepare_cached(&list_sql()).await?;
    let (activity, id) = after.unwrap_or((Timestamp::MAX, Uuid::max()));
    let activity = activity.min(FAR_FUTURE);
    Ok(client.query(&statement, &[&activity, &id, &limit]).await?.iter().map(from_row).collect())
}

/// 9999-12-31: above every stored time, and below what PostgreSQL can hold.
const FAR_FUTURE: Timestamp = Timestamp::MAX;

pub(crate) fn list_sql() -> String {
    format!(
        "select {COLUMNS} from conversations where (last_message_at, id) < ($1, $2)
         order by last_message_at desc, id desc limit $3"
    )
}

/// So many of the newest conversations tell whether an address is common.
const NEWEST: i64 = 400;
/// An address in more of them is.
const COMMON: i64 = NEWEST / 4;

pub(crate) fn among_the_newest_sql() -> String {
    format!(
        "select count(*) from (
             select participants from conversations order by last_message_at desc, id desc limit {NEWEST}
         ) as newest
         where participants @> array[$1]"
    )
}

/// Whether the address (its grouping key) takes part in a large share of the conversations. The index on participants
/// has as many entries for such an address, and walking the newest finds enough of its conversations at once.
pub(crate) async fn is_common(client: &Client, key: &str) -> Result<bool, Error> {
    let statement = client.prepare_cached(&among_the_newest_sql()).await?;
    Ok(client.query_one(&statement, &[&key]).await?.get::<_, i64>(0) > COMMON)
}

/// How to answer in a conversation: the ends and the channel of its newest message, turned round if that was
/// inbound.
#[derive(Clone, Debug)]
pub struct ReplyEnds {
    pub channel: Channel,
    pub source: Endpoint,
    pub target: Endpoint,
    /// Of that message.
    pub subject: Option<String>,
}

pub(crate) const REPLY_ENDS: &str =
    "select channel, inbound_or_outbound, endpoint_source, endpoint_target, subject from messages
             where (conversation_id, id) >= ($1, '00000000-0000-0000-0000-000000000000')
               and (conversation_id, id) <= ($1, 'ffffffff-ffff-ffff-ffff-ffffffffffff') and bucket = $2
             order by conversation_id desc, id desc limit 1";

/// Nothing where the conversation has no messages (any more).
///
/// # Errors
/// As the database gives them.
pub async fn reply_ends(client: &Client, id: Uuid) -> Result<Option<ReplyEnds>, Error> {
    let statement = client.prepare_cached(REPLY_ENDS).await?;
    let Some(row) = client.query_opt(&statement, &[&id, &Bucket::of(id).as_i16()]).await? else {
        return Ok(None);
    };
    let (source, target) = (Endpoint::stored(row.get(2)), Endpoint::stored(row.get(3)));
    let inbound = row.get::<_, &str>(1).parse::<Direction>()? == Direction::Inbound;
    let (source, target) = if inbound { (target, source) } else { (source, target) };
    Ok(Some(ReplyEnds { channel: row.get::<_, &str>(0).parse()?, source, target, subject: row.get(4) }))
}
