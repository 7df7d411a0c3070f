//! What went through lately, for people who look at it: a minute's messages by what became of them and why, and what
//! waits on which route. Counting costs by rows: whoever asks keeps the answers.

use std::time::Duration;

use jiff::Timestamp;
use model::id;

use crate::{Client, Error};

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fate {
    Received,
    /// Accepted by a provider, and not refused since.
    Sent,
    /// Not settled yet.
    Waiting,
    /// Nobody knows whether the provider has it: for a receipt, or for a person to decide.
    Held,
    Failed,
    /// Called off by somebody.
    Canceled,
    /// Accepted by a provider, and refused by the carrier.
    Undelivered,
}

/// Why messages are held, failed or undelivered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cause {
    /// A stable word.
    pub code: String,
    pub provider_code: Option<String>,
}

/// Messages of one minute that have a provider, a fate and its cause in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    pub provider_id: Option<String>,
    pub fate: Fate,
    /// Only of what is held, failed or undelivered, and not too rare.
    pub cause: Option<Cause>,
    pub messages: i64,
}

/// Providers may say what they like, also something else of each message: the most frequent causes are told, and others
/// counted without.
const COUNTS_MAX: i64 = 500;

pub(crate) const BETWEEN: &str = "with counted as (
             select provider_id, fate, case when has_cause then coalesce(status_payload ->> 'code', delivery_tag) end as code,
                 case when has_cause then status_payload ->> 'provider_code' end as provider_code, count(*) as messages
             from (
                 select provider_id, status_payload, delivery_tag, fate,
                     fate in ('held', 'failed', 'undelivered') as has_cause
                 from messages, lateral (
                     select case
                         when inbound_or_outbound = 'inbound' then 'received'
                         when status_tag in ('outbox', 'retry') and delivery_tag = 'unknown' then 'held'
                         when status_tag in ('outbox', 'retry') then 'waiting'
                         when status_tag = 'failed' and status_payload ->> 'code' = 'canceled' then 'canceled'
                         when status_tag = 'failed' then 'failed'
                         when delivery_tag = 'undelivered' then 'undelivered'
                         else 'sent'
                     end as fate
                 ) as f
                 where id >= $1 and id < $2
             ) as m
             group by 1, 2, 3, 4
             ), ranked as (
                 select *, row_number() over (order by code is not null, messages desc) as place from counted
             )
             select provider_id, fate, case when place <= $3 then code end, case when place <= $3 then provider_code end,
                 sum(messages)::bigint
             from ranked group by 1, 2, 3, 4";

/// The messages stored from `since` until before `until`, by their ids: to the millisecond, by their servers' clocks.
///
/// # Errors
/// As the database gives them.
pub async fn between(client: &Client, since: Timestamp, until: Timestamp) -> Result<Vec<Count>, Error> {
    let statement = client.prepare_cached(BETWEEN).await?;
    let count = |row: &tokio_postgres::Row| Count {
        provider_id: row.get(0),
        fate: match row.get(1) {
            "received" => Fate::Received,
            "waiting" => Fate::Waiting,
            "held" => Fate::Held,
            "failed" => Fate::Failed,
            "canceled" => Fate::Canceled,
            "undelivered" => Fate::Undelivered,
            _ => Fate::Sent,
        },
        cause: row.get::<_, Option<_>>(2).map(|code| Cause { code, provider_code: row.get(3) }),
        messages: row.get(4),
    };
    let rows =
        client.query(&statement, &[&id::first_id_at(since), &id::first_id_at(until), &COUNTS_MAX]).await?;
    Ok(rows.iter().map(count).collect())
}

/// What should have gone out by now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Late {
    pub messages: i64,
    /// How long the oldest has been due, in seconds; 0 without any.
    pub oldest_s: f64,
}

pub(crate) const LATE: &str =
    "select count(*), coalesce(extract(epoch from now() - min(next_attempt_at)), 0)::float8 from outbox
             where leased_by is null and next_attempt_at < now() - $1::float8 * interval '1 s'";

/// What has been due for longer than `after`. Reads the whole outbox.
///
/// # Errors
/// As the database gives them.
pub async fn late(client: &Client, after: Duration) -> Result<Late, Error> {
    let statement = client.prepare_cached(LATE).await?;
    let row = client.query_one(&statement, &[&after.as_secs_f64()]).await?;
    Ok(Late { messages: row.get(0), oldest_s: row.get(1) })
}

/// What waits on a route's lane.
#[derive(Clone, Debug, PartialEq)]
pub struct Backlog {
    pub channel: String,
    /// As the outbox has it: with whom to avoid or prefer.
    pub route: String,
    pub due: i64,
    /// Never tried yet, and not before a time to come.
    pub scheduled: i64,
    /// Tried, and not again before a time to come.
    pub retrying: i64,
    /// A provider has it, or may have it: for a receipt, until a time to come.
    pub confirming: i64,
    pub leased: i64,
    pub held: i64,
    /// How long the oldest due one has waited, in seconds; 0 where none is due.
    pub oldest_due_age_s: f64,
}

pub(crate) const BACKLOG: &str = "select channel, route,
                 count(*) filter (where is_free and next_attempt_at <= now()),
                 count(*) filter (where is_later and not confirms and lease_no = 0),
                 count(*) filter (where is_later and not confirms and lease_no > 0),
                 count(*) filter (where is_later and confirms),
                 count(*) filter (where not is_free),
                 count(*) filter (where next_attempt_at = 'infinity'),
                 coalesce(extract(epoch from now() - min(next_attempt_at)
                     filter (where is_free and next_attempt_at <= now())), 0)::float8
             from outbox, lateral (
                 select leased_by is null as is_free, reconciling or accepted_by is not null as confirms,
                     leased_by is null and next_attempt_at > now() and next_attempt_at < 'infinity' as is_later
             ) as o
             group by channel, route order by channel, route";

/// The whole outbox, by channel and route. Reads all of it.
///
/// # Errors
/// As the database gives them.
pub async fn backlog(client: &Client) -> Result<Vec<Backlog>, Error> {
    // A row that was never leased was never tried: asking again for one that failed makes it due at once.
    let statement = client.prepare_cached(BACKLOG).await?;
    let backlog = |row: &tokio_postgres::Row| Backlog {
        channel: row.get(0),
        route: row.get(1),
        due: row.get(2),
        scheduled: row.get(3),
        retrying: row.get(4),
        confirming: row.get(5),
        leased: row.get(6),
        held: row.get(7),
        oldest_due_age_s: row.get(8),
    };
    Ok(client.query(&statement, &[]).await?.iter().map(backlog).collect())
}
