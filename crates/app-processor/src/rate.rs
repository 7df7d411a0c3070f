//! `rate_per_s`: one budget for the whole installation, kept in the database, from which each processor takes what it is
//! about to send. So any number of processors keep the rate together, and who vanishes takes little of it along.

use std::time::Duration;

use tokio::time::Instant;

use crate::Processor;
use crate::candidate::Candidate;

/// A hundredth below what is configured: the provider counts arrivals, which come at less even distances than we send.
const SAFE_SHARE: f64 = 0.99;
/// So much of a second's budget is given out at once, at most, and at least one call; less than half of it is not worth
/// asking for, while somebody else may be.
const BURST_S: f64 = 0.1;

impl Processor {
    /// How many of `wanted` calls the provider's rate has room for now; those are taken from it.
    pub(crate) async fn take_rate(
        &self,
        candidate: &Candidate,
        wanted: usize,
    ) -> Result<usize, app_db::Error> {
        let Some(rate) = candidate.config.rate_per_s.map(|rate| rate * SAFE_SHARE) else { return Ok(wanted) };
        let client = app_db::pool::get(&self.parts.pool).await?;
        let taken = app_db::rates::take(&client, &candidate.config.id, rate, BURST_S, wanted).await?;
        if taken < wanted {
            let worth_asking = (BURST_S / 2.0).max(1.0 / rate);
            candidate.rate_is_ready_at(Instant::now() + Duration::from_secs_f64(worth_asking));
        }
        Ok(taken)
    }

    /// What was taken and not sent.
    pub(crate) async fn give_rate_back(
        &self,
        candidate: &Candidate,
        unused: usize,
    ) -> Result<(), app_db::Error> {
        let Some(rate) = candidate.config.rate_per_s.map(|rate| rate * SAFE_SHARE) else { return Ok(()) };
        if unused == 0 {
            return Ok(());
        }
        // There is something again, and other lanes may want it.
        candidate.rate_is_ready();
        let client = app_db::pool::get(&self.parts.pool).await?;
        app_db::rates::give_back(&client, &candidate.config.id, rate, unused).await
    }
}
