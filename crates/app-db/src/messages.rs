//! Rows of `messages`: inserting a group, reading one, reading an answer back.

pub mod events;
pub mod facts;
pub mod list;

use std::borrow::Cow;

use jiff::Timestamp;
use model::{Bucket, Delivery, Direction, Endpoint, Message, NewMessage, Priority, Status, StatusPayload};
use serde_json::{Map, Value};
use tokio_postgres::Row;
use tokio_postgres::types::{Json, ToSql};
use uuid::Uuid;

use crate::Error;
use crate::transaction::Open;

/// The columns that [`from_row`] reads, of `messages m` left-joined with `outbox o`.
pub(crate) const COLUMNS: &str = "m.id, m.conversation_id, m.channel, m.inbound_or_outbound, m.endpoint_source,
    m.endpoint_target, m.subject, m.body, m.attachments, m.metadata, m.priority, m.status_tag, m.status_payload,
    m.delivery_tag, m.provider_id, m.provider_message_id, m.attempt, m.client_timestamp, m.send_at, m.expires_at,
    m.created_at, m.updated_at, nullif(o.next_attempt_at, 'infinity') as next_attempt_at";

/// A message's insertion: what a send and an inbound message do not have in common.
pub(crate) struct Insert<'a> {
    pub message: &'a NewMessage,
    pub conversation_id: Uuid,
    /// Of a send.
    pub route: Option<Cow<'a, str>>,
    /// Of an inbound message.
    pub provider_id: Option<&'a str>,
    pub provider_message_id: Option<&'a str>,
}

