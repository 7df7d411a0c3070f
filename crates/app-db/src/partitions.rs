//! The weekly partitions of `messages` and `message_events`: made ahead of need and on demand. `retention` drops them
//! whole. Which weeks are needed, and which are old, the database's clock decides: never a clock of ours.
//!
//! A new one is created on its own and then attached, an old one detached concurrently and then dropped, under a
//! lock time-out: a plain CREATE ... PARTITION OF or DROP would queue every insert behind one open reader.

pub(crate) mod retention;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use model::id::{first_id_at, time_of};
use tokio_postgres::error::SqlState;

use crate::pool::LONG_LIMIT;
use crate::{Client, Error, Pool, gauges};

pub use retention::drop_older_than;

/// A table that is partitioned by week of its ids.
struct Weekly {
    table: &'static str,
    fillfactor: u8,
}

/// Settles and receipts update messages in place: room is left on the page for them. Events are only appended.
const WEEKLY: [Weekly; 2] =
    [Weekly { table: "messages", fillfactor: 45 }, Weekly { table: "message_events", fillfactor: 100 }];

const WEEKS_AHEAD: i64 = 4;
const LOCK_TRIES: usize = 20;
/// A role that may not create tables is warned when fewer whole weeks than these are left.
const WEEKS_WARNED: i64 = 3;

/// Which weeks have their partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// The database's time.
    pub now: Timestamp,
    /// The end of the last week that has its partitions, without a gap from this week on.
    pub made_until: Timestamp,
    /// The role may not create tables, and one is missing.
    pub may_not_create: bool,
}

impl Outlook {
    /// Whether messages of this moment have a partition.
    pub fn has_this_week(&self) -> bool {
        self.now < self.made_until
    }

    /// What an operator has to do, where the role may not create what is missing and it is needed soon.
    pub fn warning(&self) -> Option<String> {
        let soon = start_of(monday_of(self.now).saturating_add((7 * (1 + WEEKS_WARNED)).days()));
        (self.may_not_create && self.made_until < soon).then(|| {
            format!(
                "partitions exist until {} only, and this database role may not create tables: run `app migrate` \
                 with the role that owns them, at least every three weeks",
                self.made_until.strftime("%Y-%m-%d")
            )
        })
    }
}

/// Makes last week's, this week's and the next four weeks' partitions where they are missing. Last week's, because
/// a server's clock may be a few seconds behind. A role that may not create tables is no error here: the result says
/// how long the existing weeks last.
///
/// # Errors
/// When a lock cannot be had in [`LOCK_TRIES`] tries, or the database refuses.
pub async fn ensure_ahead(client: &mut Client) -> Result<Outlook, Error> {
    let now = gauges::database_time(client).await?;
    let may_not_create = match ensure(client, now).await {
        Ok(()) => false,
        Err(error) if error.is_missing_privilege() => true,
        Err(error) => return Err(error),
    };
    let made_until = made_until(client, now).await?;
    Ok(Outlook { now, made_until, may_not_create })
}

/// As [`ensure_ahead`], around a given time: for tests and for data of other times.
///
/// # Errors
/// As [`ensure_ahead`], and when the role may not create tables.
pub async fn ensure(client: &mut Client, around: Timestamp) -> Result<(), Error> {
    client.allow(LONG_LIMIT);
    for weeks in -1..=WEEKS_AHEAD {
        ensure_week(client, monday_of(around).saturating_add((weeks * 7).days())).await?;
    }
    Ok(())
}

/// Makes the partitions that a statement found missing ([`Error::NoPartition`]), so that the statement can be repeated.
/// Returns false for every other error.
///
/// # Errors
/// As [`ensure`].
pub async fn make_missing(pool: &Pool, error: &Error) -> Result<bool, Error> {
    let Error::NoPartition { id, .. } = error else { return Ok(false) };
    let mut client = pool.get().await?;
    let time = match id {
        Some(id) => time_of(*id),
        None => gauges::database_time(&client).await?,
    };
    ensure_week(&mut client, monday_of(time)).await?;
    tracing::warn!(week = %monday_of(time), "created the partitions of a week on demand");
    Ok(true)
}

async fn ensure_week(client: &mut Client, monday: Date) -> Result<(), Error> {
    for weekly in &WEEKLY {
        ensure_one(client, weekly, monday).await?;
    }
    Ok(())
}

/// A table that a crash left detached does not count.
pub(crate) const EXISTS: &str = "select exists (select from pg_inherits where inhrelid = to_regclass($1))";

