//! The weekly partitions of `messages` and `message_events`: made ahead of need, dropped whole.
//!
//! A new one is created on its own and then attached, an old one detached concurrently and then dropped, under a
//! lock time-out: a plain CREATE ... PARTITION OF or DROP would queue every insert behind one open reader.

use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use model::id::first_id_at;
use tokio_postgres::error::SqlState;

use crate::{Client, Error};

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

/// Makes last week's, this week's and the next four weeks' partitions where they are missing. Last week's, because
/// a server's clock may be behind.
///
/// # Errors
/// When a lock cannot be had in [`LOCK_TRIES`] tries, or the database refuses.
pub async fn ensure(client: &mut Client, now: Timestamp) -> Result<(), Error> {
    for weeks in -1..=WEEKS_AHEAD {
        let monday = monday_of(now).saturating_add((weeks * 7).days());
        for weekly in &WEEKLY {
            ensure_one(client, weekly, monday).await?;
        }
    }
    Ok(())
}

async fn ensure_one(client: &mut Client, weekly: &Weekly, monday: Date) -> Result<(), Error> {
    let name = partition_name(weekly.table, monday);
    for tries_left in (0..LOCK_TRIES).rev() {
        if client.query_one("select to_regclass($1) is not null", &[&name]).await?.get(0) {
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
    let (from, to) = (first_id_at(start_of(monday)), first_id_at(start_of(monday.saturating_add(7.days()))));
    let transaction = client.transaction().await?;
    transaction
        .batch_execute(&format!(
            "set local lock_timeout = '1s';
             create table {name} (like {table} including defaults including constraints including indexes
                 including storage) with (fillfactor = {fillfactor});
             alter table {table} attach partition {name} for values from ('{from}') to ('{to}');"
        ))
        .await?;
    transaction.commit().await
}

/// Drops the partitions whose every message is older than `keep`, and what hangs on them; never one that an outbox
/// row still points into. Returns the names of the dropped tables.
///
/// # Errors
/// When the database refuses; partitions dropped before stay dropped.
pub async fn drop_older_than(client: &Client, now: Timestamp, keep: Duration) -> Result<Vec<String>, Error> {
    client.batch_execute("set lock_timeout = '5s'").await?;
    let dropped = drop_all_older_than(client, now, keep).await;
    client.batch_execute("set lock_timeout = '20s'").await?;
    dropped
}

async fn drop_all_older_than(client: &Client, now: Timestamp, keep: Duration) -> Result<Vec<String>, Error> {
    let mut dropped = Vec::new();
    let cutoff = now.checked_sub(keep).unwrap_or(Timestamp::MIN);
    for Partition { name, table, monday, is_attached } in partitions(client).await? {
        let end = start_of(monday.saturating_add(7.days()));
        if end > cutoff {
            continue;
        }
        let (from, to) = (first_id_at(start_of(monday)), first_id_at(end));
        let in_use = "select exists (select from outbox where message_id >= $1 and message_id < $2)";
        if client.query_one(in_use, &[&from, &to]).await?.get(0) {
            continue;
        }
        if is_attached {
            detach(client, &table, &name).await?;
        }
        client.batch_execute(&format!("drop table {name}")).await?;
        if table == "messages" {
            // The outbox too: somebody may have asked for another try since it was looked at.
            for hanging in ["problems", "media", "receipt_deadlines", "outbox"] {
                let sql = format!("delete from {hanging} where message_id >= $1 and message_id < $2");
                client.execute(&sql, &[&from, &to]).await?;
            }
        }
        dropped.push(name);
    }
    Ok(dropped)
}

async fn detach(client: &Client, table: &str, name: &str) -> Result<(), Error> {
    let detached =
        client.batch_execute(&format!("alter table {table} detach partition {name} concurrently")).await;
    if detached.is_err() {
        // One that a crash left half detached is finished instead.
        client.batch_execute(&format!("alter table {table} detach partition {name} finalize")).await?;
    }
    Ok(())
}

struct Partition {
    name: String,
    table: String,
    monday: Date,
    /// Not where a crash came between detaching and dropping.
    is_attached: bool,
}

async fn partitions(client: &Client) -> Result<Vec<Partition>, Error> {
    let rows = client
        .query(
            "select child.relname::text, weekly.name, exists (select from pg_inherits where inhrelid = child.oid)
             from unnest($1::text[]) as weekly(name)
             join pg_class child on child.relname ~ ('^' || weekly.name || '_[0-9]{8}$') and child.relkind = 'r'
             where pg_table_is_visible(child.oid)
             order by 1",
            &[&WEEKLY.iter().map(|weekly| weekly.table).collect::<Vec<_>>()],
        )
        .await?;
    let parse = |row: &tokio_postgres::Row| {
        let (name, table): (String, String) = (row.get(0), row.get(1));
        let monday = Date::strptime("%Y%m%d", name.strip_prefix(&table)?.strip_prefix('_')?).ok()?;
        Some(Partition { name, table, monday, is_attached: row.get(2) })
    };
    Ok(rows.iter().filter_map(parse).collect())
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
}
