//! A backlog and one app-processor: from the first call of the provider until the last message is settled.

use std::time::Duration;

use tokio::time::Instant;

use crate::bench::{Bench, checkpoint};
use crate::generate;
use crate::rig::{Rig, wait_until_drained};

const LIMIT: Duration = Duration::from_secs(600);

pub(super) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let count = bench.plan.jobs;
    let installation = bench.installation().await?;
    generate::backlog(&installation, count).await?;
    checkpoint(&installation).await?;
    let rig = Rig::over(installation).await?;
    let _processor = rig.installation.processor().await?;
    let already = rig.sink.called();
    let began = Instant::now();
    rig.sink.wait_count(count, LIMIT).await?;
    wait_until_drained(&rig.installation.pool, LIMIT).await?;
    let rate = (count - already.min(count)) as f64 / began.elapsed().as_secs_f64();
    anyhow::ensure!(rig.sink.called() == count, "{} calls for {count} messages", rig.sink.called());
    bench.samples.add("sending drain/s", rate);
    Ok(())
}
