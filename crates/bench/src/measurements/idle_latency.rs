//! One message at a time on an idle installation: from the client's 202 to the provider's call, and from the
//! request itself.

use std::time::Duration;

use crate::bench::Bench;
use crate::connection::Connection;
use crate::people::KNOWN;
use crate::rig::Rig;
use chaos::latency::Latencies;
use tokio::time::Instant;

const LIMIT: Duration = Duration::from_secs(30);
const WARM_UP: usize = 20;
const PAUSE_MS: std::ops::Range<u64> = 5..40;

pub(super) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let rig = Rig::new(bench).await?;
    let _apiserver = rig.installation.apiserver().await?;
    let _processor = rig.installation.processor().await?;
    let make = rig.sends(KNOWN, false);
    let mut connection = Connection::open(rig.api).await?;
    let (mut from_request, mut from_answer) = (Vec::new(), Vec::new());
    for n in 0..WARM_UP + bench.plan.idle_messages {
        let request = make(n)?;
        let sent = Instant::now();
        let (status, _) = connection.call(request).await?;
        let answered = Instant::now();
        anyhow::ensure!(status == 202, "{status}");
        let called = rig.sink.wait_count(n + 1, LIMIT).await?;
        if n >= WARM_UP {
            from_request.push(called.duration_since(sent).as_secs_f64() * 1e3);
            // The processor may be faster than the answer's way to us.
            from_answer.push(called.saturating_duration_since(answered).as_secs_f64() * 1e3);
        }
        // So that each finds everybody idle.
        tokio::time::sleep(Duration::from_millis(fastrand::u64(PAUSE_MS))).await;
    }
    for (name, times) in
        [("idle accept to provider", from_answer), ("idle request to provider", from_request)]
    {
        let times = Latencies::new(times);
        bench.samples.add(format!("{name} p50 ms"), times.percentile_ms(0.5));
        bench.samples.add(format!("{name} p99 ms"), times.percentile_ms(0.99));
    }
    Ok(())
}
