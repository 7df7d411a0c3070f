//! What the scenarios about the database, the network and the clocks have in common: one server, one processor, a
//! provider, clients that repeat what was not accepted, and a log of what `/readyz` answers.

use std::time::Duration;

use tokio::time::Instant;

use crate::configuration::{IMPATIENT, twilio};
use crate::figure::Figure;
use crate::installation::Installation;
use crate::invariants;
use crate::keyed_load::KeyedLoad;
use crate::process::Process;
use crate::readiness::ReadinessLog;
use crate::simulator::Simulator;
use crate::wait::until;

/// For what must happen at all; the bars are shorter.
pub const LIMIT: Duration = Duration::from_secs(60);
/// From the end of a fault of the database or the network until messages are accepted and sent again.
pub const RECOVERY_BAR_S: f64 = 30.0;
const WARM_UP: usize = 50;

#[derive(Debug)]
pub struct Rig {
    pub installation: Installation,
    pub simulator: Simulator,
    pub apiserver: Process,
    pub processor: Process,
    pub load: KeyedLoad,
    apiserver_ready: ReadinessLog,
    processor_ready: ReadinessLog,
}

impl Rig {
    /// Messages are accepted and sent on return.
    ///
    /// # Errors
    /// When they are not.
    pub async fn start(installation: Installation) -> anyhow::Result<Self> {
        let simulator = installation.simulator(&["--no-receipts"]).await?;
        installation.configure(&format!("{IMPATIENT}{}", twilio("twilio-main", &simulator.url, "")))?;
        let apiserver = installation.apiserver().await?;
        let processor = installation.processor().await?;
        let load = KeyedLoad::start(&installation.api());
        let rig = Self {
            apiserver_ready: ReadinessLog::start("apiserver", &apiserver),
            processor_ready: ReadinessLog::start("processor", &processor),
            installation,
            simulator,
            apiserver,
            processor,
            load,
        };
        rig.load.wait_for_further(WARM_UP, LIMIT).await?;
        rig.simulator.wait_count(WARM_UP, LIMIT).await?;
        Ok(rig)
    }

    /// Lets the fault last until both answer that they are not ready, but not longer than `at_most`.
    pub async fn wait_until_not_ready(&self, at_most: Duration) {
        let deadline = Instant::now() + at_most;
        while Instant::now() < deadline
            && (self.apiserver_ready.is_ready() || self.processor_ready.is_ready())
        {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until messages are accepted, and others sent, and both are ready. The times count from the call, which is
    /// the end of the fault.
    ///
    /// # Errors
    /// When one does not come back within [`LIMIT`].
    pub async fn recover(&self, fault_began: Instant) -> anyhow::Result<Vec<Figure>> {
        let ended = Instant::now();
        let accepted = self.load.accepted();
        // Calls that were answered before may still be counted: only further ones show that it claims again.
        let sent = self.simulator.summary().await?.count;
        let (accepting, sending, ready) = tokio::join!(
            until("the server accepts again", LIMIT, async || {
                Ok((self.load.accepted() > accepted).then(|| ended.elapsed()))
            }),
            until("the processor sends again", LIMIT, async || {
                tokio::time::sleep(Duration::from_millis(50)).await;
                Ok((self.simulator.summary().await?.count > sent).then(|| ended.elapsed()))
            }),
            until("both are ready again", LIMIT, async || {
                let is_ready = self.apiserver_ready.is_ready() && self.processor_ready.is_ready();
                Ok(is_ready.then(|| ended.elapsed()))
            }),
        );
        let mut figures =
            vec![Figure::told("the fault lasted", format!("{:.1} s", (ended - fault_began).as_secs_f64()))];
        for (what, after) in [("accepting", accepting), ("sending", sending), ("ready", ready)] {
            figures.push(match after {
                Ok(after) => {
                    Figure::below(format!("{what} again after"), after.as_secs_f64(), RECOVERY_BAR_S, "s")
                }
                Err(_) => Figure::exactly(format!("{what} again"), "never", "yes"),
            });
        }
        figures.extend(self.readiness(fault_began));
        Ok(figures)
    }

    /// What `/readyz` of both answered since the fault began.
    pub fn readiness(&self, fault_began: Instant) -> Vec<Figure> {
        let mut figures = self.apiserver_ready.figures(fault_began);
        figures.extend(self.processor_ready.figures(fault_began));
        figures
    }

    /// Ends the load, waits until everything is settled, stops both in an orderly way, and counts.
    ///
    /// # Errors
    /// When a message is not accepted or not settled, or a process ends badly.
    pub async fn finish(mut self, may_double: bool) -> anyhow::Result<Vec<Figure>> {
        let sent = self.load.stop().await?;
        self.installation.wait_until_settled(LIMIT).await?;
        self.apiserver.terminate().await?;
        self.processor.terminate().await?;
        let mut figures = sent.figures(&self.installation, &self.simulator, may_double).await?;
        figures.push(invariants::leases_left(&self.installation.pool).await?);
        figures.extend(invariants::check(&self.installation.pool).await?);
        Ok(figures)
    }
}
