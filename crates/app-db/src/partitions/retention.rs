//! Retention: drops the weeks whose every message is too old. The cut-off is the database's clock, never ours; the
//! current, the last and all future weeks stay, and so does every week that an outbox row points into.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};

use super::{Partition, attach_sql, bounds, monday_of, partitions, start_of};
use crate::pool::LONG_LIMIT;
use crate::{Client, Error, gauges};

/// The tables whose rows hang on messages and go with their week.
pub(crate) const HANGING: [&str; 3] = ["problems", "media", "receipt_deadlines"];

pub(crate) fn delete_hanging_sql(table: &str) -> String {
    format!("delete from {table} where message_id >= $1 and message_id < $2")
}

pub(crate) const IS_IN_USE: &str =
    "select exists (select from outbox where message_id >= $1 and message_id < $2)";

/// Drops the partitions whose every message is older than `keep`, and what hangs on them; never one that an outbox
/// row still points into. Returns the names of the dropped tables.
///
/// # Errors
/// When the database refuses; partitions dropped before stay dropped.
pub async fn drop_older_than(client: &Client, keep: Duration) -> Result<Vec<String>, Error> {
    client.allow(LONG_LIMIT);
    client.batch_execute("set lock_timeout = '5s'").await?;
    let dropped = drop_all_older_than(client, keep).await;
    client.batch_execute("set lock_timeout = '8s'").await?;
    dropped
}

async fn drop_all_older_than(client: &Client, keep: Duration) -> Result<Vec<String>, Error> {
    let now = gauges::database_time(client).await?;
    let mut weeks: BTreeMap<Date, Vec<Partition>> = BTreeMap::new();
    for partition in partitions(client).await? {
        weeks.entry(partition.monday).or_default().push(partition);
    }
    let mut dropped = Vec::new();
    for (monday, week) in weeks {
        if is_old(monday, now, keep) {
            dropped.extend(drop_week(client, monday, week).await?);
        }
    }
    Ok(dropped)
}

/// Whether every message of the week is older than `keep`. Never of the last week or a later one.
fn is_old(monday: Date, now: Timestamp, keep: Duration) -> bool {
    let last_week = monday_of(now).saturating_sub(7.days());
    let cutoff = now.checked_sub(keep).unwrap_or(Timestamp::MIN);
    monday < last_week && start_of(monday.saturating_add(7.days())) <= cutoff
}

async fn drop_week(client: &Client, monday: Date, week: Vec<Partition>) -> Result<Vec<String>, Error> {
    if is_in_use(client, monday).await? {
        return attach_again(client, monday, week.iter().filter(|partition| !partition.is_attached)).await;
    }
    for partition in week.iter().filter(|partition| partition.is_attached) {
        detach(client, partition).await?;
    }
    // A retry may have been asked for before the detaching was complete; from then on no request finds the message.
    if is_in_use(client, monday).await? {
        return attach_again(client, monday, week.iter()).await;
    }
    let (from, to) = bounds(monday);
    for partition in &week {
        client.batch_execute(&format!("drop table {}", partition.name)).await?;
    }
    for hanging in HANGING {
        client.execute(&delete_hanging_sql(hanging), &[&from, &to]).await?;
    }
    Ok(week.into_iter().map(|partition| partition.name).collect())
}

async fn is_in_use(client: &Client, monday: Date) -> Result<bool, Error> {
    let (from, to) = bounds(monday);
    Ok(client.query_one(IS_IN_USE, &[&from, &to]).await?.get(0))
}

/// Nothing was dropped.
async fn attach_again(
    client: &Client,
    monday: Date,
    detached: impl Iterator<Item = &Partition>,
) -> Result<Vec<String>, Error> {
    for Partition { name, table, .. } in detached {
        client.batch_execute(&attach_sql(table, name, monday)).await?;
    }
    Ok(Vec::new())
}

async fn detach(client: &Client, Partition { name, table, .. }: &Partition) -> Result<(), Error> {
    let detached =
        client.batch_execute(&format!("alter table {table} detach partition {name} concurrently")).await;
    if detached.is_err() {
        // One that a crash left half detached is finished instead.
        client.batch_execute(&format!("alter table {table} detach partition {name} finalize")).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_current_the_last_and_future_weeks_are_never_old() {
        let now: Timestamp = "2026-12-02T12:00:00Z".parse().unwrap();
        let is_old = |monday: &str, keep_s| is_old(monday.parse().unwrap(), now, Duration::from_secs(keep_s));
        for keep_s in [0, 7 * 86_400] {
            for monday in ["2026-11-23", "2026-11-30", "2026-12-07", "2027-11-29"] {
                assert!(!is_old(monday, keep_s), "{monday}");
            }
        }
        assert!(is_old("2026-11-16", 0));
        assert!(!is_old("2026-11-16", 10 * 86_400), "its last message is 9.5 days old");
    }
}
