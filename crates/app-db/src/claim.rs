//! Claiming: takes due rows of a route under a lease, and nothing else. Must not decide what to do with them.

use std::sync::LazyLock;
use std::time::Duration;

use jiff::Timestamp;
use model::transition::Earlier;
use model::{Bucket, Channel, Endpoint, Priority};
use tokio_postgres::Row;
use tokio_postgres::types::Json;
use uuid::Uuid;

use crate::pool::GenericClient;
use crate::threads::Mail;
use crate::{Client, Error};

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
    /// For each priority from the most urgent: rows due before this are not looked for ([`crate::floors`]).
    pub floors: [Option<Timestamp>; 3],
}

/// A row under our lease, and what a provider call needs of its message.
#[derive(Clone, Debug)]
pub struct Claimed {
    pub message_id: Uuid,
    pub lease_no: i32,
    /// Attempts counted before this one.
    pub attempt: u32,
    pub priority: Priority,
    /// When it was due: its place in the queue.
    pub due_at: Timestamp,
    /// When it was due first: its age is counted from here.
    pub first_due_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    /// The database's clock at the claim.
    pub claimed_at: Timestamp,
    /// At which provider a lease lapsed, if one did: what became of that attempt is unknown.
    pub lapsed_provider: Option<String>,
    /// It waited for a receipt, and none came.
    pub reconciling: bool,
    /// Providers that accepted it, where its delivery was not confirmed in time; and those of them whose carriers have
    /// refused it since.
    pub accepted_by: Vec<String>,
    pub refused_by: Vec<String>,
    /// Who was asked last, if anybody was.
    pub provider_id: Option<String>,
    pub channel: Channel,
    pub source: Endpoint,
    pub target: Endpoint,
    pub subject: Option<String>,
    pub body: String,
    pub attachments: Vec<String>,
    /// The conversation's mails before it, oldest first, once [`crate::threads::fill`] has looked for them.
    pub before: Vec<Mail>,
}

impl Claimed {
    pub fn lease(&self) -> Lease {
        Lease { message_id: self.message_id, lease_no: self.lease_no }
    }

    /// What is known of earlier attempts that were accepted.
    pub fn earlier(&self) -> Earlier {
        if self.accepted_by.is_empty() {
            Earlier::None
        } else if self.accepted_by.iter().all(|id| self.refused_by.contains(id)) {
            Earlier::Refused
        } else {
            Earlier::Accepted
        }
    }
}

/// What [`from_row`] reads, of a leased outbox row `o` with its message `m`.
pub(crate) const COLUMNS: &str = "o.message_id, o.lease_no, o.attempt, o.priority, o.due_at,
    greatest(m.send_at, m.created_at), o.expires_at, now(), o.lapsed_provider, o.reconciling, m.provider_id,
    o.channel, m.endpoint_source, m.endpoint_target, m.subject, m.body, m.attachments, o.accepted_by,
    o.refused_by";

/// Of an outbox row: its channel is one that this version knows. While versions are mixed there may be others, left to
/// the newer processors: taken along, a row that cannot be read would let the lease of every other row of its claim
/// lapse. Written out, so that it is one comparison on the row and no value that a plan depends on.
pub(crate) fn known_channel() -> String {
    let words: Vec<String> = Channel::ALL.iter().map(|channel| format!("'{channel}'")).collect();
    format!("channel in ({})", words.join(", "))
}

/// The rows are locked in the order of the queue, then found again by their place. One that changed its place since
/// the statement began is not found, and left to the next claim. Of a lapsed lease the provider stays noted until it is
/// settled: if we vanish, the next claim finds it as this one did.
const CLAIM: &str = "
    with due as (
        select d.* from unnest($2::smallint[], $3::timestamptz[]) as p(priority, floor)
        cross join lateral (
            select ctid as place, leased_provider from outbox
            where route = $1 and priority = p.priority
              and next_attempt_at >= p.floor and next_attempt_at <= now()
              and (leased_until is null or leased_until <= now())
              and {known_channel}
            order by next_attempt_at limit $4 for no key update skip locked
        ) as d
        limit $4
    ), o as (
        update outbox o set lease_no = o.lease_no + 1, leased_by = $5,
            leased_provider = coalesce(o.leased_provider, $6), leased_until = now() + $7 * interval '1 second'
        from due where o.ctid = due.place
        returning o.message_id, o.bucket, o.lease_no, o.attempt, o.priority, o.next_attempt_at as due_at,
            o.expires_at, due.leased_provider as lapsed_provider, o.reconciling, o.channel, o.accepted_by, o.refused_by
    )
    select ";

