//! What grows is cut back, in small batches: old keys, idle conversations, messages that outlived their time
//! unsent, rows whose route is gone.

use std::time::Duration;

use jiff::Timestamp;
use model::{Channel, Endpoint, Facts, Priority};
use serde_json::{Map, Value};
use tokio_postgres::types::Json;
use uuid::Uuid;

use crate::claim::{self, Claimed, Lease};
use crate::pool::LONG_LIMIT;
use crate::{Client, Error};

const BATCH: i64 = 5_000;
/// Idempotency keys are promised for 24 hours.
const IDEMPOTENCY_HOURS: f64 = 48.0;
const REFERENCE_HOURS: f64 = 14.0 * 24.0;
/// Messages are dropped by the week: one may outlive its retention by so much and a little.
const INBOUND_MARGIN_HOURS: f64 = 14.0 * 24.0;

pub(crate) const KEY_TABLES: [&str; 3] = ["idempotency_keys", "inbound_keys", "provider_refs"];

/// How long each table keeps a key. Keys of inbound messages go after their messages, which `retention` says; without it
/// neither goes. A webhook's signature may be good for ever: its key is what tells a replay.
fn hours_kept(retention: Option<Duration>) -> [Option<f64>; KEY_TABLES.len()] {
    let inbound = retention.map(|keep| keep.as_secs_f64() / 3600.0 + INBOUND_MARGIN_HOURS);
    [Some(IDEMPOTENCY_HOURS), inbound, Some(REFERENCE_HOURS)]
}

/// How far a cleaning has come in each table of keys. What it deleted stays in the index until a vacuum: a batch begins
/// behind that.
#[derive(Clone, Copy, Debug)]
pub struct KeysCleanedTo([Timestamp; KEY_TABLES.len()]);

impl Default for KeysCleanedTo {
    fn default() -> Self {
        Self([Timestamp::UNIX_EPOCH; KEY_TABLES.len()])
    }
}

/// The oldest first, from the index on their time: a cleaning reads only what it deletes.
pub(crate) fn delete_old_keys_sql(table: &str) -> String {
    format!(
        "with old as materialized (
             select ctid as place, created_at from {table}
             where created_at >= $3 and created_at < now() - $1 * interval '1 hour'
             order by created_at limit $2 for update skip locked
         ), gone as (
             delete from {table} using old where {table}.ctid = old.place
         )
         select count(*), max(created_at) from old"
    )
}

/// Deletes one batch of old keys from each table of keys. Returns how many went; none: there is nothing left above
/// `cleaned_to`, which begins anew then.
///
/// # Errors
/// As the database gives them.
pub async fn delete_old_keys(
    client: &Client,
    retention: Option<Duration>,
    cleaned_to: &mut KeysCleanedTo,
) -> Result<u64, Error> {
    client.allow(LONG_LIMIT);
    let mut deleted = 0;
    let tables = KEY_TABLES.into_iter().zip(hours_kept(retention)).zip(&mut cleaned_to.0);
    for ((table, hours), from) in tables {
        let Some(hours) = hours else { continue };
        let row = client.query_one(&delete_old_keys_sql(table), &[&hours, &BATCH, &*from]).await?;
        deleted += u64::try_from(row.get::<_, i64>(0)).unwrap_or(0);
        *from = row.get::<_, Option<Timestamp>>(1).unwrap_or(*from);
    }
    if deleted == 0 {
        *cleaned_to = KeysCleanedTo::default();
    }
    Ok(deleted)
}

pub(crate) const DELETE_IDLE_CONVERSATIONS: &str = "
        delete from conversations c using (
            select bucket, id from conversations i
            where last_message_at < now() - $1 * interval '1 second'
              and not exists (select from messages m where m.conversation_id = i.id)
            order by last_message_at limit $2 for update skip locked
        ) as idle
        where c.bucket = idle.bucket and c.id = idle.id";

/// Deletes one batch of conversations that have been idle for `keep` and have no messages left.
///
/// # Errors
/// As the database gives them.
pub async fn delete_idle_conversations(client: &Client, keep: Duration) -> Result<u64, Error> {
    client.allow(LONG_LIMIT);
    Ok(client.execute(DELETE_IDLE_CONVERSATIONS, &[&keep.as_secs_f64(), &BATCH]).await?)
}

/// Takes unsent messages that outlived their `expires_at` or the maximum age, under a lease, for the caller to settle as
/// expired: none whose outcome at a provider is unknown. The maximum age is applied to messages that have been due long
/// enough that a processor had its chance. No index finds them: a walk along the ids of the outbox does, a piece of
/// bounded size at each call; `walked_to` is its place and begins as nil.
///
/// # Errors
/// As the database gives them.
pub async fn claim_expired(
    transaction: &deadpool_postgres::Transaction<'_>,
    owner: Uuid,
    now: Timestamp,
    max_age: Duration,
    walked_to: &mut Uuid,
) -> Result<Vec<Claimed>, Error> {
    let mut rows = transaction.query(&claim_expired_sql(), &[&owner, &BATCH]).await?;
    let born_before = model::id::first_id_at(now.checked_sub(max_age).unwrap_or(Timestamp::UNIX_EPOCH));
    let end = transaction.query_opt(END_OF_WALK, &[walked_to, &born_before, &(BATCH - 1)]).await?;
    let end: Option<Uuid> = end.map(|row| row.get(0));
    let last = end.unwrap_or(born_before);
    let max_age_s = max_age.as_secs_f64();
    rows.extend(transaction.query(&claim_outlived_sql(), &[&owner, walked_to, &last, &max_age_s]).await?);
    *walked_to = end.unwrap_or(Uuid::nil());
    rows.iter().map(claim::from_row).collect()
}

