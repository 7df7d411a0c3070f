//! What went through lately, for people who look at it: a minute's messages by what became of them, what waits on which
//! route, why the latest failures failed. Counting costs by rows: whoever asks keeps the answers.

use jiff::Timestamp;
use model::id;

use crate::{Client, Error};

/// What a count is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fate {
    Received,
    /// Accepted by a provider, and not refused since.
    Sent,
    /// Not settled yet.
    Waiting,
    /// Failed, or refused by the carrier.
    Failed,
}

/// Messages of one minute that have a provider and a fate in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    pub provider_id: Option<String>,
    pub fate: Fate,
    pub messages: i64,
}

/// The messages stored from `since` until before `until`, by their ids: to the millisecond, by their servers' clocks.
///
/// # Errors
/// As the database gives them.
pub async fn between(client: &Client, since: Timestamp, until: Timestamp) -> Result<Vec<Count>, Error> {
    let statement = client
        .prepare_cached(
            "select provider_id, inbound_or_outbound = 'inbound',
                 status_tag in ('outbox', 'retry'), status_tag = 'failed' or delivery_tag = 'undelivered', count(*)
             from messages where id >= $1 and id < $2 group by 1, 2, 3, 4",
        )
        .await?;
    let count = |row: &tokio_postgres::Row| Count {
        provider_id: row.get(0),
        fate: match (row.get(1), row.get(2), row.get(3)) {
            (true, _, _) => Fate::Received,
            (_, true, _) => Fate::Waiting,
            (_, _, true) => Fate::Failed,
            _ => Fate::Sent,
        },
        messages: row.get(4),
    };
    let rows = client.query(&statement, &[&id::first_id_at(since), &id::first_id_at(until)]).await?;
    Ok(rows.iter().map(count).collect())
}

/// What waits on a route's lane.
#[derive(Clone, Debug, PartialEq)]
pub struct Backlog {
    pub channel: String,
    /// As the outbox has it: with whom to avoid or prefer.
    pub route: String,
    pub due: i64,
    pub delayed: i64,
    pub leased: i64,
    pub held: i64,
    /// How long the oldest due one has waited, in seconds; 0 where none is due.
    pub oldest_due_age_s: f64,
}

/// The whole outbox, by channel and route. Reads all of it.
///
/// # Errors
/// As the database gives them.
pub async fn backlog(client: &Client) -> Result<Vec<Backlog>, Error> {
    let statement = client
        .prepare_cached(
            "select channel, route,
                 count(*) filter (where leased_by is null and next_attempt_at <= now()),
                 count(*) filter (where leased_by is null and next_attempt_at > now() and next_attempt_at < 'infinity'),
                 count(*) filter (where leased_by is not null),
                 count(*) filter (where next_attempt_at = 'infinity'),
                 coalesce(extract(epoch from now() - min(next_attempt_at)
                     filter (where leased_by is null and next_attempt_at <= now())), 0)::float8
             from outbox group by channel, route order by channel, route",
        )
        .await?;
    let backlog = |row: &tokio_postgres::Row| Backlog {
        channel: row.get(0),
        route: row.get(1),
        due: row.get(2),
        delayed: row.get(3),
        leased: row.get(4),
        held: row.get(5),
        oldest_due_age_s: row.get(6),
    };
    Ok(client.query(&statement, &[]).await?.iter().map(backlog).collect())
}

/// How many of the latest problems had this cause at this provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    pub provider_id: Option<String>,
    /// A stable word.
    pub code: String,
    pub provider_code: Option<String>,
    pub messages: i64,
}

/// Problems that causes are counted among: the newest.
pub const CAUSES_AMONG: i64 = 500;

/// Why the newest failed and undelivered messages failed, the most frequent cause first.
///
/// # Errors
/// As the database gives them.
pub async fn causes(client: &Client) -> Result<Vec<Cause>, Error> {
    let statement = client
        .prepare_cached(
            "select m.provider_id, coalesce(m.status_payload ->> 'code', m.delivery_tag),
                 m.status_payload ->> 'provider_code', count(*)
             from (select message_id, bucket from problems order by message_id desc limit $1) as p
             join messages m on m.id = any(array[p.message_id]) and m.bucket = p.bucket
             group by 1, 2, 3 order by 4 desc, 1, 2, 3",
        )
        .await?;
    let cause = |row: &tokio_postgres::Row| Cause {
        provider_id: row.get(0),
        code: row.get(1),
        provider_code: row.get(2),
        messages: row.get(3),
    };
    Ok(client.query(&statement, &[&CAUSES_AMONG]).await?.iter().map(cause).collect())
}