pub(crate) fn claim_sql() -> &'static str {
    static SQL: LazyLock<String> = LazyLock::new(|| {
        let claim = CLAIM.replace("{known_channel}", &known_channel());
        format!(
            "{claim}{COLUMNS} from o join messages m on m.id = any(array[o.message_id]) and m.bucket = o.bucket"
        )
    });
    &SQL
}

/// Takes due rows, the most urgent priority first, within it the longest due first; skips what others hold. The
/// result is in no order. One statement: outside a transaction it commits by itself.
///
/// # Errors
/// As the database gives them; whether rows were leased is then unknown.
pub async fn claim(client: &impl GenericClient, request: ClaimRequest<'_>) -> Result<Vec<Claimed>, Error> {
    let priorities = [0_i16, 1, 2];
    let floors: Vec<Timestamp> =
        request.floors.iter().map(|floor| floor.unwrap_or(Timestamp::UNIX_EPOCH)).collect();
    let limit = i64::try_from(request.limit).unwrap_or(i64::MAX);
    let statement = client.prepare_cached(claim_sql()).await?;
    let rows = client
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
    rows.iter().map(from_row).collect()
}

/// By position: names are looked up one by one, which shows in the profile of a claim.
pub(crate) fn from_row(row: &Row) -> Result<Claimed, Error> {
    Ok(Claimed {
        message_id: row.get(0),
        lease_no: row.get(1),
        attempt: u32::try_from(row.get::<_, i32>(2)).unwrap_or(0),
        priority: Priority::from_i16(row.get(3)),
        due_at: row.get(4),
        first_due_at: row.get(5),
        expires_at: row.get(6),
        claimed_at: row.get(7),
        lapsed_provider: row.get(8),
        reconciling: row.get(9),
        provider_id: row.get(10),
        channel: row.get::<_, &str>(11).parse()?,
        source: Endpoint::stored(row.get(12)),
        target: Endpoint::stored(row.get(13)),
        subject: row.get(14),
        body: row.get(15),
        attachments: row.get::<_, Option<Json<Vec<String>>>>(16).map_or_else(Vec::new, |json| json.0),
        accepted_by: row.get::<_, Option<Vec<String>>>(17).unwrap_or_default(),
        refused_by: row.get::<_, Option<Vec<String>>>(18).unwrap_or_default(),
        before: Vec::new(),
    })
}

/// A lease that somebody holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    pub message_id: Uuid,
    pub lease_no: i32,
}

pub(crate) const EXTEND: &str = "update outbox o set leased_until = now() + $5 * interval '1 second'
             from unnest($1::uuid[], $2::smallint[], $3::integer[]) as k(message_id, bucket, lease_no)
             where o.message_id = any(array[k.message_id]) and o.bucket = k.bucket and o.lease_no = k.lease_no
               and o.leased_by = $4
             returning o.message_id, o.lease_no";

/// Moves the ends of leases that are still ours. Returns those that are.
///
/// # Errors
/// As the database gives them.
pub async fn extend(
    client: &Client,
    owner: Uuid,
    lease: Duration,
    leases: &[Lease],
) -> Result<Vec<Lease>, Error> {
    let statement = client.prepare_cached(EXTEND).await?;
    let (ids, buckets, numbers) = columns(leases);
    let rows = client.query(&statement, &[&ids, &buckets, &numbers, &owner, &lease.as_secs_f64()]).await?;
    Ok(rows.iter().map(|row| Lease { message_id: row.get(0), lease_no: row.get(1) }).collect())
}

pub(crate) const RELEASE: &str =
    "update outbox o set leased_by = null, leased_provider = null, leased_until = null
             from unnest($1::uuid[], $2::smallint[], $3::integer[]) as k(message_id, bucket, lease_no)
             where o.message_id = any(array[k.message_id]) and o.bucket = k.bucket and o.lease_no = k.lease_no
               and o.leased_by = $4";

/// Gives back leases under which nothing was sent: due again at once, at no cost.
///
/// # Errors
/// As the database gives them.
pub async fn release(client: &Client, owner: Uuid, leases: &[Lease]) -> Result<(), Error> {
    let statement = client.prepare_cached(RELEASE).await?;
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
