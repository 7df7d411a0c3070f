//! The provider's ledger against what clients were promised and what the database admits.

use std::collections::HashMap;

use uuid::Uuid;

use crate::figure::Figure;
use crate::installation::Installation;
use crate::simulator::Simulator;

/// What became of accepted messages.
#[derive(Clone, Copy, Debug)]
pub struct Audit {
    /// Not in the database.
    pub lost: usize,
    /// Not in the ledger.
    pub never_sent: usize,
    /// Accepted by the provider once more than needed.
    pub duplicates: usize,
    /// Outcomes that were counted as unknown.
    pub unknown: usize,
    /// Messages with more duplicates than unknown outcomes.
    pub unexplained: usize,
}

impl Audit {
    /// # Errors
    /// When the database or the simulator does not answer.
    pub async fn of(
        installation: &Installation,
        simulator: &Simulator,
        accepted: &[Uuid],
    ) -> anyhow::Result<Self> {
        let mut copies: HashMap<Uuid, usize> = HashMap::new();
        for id in simulator.ledger().await?.iter().filter_map(|entry| entry.message_id) {
            *copies.entry(id).or_default() += 1;
        }
        let unknown = installation.unknown_outcomes().await?;
        let is_explained =
            |(id, &copies): (&Uuid, &usize)| copies <= 1 + unknown.get(id).copied().unwrap_or(0);
        Ok(Self {
            lost: installation.missing(accepted).await?,
            never_sent: accepted.iter().filter(|id| !copies.contains_key(id)).count(),
            duplicates: copies.values().map(|copies| copies - 1).sum(),
            unknown: unknown.values().sum(),
            unexplained: copies.iter().filter(|&copy| !is_explained(copy)).count(),
        })
    }

    pub fn figures(&self) -> Vec<Figure> {
        vec![
            Figure::exactly("accepted, but missing in app-db", self.lost, 0),
            Figure::exactly("accepted, but missing from the ledger", self.never_sent, 0),
            Figure::told("unknown outcomes counted", self.unknown),
            Figure::exactly("messages with more duplicates than that", self.unexplained, 0),
        ]
    }
}
