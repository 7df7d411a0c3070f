//! A backlog claimed and settled without sending: by this program, with app-db's own statements in the processor's
//! batches, two clients at once.

use crate::bench::Bench;
use crate::driver::Drivers;
use crate::generate;

pub(super) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let count = bench.plan.jobs;
    let installation = bench.installation().await?;
    generate::backlog(&installation, count).await?;
    let drained = Drivers::new(&installation).await?.drain(usize::MAX).await?;
    anyhow::ensure!(drained.messages == count, "{} of {count} were claimed", drained.messages);
    bench.samples.add("no-op drain/s", count as f64 / drained.elapsed.as_secs_f64());
    Ok(())
}
