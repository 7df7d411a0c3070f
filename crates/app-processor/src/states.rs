//! What this processor knows of each provider, published for whoever explains a message or lists providers; and what an
//! operator says of them, read at the same time.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use app_db::provider_states::ProviderState;
use model::ProviderHealth;
use service::failures;
use service::telemetry::chain;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Processor;

/// An operator's pause is known within this time, and a change is published within it.
const EVERY: Duration = Duration::from_secs(1);
/// What did not change is published again after this: older states count as gone.
const AGAIN_AFTER: Duration = Duration::from_secs(4);

impl Processor {
    pub(crate) async fn keep_states(self: Arc<Self>, shutdown: CancellationToken) {
        let mut published = Vec::new();
        let mut published_at: Option<Instant> = None;
        while !shutdown.is_cancelled() {
            let states = self.states();
            let is_old = published_at.is_none_or(|at| at.elapsed() >= AGAIN_AFTER);
            let result = self.exchange((is_old || differ(&states, &published)).then_some(&states[..])).await;
            match result {
                Ok(true) => (published, published_at) = (states, Some(Instant::now())),
                Ok(false) => {}
                Err(error) => {
                    failures::report("providers' states are not exchanged; trying again", &error);
                }
            }
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = shutdown.cancelled() => {}
            }
        }
        if let Err(error) = self.withdraw().await {
            tracing::debug!(error = chain(&error), "providers' states stay until they are old");
        }
    }

    /// Reads what operators have paused, before the first claim: without that a paused provider would get a batch at
    /// every start. Tries until the database answers, or until shutdown.
    pub(crate) async fn read_pauses(&self, shutdown: &CancellationToken) {
        loop {
            let read = tokio::select! {
                read = self.exchange(None) => read,
                () = shutdown.cancelled() => return,
            };
            let Err(error) = read else { return };
            failures::report("paused providers cannot be read; nothing is claimed before", &error);
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = shutdown.cancelled() => return,
            }
        }
    }

    async fn withdraw(&self) -> Result<(), app_db::Error> {
        let client = app_db::pool::get(&self.parts.pool).await?;
        app_db::provider_states::withdraw(&client, self.owner).await
    }

    /// Whether it published something.
    async fn exchange(&self, states: Option<&[ProviderState]>) -> Result<bool, app_db::Error> {
        let client = app_db::pool::get(&self.parts.pool).await?;
        let pauses = app_db::provider_pauses::all(&client).await?;
        let paused: HashSet<String> = pauses.into_iter().map(|pause| pause.provider_id).collect();
        let mut was_resumed = false;
        for candidate in self.candidates.all() {
            was_resumed |= candidate.set_paused(paused.contains(&candidate.config.id));
        }
        if was_resumed {
            self.parts.wake.notify_one();
        }
        let Some(states) = states else { return Ok(false) };
        app_db::provider_states::publish(&client, self.owner, states).await?;
        Ok(true)
    }

    fn states(&self) -> Vec<ProviderState> {
        let (now, clock) = (Instant::now(), self.parts.clock.now());
        let mut states: Vec<ProviderState> =
            self.candidates.all().map(|candidate| candidate.state(now, clock)).collect();
        states.sort_by(|one, other| one.provider_id.cmp(&other.provider_id));
        states
    }
}

/// Calls under way and latencies change all the time: alone they are no news.
fn differ(states: &[ProviderState], published: &[ProviderState]) -> bool {
    let standing = |state: &'_ ProviderState| -> (String, ProviderHealth, Option<String>, bool) {
        (state.provider_id.clone(), state.state, state.reason.clone(), state.in_flight >= state.slots)
    };
    states.iter().map(standing).ne(published.iter().map(standing))
}
