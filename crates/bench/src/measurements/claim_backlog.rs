//! A claim from a long backlog and from a short one, in turns.

use crate::bench::{Bench, SMALL_BACKLOG, checkpoint};
use crate::driver::Driver;
use crate::generate;
use crate::samples::Spread;

const CLAIM_ROWS: usize = 100;
const CLAIMS: usize = 10;
/// At most half of the short backlog is claimed.
const ROUNDS_MAX: usize = SMALL_BACKLOG / 2 / CLAIM_ROWS / CLAIMS;

pub(super) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let large = bench.plan.large;
    let mut sides = Vec::new();
    for (name, count) in [("10^4", SMALL_BACKLOG), ("large", large)] {
        let installation = bench.installation().await?;
        generate::backlog(&installation, count).await?;
        let client = installation.pool.get().await?;
        client.batch_execute("set statement_timeout = 0").await?;
        client.batch_execute("vacuum analyze").await?;
        drop(client);
        checkpoint(&installation).await?;
        let pool = installation.connect(1)?;
        sides.push((name, Driver::new(&pool)?, installation));
    }
    for (_, driver, _) in &mut sides {
        driver.claim(CLAIM_ROWS).await?;
    }
    for _ in 0..bench.plan.rounds.min(ROUNDS_MAX) {
        for (name, driver, _) in &mut sides {
            let mut times_ms = Vec::with_capacity(CLAIMS);
            for _ in 0..CLAIMS {
                let batch = driver.claim(CLAIM_ROWS).await?;
                anyhow::ensure!(
                    batch.claimed.len() == CLAIM_ROWS,
                    "a claim came back with {}",
                    batch.claimed.len()
                );
                times_ms.push(batch.took.as_secs_f64() * 1e3);
            }
            let middle = Spread::of(&times_ms).map_or(f64::NAN, |spread| spread.median);
            bench.samples.add(format!("claim from a {name} backlog, ms"), middle);
        }
    }
    Ok(())
}
