//! Four processors share one provider's rate: what arrives there is that rate, not four times as much and not less.

use std::time::Duration;

use crate::backlog::Backlog;
use crate::configuration::twilio;
use crate::figure::Figure;
use crate::stage::Stage;

const RATE: usize = 100;
const PROCESSORS: usize = 4;
/// Left out at the beginning: what may be sent at once.
const START_S: i64 = 2;

pub(super) async fn run(stage: &mut Stage) -> anyhow::Result<Vec<Figure>> {
    let window_s = stage.scaled(30, 10);
    let installation = stage.installation().await?;
    let simulator = installation.simulator(&["--no-receipts"]).await?;
    installation.configure(&twilio("limited", &simulator.url, &format!("rate_per_s = {RATE}")))?;
    let mut processors = Vec::new();
    for _ in 0..PROCESSORS {
        processors.push(installation.processor().await?);
    }
    let count = RATE * (window_s + 10);
    installation.store(Backlog { route: "sms", first_number: 12_022_000_000, count }).await?;
    let enough = RATE * (window_s + 5);
    simulator.wait_count(enough, Duration::from_secs(3 * window_s as u64 + 30)).await?;

    let calls = simulator.calls().await?;
    let first_ms = calls.iter().map(|call| call.at_ms).min().unwrap_or(0) + START_S * 1_000;
    let mut seconds = vec![0_usize; window_s];
    for call in &calls {
        let second = (call.at_ms - first_ms).div_euclid(1_000);
        if let Some(count) = usize::try_from(second).ok().and_then(|second| seconds.get_mut(second)) {
            *count += 1;
        }
    }
    let mean = seconds.iter().sum::<usize>() as f64 / window_s as f64;
    let mut shares = Vec::new();
    for processor in &processors {
        shares.push(processor.metric("app_attempts_total", "outcome=\"accepted\"").await?);
    }
    let most = shares.iter().copied().fold(0.0, f64::max);
    let least = shares.iter().copied().fold(f64::INFINITY, f64::min);
    Ok(vec![
        Figure::at_least(format!("a second at the provider, over {window_s} s"), mean, 95.0),
        Figure::at_most("the same", mean, RATE as f64),
        Figure::at_most("in the busiest second", seconds.iter().copied().max().unwrap_or(0), RATE * 11 / 10),
        Figure::told("in the quietest second", seconds.iter().copied().min().unwrap_or(0)),
        Figure::told("messages of each processor", format!("{shares:?}")),
        Figure::ratio_at_least("the least busy processor to the busiest", least / most, 0.5),
    ])
}
