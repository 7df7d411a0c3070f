//! Accepting over HTTP with everything on: authentication, validation, routing, group commit, metrics. Once without
//! Idempotency-Keys, which writes the rows that pgbench writes, and once with one on every request, a row more.

use std::time::Duration;

use crate::bench::Bench;
use crate::connection::Loop;
use crate::people::KNOWN;
use crate::rig::Rig;

const WARM_UP: Duration = Duration::from_millis(500);

pub(super) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    for keyed in [false, true] {
        let rig = Rig::new(bench).await?;
        let _apiserver = rig.installation.apiserver().await?;
        let sends = rig.sends(KNOWN, keyed);
        let warm = Loop::new(rig.api, WARM_UP, sends.clone(), 202).run().await?;
        let load = Loop { first: warm.count + 64, ..Loop::new(rig.api, bench.plan.time, sends, 202) };
        let answered = load.run().await?;
        let stored = usize::try_from(rig.installation.count("select count(*) from messages").await?)?;
        anyhow::ensure!(
            stored == warm.count + answered.count,
            "{stored} messages stored, {} answered",
            answered.count
        );
        if keyed {
            bench.samples.add("accept with Idempotency-Keys/s", answered.per_second());
        } else {
            bench.samples.add("accept/s", answered.per_second());
            bench.samples.add("accept p50 ms", answered.latencies.percentile_ms(0.5));
            bench.samples.add("accept p99 ms", answered.latencies.percentile_ms(0.99));
        }
    }
    Ok(())
}
