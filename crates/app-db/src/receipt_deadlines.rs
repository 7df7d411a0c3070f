//! Messages on which no receipt came by the deadline. Nothing in the schema finds them by their state, on purpose:
//! instead a cursor walks the ids once, a deadline behind the present, and what was handed to a provider later than that
//! is noted and looked at again. Each piece is one transaction under the cursor's lock: any number of processors may
//! try, and one that vanishes leaves the piece to the next.

use std::time::Duration;

use jiff::Timestamp;
use model::id::first_id_at;
use model::receipt_deadline::{self, Examined, Verdict};
use model::{Bucket, IdGenerator, Status};
use tokio_postgres::types::Json;
use uuid::Uuid;

use crate::pool::LONG_LIMIT;
use crate::{Client, Error};

type Transaction<'a> = deadpool_postgres::Transaction<'a>;

/// Messages of one piece, at most; and as many of those that are looked at again.
const BATCH: i64 = 2_000;
/// The cursor keeps so far behind the deadline: by then most messages have been accepted by a provider long enough, and
/// every id that was made has been committed.
const BEHIND: Duration = Duration::from_secs(300);

/// What a look at the next messages needs.
#[derive(Clone, Copy, Debug)]
pub struct Examination<'a> {
    pub now: Timestamp,
    pub deadline: Duration,
    /// The providers that report on delivery.
    pub reporting: &'a [&'a str],
}

/// What a look brought.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// Whose delivery is unknown from now on, and the provider that did not report.
    pub timed_out: Vec<(Uuid, String)>,
    /// There is more to look at.
    pub more: bool,
}

pub(crate) const NEXT: &str = "
    select id, bucket, status_tag, delivery_tag, provider_id, extract(epoch from now() - updated_at)::float8,
        extract(epoch from greatest(send_at, now()) - now())::float8, true
    from messages where id > $1 and id < $2 order by id limit $3";

pub(crate) const AGAIN: &str = "
    select d.message_id, d.bucket, m.status_tag, m.delivery_tag, m.provider_id,
        extract(epoch from now() - m.updated_at)::float8,
        extract(epoch from greatest(m.send_at, now()) - now())::float8, m.id is not null
    from (
        select message_id, bucket from receipt_deadlines where examine_at <= now() order by examine_at limit $1
    ) as d
    left join messages m on m.id = any(array[d.message_id]) and m.bucket = d.bucket";

struct Row {
    id: Uuid,
    bucket: i16,
    verdict: Verdict,
    is_again: bool,
}

pub(crate) const LOCK_CURSOR: &str = "select examined_to from receipt_cursor for no key update skip locked";

pub(crate) const MOVE_CURSOR: &str = "update receipt_cursor set examined_to = $1";

/// Looks at the next piece: nothing, where another processor is at it.
///
/// # Errors
/// As the database gives them; the piece is then looked at again.
pub async fn examine(
    client: &mut Client,
    ids: &IdGenerator,
    examination: Examination<'_>,
) -> Result<Progress, Error> {
    client.allow(LONG_LIMIT);
    let transaction = client.transaction().await?;
    let Some(cursor) = transaction.query_opt(LOCK_CURSOR, &[]).await? else { return Ok(Progress::default()) };
    let passed = next(&transaction, cursor.get(0), examination).await?;
    let again = again(&transaction, examination).await?;
    let is_full = |rows: &[Row]| i64::try_from(rows.len()).is_ok_and(|count| count == BATCH);
    let more = is_full(&passed) || is_full(&again);
    if let Some(last) = passed.last() {
        transaction.execute(MOVE_CURSOR, &[&last.id]).await?;
    }
    let rows: Vec<Row> = passed.into_iter().chain(again).collect();
    note(&transaction, &rows).await?;
    let timed_out = time_out(&transaction, ids, examination, &rows).await?;
    transaction.commit().await?;
    Ok(Progress { timed_out, more })
}

/// The messages after the cursor, in the order of ids.
async fn next(
    transaction: &Transaction<'_>,
    after: Uuid,
    examination: Examination<'_>,
) -> Result<Vec<Row>, Error> {
    let behind = examination.now.checked_sub(examination.deadline.saturating_add(BEHIND));
    let before = first_id_at(behind.unwrap_or(Timestamp::UNIX_EPOCH));
    let statement = transaction.prepare_cached(NEXT).await?;
    let rows = transaction.query(&statement, &[&after, &before, &BATCH]).await?;
    rows.iter().map(|row| read(row, false, examination)).collect()
}

/// The messages that were noted to be looked at again. One that is gone has no columns.
async fn again(transaction: &Transaction<'_>, examination: Examination<'_>) -> Result<Vec<Row>, Error> {
    let statement = transaction.prepare_cached(AGAIN).await?;
    let rows = transaction.query(&statement, &[&BATCH]).await?;
    rows.iter().map(|row| read(row, true, examination)).collect()
}