async fn ensure_one(client: &mut Client, weekly: &Weekly, monday: Date) -> Result<(), Error> {
    let name = partition_name(weekly.table, monday);
    for tries_left in (0..LOCK_TRIES).rev() {
        if client.query_one(EXISTS, &[&name]).await?.get(0) {
            return Ok(());
        }
        match create(client, weekly, &name, monday).await {
            Ok(()) => return Ok(()),
            Err(error) if is_lost_race(&error) => return Ok(()),
            Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) && tries_left > 0 => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn is_lost_race(error: &tokio_postgres::Error) -> bool {
    let states = [SqlState::DUPLICATE_TABLE, SqlState::UNIQUE_VIOLATION, SqlState::DUPLICATE_OBJECT];
    error.code().is_some_and(|code| states.contains(code))
}

async fn create(
    client: &mut Client,
    weekly: &Weekly,
    name: &str,
    monday: Date,
) -> Result<(), tokio_postgres::Error> {
    let Weekly { table, fillfactor } = weekly;
    let transaction = client.transaction().await?;
    transaction
        .batch_execute(&format!(
            "set local lock_timeout = '1s';
             create table {name} (like {table} including defaults including constraints including indexes
                 including storage) with (fillfactor = {fillfactor});
             {}",
            attach_sql(table, name, monday)
        ))
        .await?;
    transaction.commit().await
}

fn attach_sql(table: &str, name: &str, monday: Date) -> String {
    let (from, to) = bounds(monday);
    format!("alter table {table} attach partition {name} for values from ('{from}') to ('{to}')")
}

/// The ids of a week: the first one, and the first one after it.
fn bounds(monday: Date) -> (uuid::Uuid, uuid::Uuid) {
    (first_id_at(start_of(monday)), first_id_at(start_of(monday.saturating_add(7.days()))))
}

/// Where the weeks that are attached without a gap, from this week on, end.
async fn made_until(client: &Client, now: Timestamp) -> Result<Timestamp, Error> {
    let partitions = partitions(client).await?;
    let is_made = |monday: Date| {
        let has =
            |table: &str| partitions.iter().any(|p| p.is_attached && p.monday == monday && p.table == table);
        WEEKLY.iter().all(|weekly| has(weekly.table))
    };
    let mut monday = monday_of(now);
    while is_made(monday) {
        monday = monday.saturating_add(7.days());
    }
    Ok(start_of(monday))
}

struct Partition {
    name: String,
    table: String,
    monday: Date,
    /// Not where a crash came between detaching and dropping.
    is_attached: bool,
}

pub(crate) const PARTITIONS: &str =
    "select child.relname::text, weekly.name, exists (select from pg_inherits where inhrelid = child.oid)
     from unnest($1::text[]) as weekly(name)
     join pg_class child on child.relname ~ ('^' || weekly.name || '_[0-9]{8}$') and child.relkind = 'r'
     where pg_table_is_visible(child.oid)
     order by 1";

async fn partitions(client: &Client) -> Result<Vec<Partition>, Error> {
    let rows =
        client.query(PARTITIONS, &[&WEEKLY.iter().map(|weekly| weekly.table).collect::<Vec<_>>()]).await?;
    let parse = |row: &tokio_postgres::Row| {
        let (name, table): (String, String) = (row.get(0), row.get(1));
        let monday = Date::strptime("%Y%m%d", name.strip_prefix(&table)?.strip_prefix('_')?).ok()?;
        Some(Partition { name, table, monday, is_attached: row.get(2) })
    };
    Ok(rows.iter().filter_map(parse).collect())
}

/// The names of the partitions for this time.
pub(crate) fn names_at(time: Timestamp) -> Vec<String> {
    WEEKLY.iter().map(|weekly| partition_name(weekly.table, monday_of(time))).collect()
}

fn monday_of(time: Timestamp) -> Date {
    let date = time.to_zoned(TimeZone::UTC).date();
    date.saturating_sub(i64::from(date.weekday().to_monday_zero_offset()).days())
}

fn start_of(day: Date) -> Timestamp {
    day.to_zoned(TimeZone::UTC).map_or(Timestamp::MIN, |midnight| midnight.timestamp())
}

fn partition_name(table: &str, monday: Date) -> String {
    format!("{table}_{}", monday.strftime("%Y%m%d"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_week_begins_on_monday_in_utc() {
        let name = |time: &str| partition_name("messages", monday_of(time.parse().unwrap()));
        assert_eq!(name("2026-11-23T00:00:00Z"), "messages_20261123");
        assert_eq!(name("2026-11-29T23:59:59.999Z"), "messages_20261123");
        assert_eq!(name("2026-11-30T00:00:00Z"), "messages_20261130");
        assert_eq!(name("2026-11-22T23:59:59Z"), "messages_20261116");
    }

    #[test]
    fn a_role_that_may_not_create_tables_is_warned_three_weeks_ahead() {
        // A Wednesday: this week ends on the 7th, the third one after it on the 28th.
        let outlook = |until: &str, may_not_create| Outlook {
            now: "2026-12-02T12:00:00Z".parse().unwrap(),
            made_until: until.parse().unwrap(),
            may_not_create,
        };
        assert_eq!(outlook("2026-12-28T00:00:00Z", true).warning(), None);
        let warning = outlook("2026-12-21T00:00:00Z", true).warning().unwrap();
        assert!(warning.contains("2026-12-21") && warning.contains("app migrate"), "{warning}");
        assert_eq!(outlook("2026-12-21T00:00:00Z", false).warning(), None);
        assert!(outlook("2026-12-07T00:00:00Z", true).has_this_week());
        assert!(!outlook("2026-11-30T00:00:00Z", true).has_this_week());
    }
}
