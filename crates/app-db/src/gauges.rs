//! Depth and age of the outbox, for metrics and `app status`. Counting reads the whole outbox: ask seldom when it is
//! large.

use crate::pool::LONG_LIMIT;
use crate::{Client, Error};

/// What waits in one channel.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Depth {
    pub channel: String,
    pub due: i64,
    pub delayed: i64,
    pub leased: i64,
    pub held: i64,
    /// How long the oldest due one has waited, in seconds; 0 where none is due.
    pub oldest_due_age_s: f64,
}

pub(crate) const OUTBOX: &str = "
        select channel,
            count(*) filter (where leased_by is null and next_attempt_at <= now()),
            count(*) filter (where leased_by is null and next_attempt_at > now() and next_attempt_at < 'infinity'),
            count(*) filter (where leased_by is not null),
            count(*) filter (where next_attempt_at = 'infinity'),
            coalesce(extract(epoch from now() - min(next_attempt_at)
                filter (where leased_by is null and next_attempt_at <= now())), 0)::float8
        from outbox group by channel order by channel";

/// One row a channel that has any.
///
/// # Errors
/// As the database gives them.
pub async fn outbox(client: &Client) -> Result<Vec<Depth>, Error> {
    client.allow(LONG_LIMIT);
    let depth = |row: &tokio_postgres::Row| Depth {
        channel: row.get(0),
        due: row.get(1),
        delayed: row.get(2),
        leased: row.get(3),
        held: row.get(4),
        oldest_due_age_s: row.get(5),
    };
    Ok(client.query(OUTBOX, &[]).await?.iter().map(depth).collect())
}

pub(crate) const DATABASE_TIME: &str = "select clock_timestamp()";

/// The database's clock, to compare a server's with.
///
/// # Errors
/// As the database gives them.
pub async fn database_time(client: &Client) -> Result<jiff::Timestamp, Error> {
    Ok(client.query_one(DATABASE_TIME, &[]).await?.get(0))
}
