//! Holding the outbox: what waits is never due until it is released. In batches, each one transaction; what is under a
//! running lease is skipped, since its call cannot be taken back.

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use model::id::first_id_at;
use model::{Bucket, Channel, IdGenerator, Reason, StatusPayload};
use tokio_postgres::types::Json;
use uuid::Uuid;

use crate::{Client, Error};

const BATCH: i64 = 1_000;

/// Which messages.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scope {
    /// Absent: all.
    pub channel: Option<Channel>,
    /// Only those that were accepted before. Absent: all.
    pub accepted_before: Option<Timestamp>,
}

/// What became of a scope.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    pub messages: u64,
}

pub(crate) const NOW: &str = "select now()";

/// Of the outbox, in the order of ids: what may be held.
pub(crate) const HOLDABLE: &str = "
    select message_id, bucket from outbox
    where message_id > $1 and message_id < $2 and ($3::text is null or channel = $3)
        and next_attempt_at < 'infinity' and (leased_until is null or leased_until <= now())
    order by message_id limit $4 for no key update skip locked";

pub(crate) const HOLD: &str = "
    with k as (
        select * from unnest($1::uuid[], $2::smallint[], $3::uuid[]) as k(id, bucket, event_id)
    ), held as (
        update outbox o set next_attempt_at = 'infinity' from k
        where o.message_id = any(array[k.id]) and o.bucket = k.bucket
    ), changed as (
        update messages m set status_payload = $4, updated_at = now() from k
        where m.id = any(array[k.id]) and m.bucket = k.bucket
        returning m.id, m.bucket, m.status_tag, m.delivery_tag, m.attempt, k.event_id
    ), problem as (
        insert into problems (bucket, message_id, kind) select bucket, id, 'held' from k
        on conflict (message_id, bucket) do update set kind = excluded.kind
    )
    insert into message_events (bucket, message_id, id, kind, status_tag, delivery_tag, attempt, code)
    select bucket, id, event_id, 'held', status_tag, delivery_tag, attempt, $4 ->> 'code' from changed";

/// Of the outbox, in the order of ids: what an operator or a restore holds. What is held for an unknown outcome is not
/// released with it.
pub(crate) const RELEASABLE: &str = "
    select o.message_id, o.bucket from outbox o
    join messages m on m.id = any(array[o.message_id]) and m.bucket = o.bucket
    where o.message_id > $1 and o.message_id < $2 and ($3::text is null or o.channel = $3)
        and o.next_attempt_at = 'infinity' and m.status_payload ->> 'code' in ('operator', 'restored')
    order by o.message_id limit $4 for no key update of o skip locked";

pub(crate) const RELEASE: &str = "
    with k as (
        select k.*, greatest(m.send_at, now()) as due_at
        from unnest($1::uuid[], $2::smallint[], $3::uuid[]) as k(id, bucket, event_id)
        join messages m on m.id = any(array[k.id]) and m.bucket = k.bucket
    ), released as (
        update outbox o set next_attempt_at = k.due_at from k
        where o.message_id = any(array[k.id]) and o.bucket = k.bucket
    ), changed as (
        update messages m set status_payload = $4, updated_at = now() from k
        where m.id = any(array[k.id]) and m.bucket = k.bucket
        returning m.id, m.bucket, m.status_tag, m.delivery_tag, m.attempt, k.event_id
    ), problem as (
        delete from problems p using k where p.message_id = any(array[k.id]) and p.bucket = k.bucket
    ), deadline as (
        insert into receipt_deadlines (bucket, message_id, examine_at) select bucket, id, now() from k
        on conflict (message_id, bucket) do update set examine_at = excluded.examine_at
    )
    insert into message_events (bucket, message_id, id, kind, status_tag, delivery_tag, attempt, code)
    select bucket, id, event_id, 'requeued', status_tag, delivery_tag, attempt, $4 ->> 'code' from changed";

pub(crate) const IN_FLIGHT: &str = "select count(*) from outbox where leased_until > now()";

/// Holds what waits in the scope, scheduled messages and lapsed leases included. `reason` is
/// [`Reason::Operator`] or [`Reason::Restored`].
///
/// # Errors
/// As the database gives them; batches before it stay held.
pub async fn hold(
    client: &mut Client,
    ids: &IdGenerator,
    scope: Scope,
    reason: Reason,
) -> Result<Changed, Error> {
    change(client, ids, scope, reason, [HOLDABLE, HOLD]).await
}

/// Makes due what [`hold`] held in the scope: at once, or at its `send_at`.
///
/// # Errors
/// As the database gives them; batches before it stay released.
pub async fn release(client: &mut Client, ids: &IdGenerator, scope: Scope) -> Result<Changed, Error> {
    change(client, ids, scope, Reason::Released, [RELEASABLE, RELEASE]).await
}

/// How many messages are under a running lease.
///
/// # Errors
/// As the database gives them.
pub async fn in_flight(client: &Client) -> Result<i64, Error> {
    Ok(client.query_one(IN_FLIGHT, &[]).await?.get(0))
}

async fn change(
    client: &mut Client,
    ids: &IdGenerator,
    scope: Scope,
    reason: Reason,
    [select, write]: [&str; 2],
) -> Result<Changed, Error> {
    let mut changed = Changed::default();
    let mut after = Uuid::nil();
    loop {
        let transaction = client.transaction().await?;
        let batch = pick(&transaction, select, scope, after).await?;
        let Some((last, _)) = batch.last().copied() else { return Ok(changed) };
        changed.messages += write_batch(&transaction, write, ids, reason, batch).await?;
        transaction.commit().await?;
        after = last;
    }
}

async fn pick(
    transaction: &Transaction<'_>,
    statement: &str,
    scope: Scope,
    after: Uuid,
) -> Result<Vec<(Uuid, i16)>, Error> {
    let before = scope.accepted_before.map_or(Uuid::max(), first_id_at);
    let channel = scope.channel.map(Channel::as_str);
    let rows = transaction.query(statement, &[&after, &before, &channel, &BATCH]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

async fn write_batch(
    transaction: &Transaction<'_>,
    statement: &str,
    ids: &IdGenerator,
    reason: Reason,
    batch: Vec<(Uuid, i16)>,
) -> Result<u64, Error> {
    let now: Timestamp = transaction.query_one(NOW, &[]).await?.get(0);
    let event_ids: Vec<Uuid> = batch.iter().map(|(id, _)| ids.next(now, Bucket::of(*id))).collect();
    let (message_ids, buckets): (Vec<Uuid>, Vec<i16>) = batch.into_iter().unzip();
    let payload = Json(StatusPayload::new(reason));
    Ok(transaction.execute(statement, &[&message_ids, &buckets, &event_ids, &payload]).await?)
}