/// A message that goes out gets its outbox row in the statement that stores it: neither is ever there alone.
pub(crate) const INSERT: &str = "
    with n as (
        select * from unnest($1::smallint[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[],
            $8::text[], $9::text[], $10::jsonb[], $11::jsonb[], $12::smallint[], $13::text[], $14::text[],
            $15::text[], $16::text[], $17::timestamptz[], $18::timestamptz[], $19::timestamptz[], $20::text[])
        as n(bucket, id, conversation_id, inbound_or_outbound, channel, endpoint_source, endpoint_target, subject,
            body, attachments, metadata, priority, status_tag, delivery_tag, provider_id, provider_message_id,
            client_timestamp, send_at, expires_at, route)
    ), work as (
        insert into outbox (bucket, message_id, conversation_id, channel, route, priority, next_attempt_at, expires_at)
        select bucket, id, conversation_id, channel, route, priority, greatest(send_at, now()), expires_at
        from n where status_tag = 'outbox'
    ), message as (
        insert into messages (bucket, id, conversation_id, inbound_or_outbound, channel, endpoint_source,
            endpoint_target, subject, body, attachments, metadata, priority, status_tag, delivery_tag, provider_id,
            provider_message_id, client_timestamp, send_at, expires_at)
        select bucket, id, conversation_id, inbound_or_outbound, channel, endpoint_source, endpoint_target, subject,
            body, attachments, metadata, priority, status_tag, delivery_tag, provider_id, provider_message_id,
            client_timestamp, send_at, expires_at
        from n
    )
    select now()";

/// Inserts messages in the order given, which must be by id, and commits. Returns the transaction's time, their
/// `created_at`.
pub(crate) async fn insert_and_commit(open: &Open, rows: &[Insert<'_>]) -> Result<Timestamp, Error> {
    let column =
        |pick: fn(&NewMessage) -> &str| -> Vec<&str> { rows.iter().map(|row| pick(row.message)).collect() };
    let times = |pick: fn(&NewMessage) -> Option<Timestamp>| -> Vec<Option<Timestamp>> {
        rows.iter().map(|row| pick(row.message)).collect()
    };
    let buckets: Vec<i16> = rows.iter().map(|row| Bucket::of(row.message.id).as_i16()).collect();
    let ids: Vec<Uuid> = rows.iter().map(|row| row.message.id).collect();
    let conversations: Vec<Uuid> = rows.iter().map(|row| row.conversation_id).collect();
    let subjects: Vec<Option<&str>> = rows.iter().map(|row| row.message.subject.as_deref()).collect();
    let attachments: Vec<Option<Json<&Vec<String>>>> = rows
        .iter()
        .map(|row| Some(&row.message.attachments).filter(|list| !list.is_empty()).map(Json))
        .collect();
    let metadata: Vec<Option<Json<&Map<String, Value>>>> =
        rows.iter().map(|row| Some(&row.message.metadata).filter(|map| !map.is_empty()).map(Json)).collect();
    let priorities: Vec<i16> = rows.iter().map(|row| row.message.priority.as_i16()).collect();
    let provider_ids: Vec<Option<&str>> = rows.iter().map(|row| row.provider_id).collect();
    let provider_message_ids: Vec<Option<&str>> = rows.iter().map(|row| row.provider_message_id).collect();
    let routes: Vec<Option<&str>> = rows.iter().map(|row| row.route.as_deref()).collect();
    // Prepared before anything is sent: COMMIT must not overtake it.
    let statement = open.prepare_cached(INSERT).await?;
    let values: [&(dyn ToSql + Sync); 20] = [
        &buckets,
        &ids,
        &conversations,
        &column(|m| m.direction.as_str()),
        &column(|m| m.channel.as_str()),
        &column(|m| m.source.as_str()),
        &column(|m| m.target.as_str()),
        &subjects,
        &column(|m| &m.body),
        &attachments,
        &metadata,
        &priorities,
        &column(|m| initial(m.direction).0.as_str()),
        &column(|m| initial(m.direction).1.as_str()),
        &provider_ids,
        &provider_message_ids,
        &times(|m| m.timestamp),
        &times(|m| m.send_at),
        &times(|m| m.expires_at),
        &routes,
    ];
    let (inserted, committed) = tokio::join!(open.query_one(&statement, &values), open.commit());
    let created_at = inserted?.get(0);
    committed?;
    Ok(created_at)
}

fn initial(direction: Direction) -> (Status, Delivery) {
    match direction {
        Direction::Inbound => (Status::Ok, Delivery::Received),
        Direction::Outbound => (Status::Outbox, Delivery::None),
    }
}

/// The message as it was when it had just been stored: what its 202 says, the first time and every time after.
pub(crate) fn as_accepted(new: &NewMessage, conversation_id: Uuid, created_at: Timestamp) -> Message {
    let (status, delivery) = initial(new.direction);
    let due_at = new.send_at.map_or(created_at, |send_at| send_at.max(created_at));
    Message {
        id: new.id,
        conversation_id,
        channel: new.channel,
        direction: new.direction,
        source: new.source.clone(),
        target: new.target.clone(),
        subject: new.subject.clone(),
        body: new.body.clone(),
        attachments: new.attachments.clone(),
        metadata: new.metadata.clone(),
        priority: new.priority,
        status,
        status_payload: None,
        delivery,
        provider_id: None,
        provider_message_id: None,
        attempt: 0,
        next_attempt_at: (new.direction == Direction::Outbound).then_some(due_at),
        timestamp: new.timestamp.unwrap_or(created_at),
        send_at: new.send_at,
        expires_at: new.expires_at,
        created_at,
        updated_at: created_at,
    }
}

/// The stored message, set back to how it was when it had just been stored.
pub(crate) fn as_first_answered(message: Message) -> Message {
    let due_at = message.send_at.map_or(message.created_at, |send_at| send_at.max(message.created_at));
    Message {
        status: Status::Outbox,
        status_payload: None,
        delivery: Delivery::None,
        provider_id: None,
        provider_message_id: None,
        attempt: 0,
        next_attempt_at: Some(due_at),
        updated_at: message.created_at,
        ..message
    }
}

pub(crate) fn from_row(row: &Row) -> Result<Message, Error> {
    let created_at: Timestamp = row.get("created_at");
    Ok(Message {
        id: row.get("id"),
        conversation_id: row.get("conversation_id"),
        channel: row.get::<_, &str>("channel").parse()?,
        direction: row.get::<_, &str>("inbound_or_outbound").parse()?,
        source: Endpoint::stored(row.get("endpoint_source")),
        target: Endpoint::stored(row.get("endpoint_target")),
        subject: row.get("subject"),
        body: row.get("body"),
        attachments: row
            .get::<_, Option<Json<Vec<String>>>>("attachments")
            .map_or_else(Vec::new, |json| json.0),
        metadata: row
            .get::<_, Option<Json<Map<String, Value>>>>("metadata")
            .map_or_else(Map::new, |json| json.0),
        priority: Priority::from_i16(row.get("priority")),
        status: row.get::<_, &str>("status_tag").parse()?,
        status_payload: row.get::<_, Option<Json<StatusPayload>>>("status_payload").map(|json| json.0),
        delivery: row.get::<_, &str>("delivery_tag").parse()?,
        provider_id: row.get("provider_id"),
        provider_message_id: row.get("provider_message_id"),
        attempt: u32::try_from(row.get::<_, i32>("attempt")).unwrap_or(0),
        next_attempt_at: row.get("next_attempt_at"),
        timestamp: row.get::<_, Option<Timestamp>>("client_timestamp").unwrap_or(created_at),
        send_at: row.get("send_at"),
        expires_at: row.get("expires_at"),
        created_at,
        updated_at: row.get("updated_at"),
    })
}

pub(crate) fn find_sql() -> String {
    format!(
        "select {COLUMNS} from messages m
         left join outbox o on o.message_id = m.id and o.bucket = m.bucket
         where m.id = $1 and m.bucket = $2"
    )
}

/// One message.
///
/// # Errors
/// As the database gives them.
pub async fn find(client: &crate::Client, id: Uuid) -> Result<Option<Message>, Error> {
    let statement = client.prepare_cached(&find_sql()).await?;
    client.query_opt(&statement, &[&id, &Bucket::of(id).as_i16()]).await?.as_ref().map(from_row).transpose()
}

pub(crate) const IDS_BETWEEN: &str =
    "select id from messages where id >= $1 and id <= $2 order by id limit $3";

/// Messages whose ids lie between these, both included; the oldest first.
///
/// # Errors
/// As the database gives them.
pub async fn ids_between(
    client: &crate::Client,
    first: Uuid,
    last: Uuid,
    limit: i64,
) -> Result<Vec<Uuid>, Error> {
    let statement = client.prepare_cached(IDS_BETWEEN).await?;
    Ok(client.query(&statement, &[&first, &last, &limit]).await?.iter().map(|row| row.get(0)).collect())
}

pub(crate) const OF_PROVIDER: &str =
    "select r.message_id from unnest($1::smallint[], $2::bytea[]) as k(bucket, hash)
             join provider_refs r on r.bucket = any(array[k.bucket]) and r.key_hash = k.hash
             union
             select i.message_id from unnest($1::smallint[], $2::bytea[]) as k(bucket, hash)
             join inbound_keys i on i.bucket = any(array[k.bucket]) and i.key_hash = k.hash";

/// The messages that a provider's id may mean: `key_hashes` are of [`crate::receive::key_hash`]. Only kinds whose receipts
/// cannot carry our id have theirs kept for what was sent.
///
/// # Errors
/// As the database gives them.
pub async fn of_provider(client: &crate::Client, key_hashes: &[[u8; 32]]) -> Result<Vec<Uuid>, Error> {
    let hashes: Vec<&[u8]> = key_hashes.iter().map(<[u8; 32]>::as_slice).collect();
    let buckets: Vec<i16> = key_hashes.iter().map(|hash| Bucket::of_hash(hash).as_i16()).collect();
    let statement = client.prepare_cached(OF_PROVIDER).await?;
    Ok(client.query(&statement, &[&buckets, &hashes]).await?.iter().map(|row| row.get(0)).collect())
}

pub(crate) fn find_all_sql() -> String {
    format!(
        "select {COLUMNS} from unnest($1::uuid[], $2::smallint[]) as k(id, bucket)
         join messages m on m.id = any(array[k.id]) and m.bucket = k.bucket
         left join outbox o on o.message_id = any(array[m.id]) and o.bucket = m.bucket"
    )
}

/// Several messages, in no order. Without an id the database is not asked.
pub(crate) async fn find_all(client: &crate::Client, ids: &[Uuid]) -> Result<Vec<Message>, Error> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let buckets: Vec<i16> = ids.iter().map(|&id| Bucket::of(id).as_i16()).collect();
    let statement = client.prepare_cached(&find_all_sql()).await?;
    client.query(&statement, &[&ids, &buckets]).await?.iter().map(from_row).collect()
}
