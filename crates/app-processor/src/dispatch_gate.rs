//! Whether this processor may claim and destroy at all. Closed until the database has been read, while the local clock
//! is off, and while the database is a copy that was not adopted. Calls under way are finished and settled in any case.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use app_db::hold::Scope;
use jiff::SignedDuration;
use model::Reason;
use service::clock::{clock_agrees, clock_offset};
use service::telemetry::chain;
use tokio_util::sync::CancellationToken;

use crate::Processor;

/// A change is known within this time.
const EVERY: Duration = Duration::from_secs(1);

/// Why nothing is claimed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Closed {
    /// The database has not been read since the start.
    NotRead,
    /// The local clock is so far ahead of the database's.
    ClockOff { offset: SignedDuration },
    /// The database is a copy that was not adopted; the sentence says what tells it.
    Copy { sentence: String },
}

impl Closed {
    /// What is wrong and what to do.
    pub(crate) fn sentence(&self) -> String {
        match self {
            Self::NotRead => "the database has not been read since the start".to_owned(),
            Self::ClockOff { offset } => format!(
                "the clock is {:+.1} s off the database's; set the clock of one of them",
                offset.as_secs_f64()
            ),
            Self::Copy { sentence } => sentence.clone(),
        }
    }
}

/// The state of the gate, shared with whatever reports readiness.
#[derive(Clone, Debug)]
pub(crate) struct DispatchGate(Arc<Mutex<Option<Closed>>>);

impl Default for DispatchGate {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Some(Closed::NotRead))))
    }
}

impl DispatchGate {
    fn lock(&self) -> MutexGuard<'_, Option<Closed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why nothing is claimed; nothing where the gate is open.
    pub(crate) fn closed(&self) -> Option<Closed> {
        self.lock().clone()
    }

    pub(crate) fn is_open(&self) -> bool {
        self.closed().is_none()
    }

    /// Logs a change of state, and says whether the gate has just opened.
    fn set(&self, state: Option<Closed>) -> bool {
        let before = std::mem::replace(&mut *self.lock(), state.clone());
        let is_other =
            |one: &Closed, other: &Closed| std::mem::discriminant(one) != std::mem::discriminant(other);
        match (&before, &state) {
            (Some(Closed::NotRead) | None, None) => {}
            (Some(_), None) => tracing::info!("claims messages again"),
            (Some(before), Some(now)) if !is_other(before, now) => {}
            (_, Some(now)) => tracing::error!(reason = now.sentence(), "claims nothing"),
        }
        before.is_some() && state.is_none()
    }

    #[cfg(test)]
    pub(crate) fn open(&self) {
        self.set(None);
    }
}

impl Processor {
    pub(crate) async fn keep_gate(self: Arc<Self>, shutdown: CancellationToken) {
        let mut fails = false;
        while !shutdown.is_cancelled() {
            match self.look_at_gate().await {
                Ok(()) => fails = false,
                Err(error) if !fails => {
                    fails = true;
                    tracing::warn!(
                        error = chain(&error),
                        "the database's clock cannot be read; trying again"
                    );
                }
                Err(_) => {}
            }
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = shutdown.cancelled() => {}
            }
        }
    }

    /// Holds what waits in the outbox, however long the database is away.
    pub(crate) async fn hold_outbox(&self, shutdown: &CancellationToken) {
        while !shutdown.is_cancelled() {
            match self.try_to_hold_outbox().await {
                Ok(messages) => {
                    tracing::warn!(messages, "began held: what waited is held until `app outbox release`");
                    return;
                }
                Err(error) => tracing::warn!(error = chain(&error), "cannot hold the outbox; trying again"),
            }
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = shutdown.cancelled() => {}
            }
        }
    }

    async fn try_to_hold_outbox(&self) -> Result<u64, app_db::Error> {
        let mut client = app_db::pool::get(&self.parts.pool).await?;
        let held = app_db::hold::hold(&mut client, &self.ids, Scope::default(), Reason::Operator).await?;
        Ok(held.messages)
    }

    /// Reads what the gate depends on. On an error the gate stays as it is.
    pub(crate) async fn look_at_gate(&self) -> Result<(), app_db::Error> {
        let client = app_db::pool::get(&self.parts.pool).await?;
        let before = self.parts.clock.now();
        let look =
            app_db::installation::look(&client, self.parts.config.installation_name.as_deref()).await?;
        let offset = clock_offset(before, look.now, self.parts.clock.now());
        let state = if clock_agrees(offset) {
            look.hold().map(|sentence| Closed::Copy { sentence })
        } else {
            Some(Closed::ClockOff { offset })
        };
        if self.gate.set(state) {
            self.parts.wake.notify_one();
        }
        Ok(())
    }
}
