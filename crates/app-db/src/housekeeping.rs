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

/// Deletes one batch of old keys from each table of keys. Returns how many went. Keys of inbound messages go after
/// their messages, which `retention` says; without it neither goes. A webhook's signature may be good for ever: its key
/// is what tells a replay.
///
/// # Errors
/// As the database gives them.
pub async fn delete_old_keys(client: &Client, retention: Option<Duration>) -> Result<u64, Error> {
    client.allow(LONG_LIMIT);
    let mut deleted = 0;
    let inbound_hours = retention.map(|keep| keep.as_secs_f64() / 3600.0 + INBOUND_MARGIN_HOURS);
    for (table, hours) in [
        ("idempotency_keys", Some(IDEMPOTENCY_HOURS)),
        ("inbound_keys", inbound_hours),
        ("provider_refs", Some(REFERENCE_HOURS)),
    ] {
        let Some(hours) = hours else { continue };
        let sql = format!(
            "delete from {table} where ctid = any(array(
                 select ctid from {table} where created_at < now() - $1 * interval '1 hour' limit $2))"
        );
        deleted += client.execute(&sql, &[&hours, &BATCH]).await?;
    }
    Ok(deleted)
}

/// Deletes one batch of conversations that have been idle for `keep` and have no messages left.
///
/// # Errors
/// As the database gives them.
pub async fn delete_idle_conversations(client: &Client, keep: Duration) -> Result<u64, Error> {
    client.allow(LONG_LIMIT);
    let sql = "
        delete from conversations c using (
            select bucket, id from conversations i
            where last_message_at < now() - $1 * interval '1 second'
              and not exists (select from messages m where m.conversation_id = i.id)
            order by last_message_at limit $2 for update skip locked
        ) as idle
        where c.bucket = idle.bucket and c.id = idle.id";
    Ok(client.execute(sql, &[&keep.as_secs_f64(), &BATCH]).await?)
}

/// Takes unsent messages that outlived their `expires_at` or the maximum age, under a lease, for the caller to
/// settle as expired: none whose outcome at a provider is unknown. Due long enough that a processor had its chance, or without any provider to claim for it.
///
/// # Errors
/// As the database gives them.
pub async fn claim_expired(
    transaction: &deadpool_postgres::Transaction<'_>,
    owner: Uuid,
    now: Timestamp,
    max_age: Duration,
) -> Result<Vec<Claimed>, Error> {
    let born_before = model::id::first_id_at(now.checked_sub(max_age).unwrap_or(Timestamp::UNIX_EPOCH));
    let sql = format!(
        "with old as (
             (select message_id, bucket from outbox
              where expires_at < now() and leased_by is null and next_attempt_at < 'infinity' and not reconciling
                and accepted_by is null and {known_channel}
              order by expires_at limit $4)
             union
             (select o.message_id, o.bucket from outbox o
              join messages m on m.id = any(array[o.message_id]) and m.bucket = o.bucket
              where o.message_id < $1 and o.leased_by is null and not o.reconciling and o.accepted_by is null
                and o.{known_channel}
                and o.next_attempt_at < now() - interval '1 minute'
                and coalesce(m.send_at, m.created_at) < now() - $2 * interval '1 second'
              order by o.message_id limit $4)
         ), due as (
             select d.place from (select * from old order by message_id) as old cross join lateral (
                 select ctid as place from outbox
                 where message_id = old.message_id and bucket = old.bucket and leased_by is null
                 for update skip locked
             ) as d
         ), o as (
             update outbox o set lease_no = o.lease_no + 1, leased_by = $3, leased_provider = '',
                 leased_until = now() + interval '10 seconds'
             from due where o.ctid = due.place
             returning o.*, o.next_attempt_at as due_at, null::text as lapsed_provider
         )
         select {columns} from o join messages m on m.id = any(array[o.message_id]) and m.bucket = o.bucket",
        columns = claim::COLUMNS,
        known_channel = claim::known_channel()
    );
    let rows = transaction.query(&sql, &[&born_before, &max_age.as_secs_f64(), &owner, &BATCH]).await?;
    rows.iter().map(claim::from_row).collect()
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

/// The routes that rows name: one step in the index for each, however many rows.
///
/// # Errors
/// As the database gives them.
pub async fn routes_in_use(client: &Client) -> Result<Vec<String>, Error> {
    client.allow(LONG_LIMIT);
    let sql = "
        with recursive used as (
            (select route from outbox order by route limit 1)
            union all
            select (select o.route from outbox o where o.route > used.route order by o.route limit 1)
            from used where used.route is not null
        )
        select route from used where route is not null";
    Ok(client.query(sql, &[]).await?.iter().map(|row| row.get(0)).collect())
}

/// A batch of rows of that route, after the message `after`; of channels that this version knows.
///
/// # Errors
/// As the database gives them.
pub async fn rows_of_route(client: &Client, route: &str, after: Uuid) -> Result<Vec<Stranded>, Error> {
    client.allow(LONG_LIMIT);
    let sql = format!(
        "select o.message_id, o.bucket, o.lease_no, o.channel, m.endpoint_target, m.endpoint_source, o.priority,
             m.metadata from outbox o
         join messages m on m.id = any(array[o.message_id]) and m.bucket = o.bucket
         where o.route = $1 and o.message_id > $2 and o.{} order by o.message_id limit $3",
        claim::known_channel()
    );
    client
        .query(&sql, &[&route, &after, &BATCH])
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

/// Moves rows to the routes that they match now. Due times and leases stay.
///
/// # Errors
/// As the database gives them.
pub async fn reroute(client: &Client, moves: &[(Stranded, String)]) -> Result<u64, Error> {
    client.allow(LONG_LIMIT);
    let ids: Vec<Uuid> = moves.iter().map(|(row, _)| row.lease.message_id).collect();
    let buckets: Vec<i16> = moves.iter().map(|(row, _)| row.bucket).collect();
    let routes: Vec<&str> = moves.iter().map(|(_, route)| route.as_str()).collect();
    let sql = "
        update outbox o set route = k.route
        from unnest($1::uuid[], $2::smallint[], $3::text[]) as k(message_id, bucket, route)
        where o.message_id = any(array[k.message_id]) and o.bucket = k.bucket and o.route <> k.route";
    Ok(client.execute(sql, &[&ids, &buckets, &routes]).await?)
}
