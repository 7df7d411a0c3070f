//! What the measurements of a run share: the PostgreSQL, the plan, and what was measured so far.

use std::path::PathBuf;
use std::time::Duration;

use chaos::installation::Installation;
use chaos::stage::Stage;

use crate::samples::Samples;

/// How much is measured.
#[derive(Clone, Debug)]
pub struct Plan {
    pub rounds: usize,
    /// How long each measurement that has no end of its own runs in a round.
    pub time: Duration,
    /// Jobs or messages of a drain.
    pub jobs: usize,
    /// Rows of the large tables that are compared with small ones.
    pub large: usize,
    /// Messages that are processed before claims are measured again.
    pub processed: usize,
    /// How long a snapshot is held open.
    pub snapshot: Duration,
    pub idle_messages: usize,
    /// Where peers are installed, and where their sources are.
    pub peers_target: PathBuf,
    pub peers_source: PathBuf,
}

#[derive(Debug)]
pub struct Bench {
    pub stage: Stage,
    pub plan: Plan,
    pub samples: Samples,
    /// The names of the numbers of stored messages that are compared, from the smallest.
    pub sizes: Vec<String>,
    /// What could not be measured here, and why.
    pub skipped: Vec<String>,
    /// What a reader must know to read the figures.
    pub notes: Vec<String>,
}

/// The small side of a comparison.
pub const SMALL_BACKLOG: usize = 10_000;
pub const SMALL_STORED: usize = 100_000;

impl Bench {
    pub fn new(stage: Stage, plan: Plan) -> Self {
        Self {
            stage,
            plan,
            samples: Samples::default(),
            sizes: Vec::new(),
            skipped: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// A fresh installation, on a server that has just written everything: each measurement finds it so.
    ///
    /// # Errors
    /// When the database cannot be made.
    pub async fn installation(&mut self) -> anyhow::Result<Installation> {
        let installation = self.stage.installation().await?;
        checkpoint(&installation).await?;
        Ok(installation)
    }

    pub fn skip(&mut self, line: String) {
        eprintln!("  skipped: {line}");
        if !self.skipped.contains(&line) {
            self.skipped.push(line);
        }
    }

    pub fn note(&mut self, line: String) {
        if !self.notes.contains(&line) {
            self.notes.push(line);
        }
    }
}

/// # Errors
/// As the database gives them.
pub async fn checkpoint(installation: &Installation) -> anyhow::Result<()> {
    let client = installation.pool.get().await?;
    client.batch_execute("set statement_timeout = 0; checkpoint; set statement_timeout = '60s'").await?;
    Ok(())
}
