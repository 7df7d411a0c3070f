//! Whether claims stay flat while the queue turns over: a drain of many messages, without a manual vacuum, its
//! claims compared with those of its beginning; then the same under a snapshot that is held open elsewhere, which
//! keeps every dead row from being vacuumed.

use anyhow::Context;
use chaos::installation::Installation;
use tokio::time::Instant;

use crate::bench::{Bench, checkpoint};
use crate::driver::{self, Drained};
use crate::generate;
use crate::samples::Spread;

/// Messages between two looks at the claims.
const STEP: usize = 100_000;
/// What is left after the processing and measured: the same amount that the first figure was taken from.
const LIMIT_STEPS: usize = 1_000;

pub(super) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let installation = bench.installation().await?;
    let step = STEP.min(bench.plan.processed / 5).max(driver::BATCH * 20);
    let first = one_step(&installation, step).await?;
    bench.samples.add("claim, fresh, ms", first);
    let mut processed = step;
    let mut last = first;
    while processed <= bench.plan.processed {
        last = one_step(&installation, step).await?;
        processed += step;
    }
    bench.samples.add("claim, after many processed, ms", last);
    bench.note(format!(
        "\"After many processed\": the claims of the last {step} of {processed} messages that went through one \
         database, with nothing but autovacuum; \"fresh\": those of its first {step}. Mean times of a claim of {} \
         rows, its sweeps from the beginning of the index included.",
        driver::BATCH
    ));

    let installation = bench.installation().await?;
    checkpoint(&installation).await?;
    one_step(&installation, step).await?;
    let fresh = one_step(&installation, step).await?;
    let mut holder = installation.connect(1)?.get().await?;
    holder.batch_execute("set idle_in_transaction_session_timeout = 0").await?;
    let snapshot = holder.build_transaction().isolation_level(tokio_postgres::IsolationLevel::RepeatableRead);
    let snapshot = snapshot.start().await?;
    // A transaction has a snapshot from its first query on.
    snapshot.query_one("select count(*) from conversations", &[]).await?;
    let began = Instant::now();
    let (mut held, mut under) = (fresh, 0);
    for _ in 0..LIMIT_STEPS {
        held = one_step(&installation, step).await?;
        under += step;
        if began.elapsed() >= bench.plan.snapshot && under >= bench.plan.processed {
            break;
        }
    }
    drop(snapshot);
    bench.samples.add("claim, no snapshot held, ms", fresh);
    bench.samples.add("claim, snapshot held, ms", held);
    bench.note(format!(
        "The snapshot was held open for {} s, while {under} messages went through the queue.",
        began.elapsed().as_secs()
    ));
    Ok(())
}

/// Stores and drains; the mean time of a claim.
async fn one_step(installation: &Installation, count: usize) -> anyhow::Result<f64> {
    generate::backlog(installation, count).await?;
    let Drained { messages, claims_ms, .. } = driver::drain(installation).await?;
    anyhow::ensure!(messages == count, "{messages} of {count} were claimed");
    Spread::of(&claims_ms).context("claims")?;
    Ok(claims_ms.iter().sum::<f64>() / claims_ms.len() as f64)
}