fn read(
    row: &tokio_postgres::Row,
    is_again: bool,
    Examination { deadline, reporting, .. }: Examination<'_>,
) -> Result<Row, Error> {
    let seconds = |index| Duration::try_from_secs_f64(row.get::<_, f64>(index)).unwrap_or_default();
    let verdict = if row.get(7) {
        let provider_id: Option<&str> = row.get(4);
        let examined = Examined {
            status: row.get::<_, &str>(2).parse::<Status>()?,
            delivery: row.get::<_, &str>(3).parse()?,
            since: seconds(5),
            due_in: seconds(6),
            is_reported_on: provider_id.is_some_and(|id| reporting.contains(&id)),
        };
        examined.verdict(deadline)
    } else {
        Verdict::Done
    };
    Ok(Row { id: row.get(0), bucket: row.get(1), verdict, is_again })
}

pub(crate) const FORGET: &str =
    "delete from receipt_deadlines d using unnest($1::uuid[], $2::smallint[]) as k(id, bucket)
            where d.message_id = any(array[k.id]) and d.bucket = k.bucket";

pub(crate) const NOTE: &str = "insert into receipt_deadlines (bucket, message_id, examine_at)
        select distinct on (id, bucket) bucket, id, now() + wait_s * interval '1 second'
        from unnest($1::uuid[], $2::smallint[], $3::float8[]) as k(id, bucket, wait_s)
        on conflict (message_id, bucket) do update set examine_at = excluded.examine_at";

/// Notes what is to be looked at again, and forgets what need not be.
async fn note(transaction: &Transaction<'_>, rows: &[Row]) -> Result<(), Error> {
    let is_later = |row: &&Row| matches!(row.verdict, Verdict::After(_));
    let done = rows.iter().filter(|row| row.is_again && !is_later(row));
    let (ids, buckets): (Vec<Uuid>, Vec<i16>) = done.map(|row| (row.id, row.bucket)).unzip();
    if !ids.is_empty() {
        transaction.execute(FORGET, &[&ids, &buckets]).await?;
    }
    let later: Vec<&Row> = rows.iter().filter(is_later).collect();
    if later.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = later.iter().map(|row| row.id).collect();
    let buckets: Vec<i16> = later.iter().map(|row| row.bucket).collect();
    let wait = |row: &&Row| match row.verdict {
        Verdict::After(wait) => wait.as_secs_f64(),
        Verdict::Done | Verdict::TimedOut => 0.0,
    };
    let waits: Vec<f64> = later.iter().map(wait).collect();
    transaction.execute(NOTE, &[&ids, &buckets, &waits]).await?;
    Ok(())
}

pub(crate) const TIME_OUT: &str = "with late as materialized (
                 select k.*, m.attempt, m.lease_no, m.provider_id
                 from unnest($1::uuid[], $2::smallint[], $3::uuid[]) as k(id, bucket, event_id)
                 cross join lateral (
                     select attempt, lease_no, provider_id from messages
                     where id = k.id and bucket = k.bucket and status_tag = 'ok' and delivery_tag = 'pending'
                     for no key update
                 ) as m
             ), changed as (
                 update messages m set delivery_tag = 'unknown', status_payload = $4, updated_at = now()
                 from late where m.id = any(array[late.id]) and m.bucket = late.bucket
             ), event as (
                 insert into message_events (bucket, message_id, id, kind, status_tag, delivery_tag, attempt,
                     lease_no, provider_id, code, detail)
                 select bucket, id, event_id, 'outcome_unknown', 'ok', 'unknown', attempt, lease_no, provider_id,
                     $4 ->> 'code', $4 ->> 'detail'
                 from late
             )
             select id, coalesce(provider_id, '') from late";

/// A receipt that is being applied is waited for, and what it changed is left alone.
async fn time_out(
    transaction: &Transaction<'_>,
    ids: &IdGenerator,
    examination: Examination<'_>,
    rows: &[Row],
) -> Result<Vec<(Uuid, String)>, Error> {
    let mut late: Vec<(Uuid, i16)> =
        rows.iter().filter(|row| row.verdict == Verdict::TimedOut).map(|row| (row.id, row.bucket)).collect();
    if late.is_empty() {
        return Ok(Vec::new());
    }
    late.sort_unstable();
    late.dedup();
    let event_ids: Vec<Uuid> =
        late.iter().map(|(id, _)| ids.next(examination.now, Bucket::of(*id))).collect();
    let (message_ids, buckets): (Vec<Uuid>, Vec<i16>) = late.into_iter().unzip();
    let payload = Json(receipt_deadline::payload(examination.deadline));
    let statement = transaction.prepare_cached(TIME_OUT).await?;
    let rows = transaction.query(&statement, &[&message_ids, &buckets, &event_ids, &payload]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}
