//! WAL of a message's whole life, by its parts: accepted over HTTP, sent by the processor, and two signed receipts.
//! Written after a checkpoint, so the pages' first images are in it.

use std::sync::Arc;
use std::time::Duration;

use chaos::installation::Installation;
use uuid::Uuid;

use crate::bench::Bench;
use crate::connection::Loop;
use crate::people::{self, KNOWN, SENDER};
use crate::rig::{PROVIDER, Rig, wait_until_drained};

const LIMIT: Duration = Duration::from_secs(300);

pub(super) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let rig = Rig::new(bench).await?;
    let installation = &rig.installation;
    let apiserver = installation.apiserver().await?;
    let mut load = Loop::new(rig.api, LIMIT, rig.sends(KNOWN, false), 202);
    load.count = bench.plan.jobs / 2;
    let start = position(installation).await?;
    let count = load.run().await?.count;
    let accepted = position(installation).await?;
    let processor = installation.processor().await?;
    rig.sink.wait_count(count, LIMIT).await?;
    wait_until_drained(&installation.pool, LIMIT).await?;
    drop(processor);
    let sent = position(installation).await?;

    let client = installation.pool.get().await?;
    let rows = client.query("select id, provider_message_id from messages order by id", &[]).await?;
    drop(client);
    let messages: Arc<Vec<(Uuid, String)>> =
        Arc::new(rows.iter().map(|row| (row.get(0), row.get(1))).collect());
    for status in ["sent", "delivered"] {
        let messages = Arc::clone(&messages);
        let make = rig.webhooks(move |n| receipt(&messages[n], n, status));
        let receipts = Loop { count, ..Loop::new(rig.api, LIMIT, make, 200) }.run().await?;
        bench.samples.add("receipts/s", receipts.per_second());
    }
    let reported = position(installation).await?;
    drop(apiserver);
    let delivered =
        installation.count("select count(*) from messages where delivery_tag = 'delivered'").await?;
    anyhow::ensure!(usize::try_from(delivered)? == count, "{delivered} of {count} are delivered");
    let per_message = |from: i64, to: i64| (to - from) as f64 / count as f64;
    bench.samples.add("WAL per message, accept, bytes", per_message(start, accepted));
    bench.samples.add("WAL per message, claim and settle, bytes", per_message(accepted, sent));
    bench.samples.add("WAL per message, two receipts, bytes", per_message(sent, reported));
    bench.samples.add("WAL per message, whole life, bytes", per_message(start, reported));
    let on_disk = installation.count("select pg_database_size(current_database())::int8").await?;
    bench.note(format!(
        "The database of the WAL measurement took {:.0} bytes of disk for each of its {count} messages, everything \
         included.",
        on_disk as f64 / count as f64
    ));
    Ok(())
}

fn receipt(message: &(Uuid, String), n: usize, status: &str) -> (String, Vec<(String, String)>) {
    let (id, sid) = message;
    let form = [
        ("SmsSid", sid.as_str()),
        ("SmsStatus", status),
        ("MessageStatus", status),
        ("To", &people::nth(n, KNOWN)),
        ("MessageSid", sid.as_str()),
        ("AccountSid", provider_simulator::DEMO_TWILIO_ACCOUNT_SID),
        ("From", SENDER),
        ("ApiVersion", "2010-04-01"),
    ];
    let form = form.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    (format!("/api/webhooks/{PROVIDER}?message_id={id}&attempt=1"), form)
}

async fn position(installation: &Installation) -> anyhow::Result<i64> {
    installation.count("select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::int8").await
}