/// Where the next piece of the walk ends; no row: it goes to the end.
pub(crate) const END_OF_WALK: &str = "select message_id from outbox where message_id > $1 and message_id < $2
     order by message_id offset $3 limit 1";

pub(crate) fn claim_expired_sql() -> String {
    lease_sql(&format!(
        "select message_id, bucket from outbox
         where expires_at < now() and next_attempt_at < 'infinity' and leased_by is null and not reconciling
           and accepted_by is null and {}
         order by expires_at limit $2",
        claim::known_channel()
    ))
}

pub(crate) fn claim_outlived_sql() -> String {
    lease_sql(&format!(
        "select o.message_id, o.bucket from outbox o
         join messages m on m.id = any(array[o.message_id]) and m.bucket = o.bucket
         where o.message_id > $2 and o.message_id <= $3 and o.leased_by is null and not o.reconciling
           and o.accepted_by is null and o.{}
           and o.next_attempt_at < now() - interval '1 minute'
           and coalesce(m.send_at, m.created_at) < now() - $4 * interval '1 second'",
        claim::known_channel()
    ))
}

/// Leases the rows that `old` selects, in the order of their ids.
fn lease_sql(old: &str) -> String {
    format!(
        "with old as ({old}), due as (
             select d.place from (select * from old order by message_id) as old cross join lateral (
                 select ctid as place from outbox
                 where message_id = old.message_id and bucket = old.bucket and leased_by is null
                 for no key update skip locked
             ) as d
         ), o as (
             update outbox o set lease_no = o.lease_no + 1, leased_by = $1, leased_provider = '',
                 leased_until = now() + interval '10 seconds'
             from due where o.ctid = due.place
             returning o.*, o.next_attempt_at as due_at, null::text as lapsed_provider
         )
         select {columns} from o join messages m on m.id = any(array[o.message_id]) and m.bucket = o.bucket",
        columns = claim::COLUMNS
    )
}

/// A row whose route is not in the configuration.
#[derive(Clone, Debug)]
pub struct Stranded {
    pub lease: Lease,
    pub bucket: i16,
    pub channel: Channel,
    pub source: Endpoint,
    pub target: Endpoint,
    pub priority: Priority,
    pub metadata: Map<String, Value>,
}

impl Stranded {
    /// What rules are asked about it.
    pub fn facts(&self) -> Facts<'_> {
        Facts {
            channel: self.channel,
            source: &self.source,
            target: &self.target,
            priority: self.priority,
            metadata: &self.metadata,
        }
    }
}

pub(crate) const ROUTES_IN_USE: &str = "
        with recursive used as (
            (select route from outbox order by route limit 1)
            union all
            select (select o.route from outbox o where o.route > used.route order by o.route limit 1)
            from used where used.route is not null
        )
        select route from used where route is not null";

/// The routes that rows name: one step in the index for each, however many rows.
///
/// # Errors
/// As the database gives them.
pub async fn routes_in_use(client: &Client) -> Result<Vec<String>, Error> {
    client.allow(LONG_LIMIT);
    Ok(client.query(ROUTES_IN_USE, &[]).await?.iter().map(|row| row.get(0)).collect())
}

pub(crate) fn rows_of_route_sql() -> String {
    format!(
        "select o.message_id, o.bucket, o.lease_no, o.channel, m.endpoint_target, m.endpoint_source, o.priority,
             m.metadata from outbox o
         join messages m on m.id = any(array[o.message_id]) and m.bucket = o.bucket
         where o.route = $1 and o.message_id > $2 and o.{} order by o.message_id limit $3",
        claim::known_channel()
    )
}

/// A batch of rows of that route, after the message `after`; of channels that this version knows.
///
/// # Errors
/// As the database gives them.
pub async fn rows_of_route(client: &Client, route: &str, after: Uuid) -> Result<Vec<Stranded>, Error> {
    client.allow(LONG_LIMIT);
    client
        .query(&rows_of_route_sql(), &[&route, &after, &BATCH])
        .await?
        .iter()
        .map(|row| {
            Ok(Stranded {
                lease: Lease { message_id: row.get(0), lease_no: row.get(2) },
                bucket: row.get(1),
                channel: row.get::<_, &str>(3).parse()?,
                target: Endpoint::stored(row.get(4)),
                source: Endpoint::stored(row.get(5)),
                priority: Priority::from_i16(row.get(6)),
                metadata: row
                    .get::<_, Option<Json<Map<String, Value>>>>(7)
                    .map_or_else(Map::new, |json| json.0),
            })
        })
        .collect()
}

pub(crate) const REROUTE: &str = "
        update outbox o set route = k.route
        from unnest($1::uuid[], $2::smallint[], $3::text[]) as k(message_id, bucket, route)
        where o.message_id = any(array[k.message_id]) and o.bucket = k.bucket and o.route <> k.route";

/// Moves rows to the routes that they match now. Due times and leases stay.
///
/// # Errors
/// As the database gives them.
pub async fn reroute(client: &Client, moves: &[(Stranded, String)]) -> Result<u64, Error> {
    client.allow(LONG_LIMIT);
    let ids: Vec<Uuid> = moves.iter().map(|(row, _)| row.lease.message_id).collect();
    let buckets: Vec<i16> = moves.iter().map(|(row, _)| row.bucket).collect();
    let routes: Vec<&str> = moves.iter().map(|(_, route)| route.as_str()).collect();
    Ok(client.execute(REROUTE, &[&ids, &buckets, &routes]).await?)
}
