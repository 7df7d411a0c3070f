//! Whether claims stay flat while the queue turns over: a drain of many messages, without a manual vacuum, its
//! claims compared with those of its beginning; then the same under a snapshot that is held open elsewhere, which
//! keeps every dead row from being vacuumed.

use chaos::installation::Installation;
use tokio::time::Instant;

use crate::bench::{Bench, checkpoint};
use crate::driver::{BATCH, Drained, Drivers};
use crate::generate;
use crate::samples::Spread;

/// The share of the messages whose claims make a figure.
const PARTS: usize = 5;
/// A part takes seconds, in which anything may happen on the machine: it is taken so often, and the middle counts.
const TIMES: usize = 3;

pub(super) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let count = bench.plan.processed.max(PARTS * BATCH * 10);
    let part = count / PARTS;
    let (installation, mut drivers) = start(bench, count).await?;
    let fresh = drivers.drain(part).await?;
    drivers.drain((PARTS - 1) * part).await?;
    drop(drivers);
    note(bench, "claim, fresh", &fresh);
    for _ in 0..TIMES {
        generate::backlog(&installation, part).await?;
        let after = Drivers::new(&installation).await?.drain(part).await?;
        note(bench, "claim, after many processed", &after);
    }
    bench.note(format!(
        "\"Fresh\": the claims of the first {part} of {count} messages; \"after many processed\": those of {part} more, \
         when these have gone through the same database with nothing but autovacuum. Mean times of the statement that \
         claims {BATCH} rows, the looks below their floors, between them, not included."
    ));

    let (installation, mut drivers) = start(bench, count).await?;
    for _ in 0..TIMES {
        let free = drivers.drain(part).await?;
        note(bench, "claim, no snapshot held", &free);
    }
    let mut holder = installation.connect(1)?.get().await?;
    holder.batch_execute("set idle_in_transaction_session_timeout = 0").await?;
    let snapshot = holder.build_transaction().isolation_level(tokio_postgres::IsolationLevel::RepeatableRead);
    let snapshot = snapshot.start().await?;
    // A transaction has a snapshot from its first query on.
    snapshot.query_one("select count(*) from conversations", &[]).await?;
    let began = Instant::now();
    let mut under = drivers.drain((PARTS - TIMES) * part).await?.messages;
    while began.elapsed() < bench.plan.snapshot {
        generate::backlog(&installation, count).await?;
        under += drivers.drain(count).await?.messages;
    }
    for _ in 0..TIMES {
        generate::backlog(&installation, part).await?;
        let held = drivers.drain(part).await?;
        under += held.messages;
        note(bench, "claim, snapshot held", &held);
    }
    drop(snapshot);
    bench.note(format!(
        "The snapshot was held open for {} s, while {} messages went through the queue.",
        began.elapsed().as_secs(),
        under
    ));
    Ok(())
}

async fn start(bench: &mut Bench, count: usize) -> anyhow::Result<(Installation, Drivers)> {
    let installation = bench.installation().await?;
    generate::backlog(&installation, count).await?;
    checkpoint(&installation).await?;
    let drivers = Drivers::new(&installation).await?;
    Ok((installation, drivers))
}

/// The mean is what the queue's rate depends on; the median says what most claims took.
fn note(bench: &mut Bench, figure: &str, drained: &Drained) {
    let claims_ms = &drained.claims_ms;
    let mean = claims_ms.iter().sum::<f64>() / claims_ms.len() as f64;
    bench.samples.add(format!("{figure}, ms"), mean);
    if let Some(spread) = Spread::of(claims_ms) {
        bench.samples.add(format!("{figure}, median ms"), spread.median);
        bench.samples.add(format!("{figure}, slowest ms"), spread.max);
    }
}
