//! Accepting and delivering at once: clients send as fast as they may while no more than a window of messages is on
//! its way, so that what is accepted is what is delivered. Over 64 connections, as pgbench has clients, where what
//! each process costs is measured too; and over 256, as Kannel is measured: 64 clients that each wait for their
//! answer leave a fifth of two cores idle.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use chaos::process::Process;
use tokio::time::Instant;

use crate::bench::Bench;
use crate::connection::{CONNECTIONS, Loop};
use crate::people::KNOWN;
use crate::processes::{cpu_seconds, memory_mb, tree_cpu_seconds};
use crate::rig::{Rig, wait_until_drained};

const LIMIT: Duration = Duration::from_secs(120);
/// Messages that are accepted and not delivered yet.
pub(super) const WINDOW: usize = 4_000;
/// Enough clients to keep the machine busy, ours and Kannel's.
pub(super) const MANY: usize = 256;
const PER: f64 = 100_000.0;

pub(super) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let costs = sustain(bench, CONNECTIONS, "end to end/s").await?;
    for (component, seconds) in costs.0 {
        bench.samples.add(format!("{component} CPU s per 100,000"), seconds);
    }
    sustain(bench, MANY, "end to end, 256 connections/s").await?;
    Ok(())
}

/// Measures the rate, and the memory it takes; gives what 100,000 messages cost.
async fn sustain(bench: &mut Bench, connections: usize, figure: &str) -> anyhow::Result<Cost> {
    let rig = Rig::new(bench).await?;
    let apiserver = rig.installation.apiserver().await?;
    let processor = rig.installation.processor().await?;
    // What a start costs is over.
    tokio::time::sleep(Duration::from_secs(1)).await;
    for (name, process) in [("app-apiserver", &apiserver), ("app-processor", &processor)] {
        bench.samples.add(format!("{name} idle MB"), memory_mb(pid(process)?)?.0);
    }
    let before = Cost::now(bench, &apiserver, &processor)?;
    let began = Instant::now();
    let delivered = rig.sink.counter();
    let gate = Arc::new(move |answered: usize| answered < delivered() + WINDOW);
    let load = Loop {
        connections,
        gate: Some(gate),
        ..Loop::new(rig.api, bench.plan.time, rig.sends(KNOWN, false), 202)
    };
    let answered = load.run().await?;
    rig.sink.wait_count(answered.count, LIMIT).await?;
    wait_until_drained(&rig.installation.pool, LIMIT).await?;
    let elapsed = began.elapsed();
    let after = Cost::now(bench, &apiserver, &processor)?;
    anyhow::ensure!(
        rig.sink.called() == answered.count,
        "{} calls, {} accepted",
        rig.sink.called(),
        answered.count
    );
    bench.samples.add(figure, answered.count as f64 / elapsed.as_secs_f64());
    for (name, process) in [("app-apiserver", &apiserver), ("app-processor", &processor)] {
        bench.samples.add(format!("{name} loaded MB"), memory_mb(pid(process)?)?.1);
    }
    Ok(after.since(&before, PER / answered.count as f64))
}

fn pid(process: &Process) -> anyhow::Result<u32> {
    process.pid().context("it runs")
}

/// Seconds of processor time by component.
struct Cost([(&'static str, f64); 4]);

impl Cost {
    fn now(bench: &Bench, apiserver: &Process, processor: &Process) -> anyhow::Result<Self> {
        let postmaster = u32::try_from(bench.stage.postgres_pid().context("PostgreSQL runs")?)?;
        Ok(Self([
            ("app-apiserver", cpu_seconds(pid(apiserver)?)?),
            ("app-processor", cpu_seconds(pid(processor)?)?),
            ("app-db", tree_cpu_seconds(postmaster)?),
            ("load and sink", cpu_seconds(std::process::id())?),
        ]))
    }
    fn since(&self, before: &Self, share: f64) -> Self {
        let mut costs = self.0;
        for ((_, seconds), (_, before)) in costs.iter_mut().zip(before.0) {
            *seconds = (*seconds - before) * share;
        }
        Self(costs)
    }
}
