//! Claiming: takes due rows of a route under a lease, and nothing else. Must not decide what to do with them.

use std::time::Duration;

use jiff::Timestamp;
use model::{Bucket, Message};
use uuid::Uuid;

use crate::{Error, messages};

/// What a claim asks for.
#[derive(Clone, Copy, Debug)]
pub struct ClaimRequest<'a> {
    pub route: &'a str,
    pub provider_id: &'a str,
    /// The lease's owner.
    pub owner: Uuid,
    pub lease: Duration,
    /// At most so many rows; no more than there are free slots.
    pub limit: usize,
    /// For each priority from the most urgent: rows due before this are not looked for. What lies below has been
    /// claimed, and only dead index entries would be walked; a sweep from the beginning now and then finds what
    /// was locked when its turn came.
    pub floors: [Option<Timestamp>; 3],
}

/// A row under our lease.
#[derive(Clone, Debug)]
pub struct Claimed {
    pub message: Message,
    pub lease_no: i32,
    /// Attempts counted before this one.
    pub attempt: u32,
    /// When it was due: its place in the queue.
    pub due_at: Timestamp,
    /// The database's clock at the claim.
    pub claimed_at: Timestamp,
    /// At which provider a lease lapsed, if one did: what became of that attempt is unknown.
    pub lapsed_provider: Option<String>,
    /// It waited for a receipt, and none came.
    pub reconciling: bool,
}

pub(crate) fn claim_sql() -> String {
    format!(
        "with due as (
             select d.* from unnest($2::smallint[], $3::timestamptz[]) as p(priority, floor)
             cross join lateral (
                 select ctid as place, next_attempt_at, leased_provider, reconciling from outbox
                 where route = $1 and priority = p.priority
                   and next_attempt_at >= p.floor and next_attempt_at <= now()
                 order by next_attempt_at limit $4 for update skip locked
             ) as d
             limit $4
         ), o as (
             update outbox o set lease_no = o.lease_no + 1, leased_by = $5, leased_provider = $6,
                 next_attempt_at = now() + $7 * interval '1 second', reconciling = false
             from due where o.ctid = due.place
             returning o.message_id, o.bucket, o.lease_no, o.attempt as tries, o.next_attempt_at,
                 due.next_attempt_at as due_at, due.leased_provider as lapsed_provider, due.reconciling
         )
         select {}, o.lease_no, o.tries, o.due_at, o.lapsed_provider, o.reconciling, now() as claimed_at
         from o join messages m on m.id = o.message_id and m.bucket = o.bucket",
        messages::COLUMNS
    )
}

/// Takes due rows, the most urgent priority first, within it the longest due first; skips what others hold. The
/// result is in no order.
///
/// # Errors
/// As the database gives them.
pub async fn claim(
    transaction: &deadpool_postgres::Transaction<'_>,
    request: ClaimRequest<'_>,
) -> Result<Vec<Claimed>, Error> {
    let priorities = [0_i16, 1, 2];
    let floors: Vec<Timestamp> =
        request.floors.iter().map(|floor| floor.unwrap_or(Timestamp::UNIX_EPOCH)).collect();
    let limit = i64::try_from(request.limit).unwrap_or(i64::MAX);
    let statement = transaction.prepare_cached(&claim_sql()).await?;
    let rows = transaction
        .query(
            &statement,
            &[
                &request.route,
                &priorities.as_slice(),
                &floors,
                &limit,
                &request.owner,
                &request.provider_id,
                &request.lease.as_secs_f64(),
            ],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Claimed {
                message: messages::from_row(row)?,
                lease_no: row.get("lease_no"),
                attempt: u32::try_from(row.get::<_, i32>("tries")).unwrap_or(0),
                due_at: row.get("due_at"),
                claimed_at: row.get("claimed_at"),
                lapsed_provider: row.get("lapsed_provider"),
                reconciling: row.get("reconciling"),
            })
        })
        .collect()
}

/// A lease that somebody holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    pub message_id: Uuid,
    pub lease_no: i32,
}

/// Moves the ends of leases that are still ours. Returns those that are.
///
/// # Errors
/// As the database gives them.
pub async fn extend(
    client: &crate::Client,
    owner: Uuid,
    lease: Duration,
    leases: &[Lease],
) -> Result<Vec<Lease>, Error> {
    let statement = client
        .prepare_cached(
            "update outbox o set next_attempt_at = now() + $5 * interval '1 second'
             from unnest($1::uuid[], $2::smallint[], $3::integer[]) as k(message_id, bucket, lease_no)
             where o.message_id = k.message_id and o.bucket = k.bucket and o.lease_no = k.lease_no
               and o.leased_by = $4
             returning o.message_id, o.lease_no",
        )
        .await?;
    let (ids, buckets, numbers) = columns(leases);
    let rows = client.query(&statement, &[&ids, &buckets, &numbers, &owner, &lease.as_secs_f64()]).await?;
    Ok(rows.iter().map(|row| Lease { message_id: row.get(0), lease_no: row.get(1) }).collect())
}

/// Gives back leases under which nothing was sent: due again at once, at no cost.
///
/// # Errors
/// As the database gives them.
pub async fn release(client: &crate::Client, owner: Uuid, leases: &[Lease]) -> Result<(), Error> {
    let statement = client
        .prepare_cached(
            "update outbox o set next_attempt_at = now(), leased_by = null, leased_provider = null
             from unnest($1::uuid[], $2::smallint[], $3::integer[]) as k(message_id, bucket, lease_no)
             where o.message_id = k.message_id and o.bucket = k.bucket and o.lease_no = k.lease_no
               and o.leased_by = $4",
        )
        .await?;
    let (ids, buckets, numbers) = columns(leases);
    client.execute(&statement, &[&ids, &buckets, &numbers, &owner]).await?;
    Ok(())
}

/// Columns for UNNEST, in the order of the ids.
fn columns(leases: &[Lease]) -> (Vec<Uuid>, Vec<i16>, Vec<i32>) {
    let mut leases = leases.to_vec();
    leases.sort_by_key(|lease| lease.message_id);
    let ids: Vec<Uuid> = leases.iter().map(|lease| lease.message_id).collect();
    let buckets = ids.iter().map(|&id| Bucket::of(id).as_i16()).collect();
    (ids, buckets, leases.iter().map(|lease| lease.lease_no).collect())
}
