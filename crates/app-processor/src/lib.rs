//! app-processor: takes what is due in the outbox, chooses a provider, sends, settles. `run_once` tells the whole
//! story. No database transaction is open during a provider call.

mod attachments;
mod breaker;
mod candidate;
mod claim;
mod dispatch_gate;
mod drain;
mod duties;
mod housekeeping;
mod lanes;
mod latest_calls;
mod lease;
mod meters;
mod observe;
mod parked;
mod rate;
mod run_once;
mod send;
mod settle;
mod smtp;
mod startup;
mod states;
mod thread;
mod try_send;

use std::sync::Arc;
use std::time::Duration;

use app_db::Pool;
use app_db::migrate::MigrateError;
use model::IdGenerator;
use secrecy::{ExposeSecret, SecretString};
use service::metrics::Metrics;
use service::supervision::{Supervisor, TaskEnded};
use service::{Clock, Config, failures};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::attachments::Fetcher;
use crate::candidate::Candidates;
use crate::claim::Floors;
use crate::dispatch_gate::DispatchGate;
use crate::duties::DutySlots;
use crate::lanes::Lanes;
use crate::lease::Leases;
use crate::observe::Observed;
use crate::settle::Settler;

pub use crate::observe::listen as listen_for_metrics;
pub use crate::try_send::{Trial, try_send};

/// What a processor works with.
#[derive(Clone, Debug)]
pub struct Parts {
    pub config: Arc<Config>,
    pub pool: Pool,
    /// For the connection that listens; a pool cannot lend one for ever.
    pub database_url: SecretString,
    pub metrics: Metrics,
    pub clock: Clock,
    /// Holds what waits before the first claim.
    pub begin_held: bool,
    /// Woken when there may be work. Shared with an apiserver in the same process.
    pub wake: Arc<Notify>,
}

/// Connections that a processor needs: claim, settle, parked receipts, lease, states, files, the dispatch gate, and two for maintenance.
pub const CONNECTIONS: usize = 7 + duties::AT_ONCE;

/// Why a processor could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the system has no randomness to give: {0}")]
    Entropy(String),
    #[error("a client for provider `{id}` cannot be made: {problem}")]
    Client { id: String, problem: String },
    #[error("a client for attachments cannot be made: {0}")]
    Fetcher(String),
    #[error(transparent)]
    Schema(#[from] MigrateError),
}

/// Why a processor ended without being asked to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Start(#[from] StartError),
    /// What it had in hand is settled as far as possible. It is to be started again.
    #[error(transparent)]
    Task(#[from] TaskEnded),
}

/// One processor of any number: its identity as a lease owner, and its state.
struct Processor {
    parts: Parts,
    /// New at each start: a lease of an earlier life is not ours.
    owner: Uuid,
    ids: Arc<IdGenerator>,
    candidates: Candidates,
    lanes: Lanes,
    fetcher: Fetcher,
    leases: Arc<Leases>,
    settler: Settler,
    floors: Floors,
    gate: DispatchGate,
    partition_warning: housekeeping::PartitionWarning,
    /// Notified when half of the slots are free that a route was left unserved for.
    room: Notify,
    duty_slots: DutySlots,
    /// Canceled when nothing new is to begin: a file that is being fetched is then given up.
    stopping: CancellationToken,
    supervisor: Supervisor,
}

impl Processor {
    /// Begins its settling task, too.
    fn new(parts: Parts, supervisor: Supervisor) -> Result<Self, StartError> {
        let ids = IdGenerator::from_entropy().map_err(|error| StartError::Entropy(error.to_string()))?;
        let ids = Arc::new(ids);
        let owner = ids.next(parts.clock.now(), model::Bucket(0));
        let leases = Arc::new(Leases::new(parts.config.processor.lease));
        let candidates = Candidates::new(&parts.config, &parts.metrics)?;
        let lanes = Lanes::new(&parts.config.routes, &candidates);
        let fetcher = Fetcher::new(&parts.config).map_err(StartError::Fetcher)?;
        let settler = Settler::new(parts.clone(), owner, Arc::clone(&ids), Arc::clone(&leases), &supervisor);
        Ok(Self {
            parts,
            owner,
            ids,
            candidates,
            lanes,
            fetcher,
            leases,
            settler,
            floors: Floors::default(),
            gate: DispatchGate::default(),
            partition_warning: housekeeping::PartitionWarning::default(),
            room: Notify::new(),
            duty_slots: DutySlots::default(),
            stopping: CancellationToken::new(),
            supervisor,
        })
    }
}

/// Works until `shutdown`, then drains: no new claims, calls under way are finished and settled.
///
/// # Errors
/// When it cannot start, or one of its tasks ended. A database that is away is waited for.
pub async fn run(
    parts: Parts,
    metrics_listener: Option<TcpListener>,
    shutdown: CancellationToken,
) -> Result<(), RunError> {
    run_supervised(parts, metrics_listener, shutdown, Supervisor::default()).await
}

async fn run_supervised(
    parts: Parts,
    metrics_listener: Option<TcpListener>,
    shutdown: CancellationToken,
    supervisor: Supervisor,
) -> Result<(), RunError> {
    let background = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let observed = Arc::new(Observed::new(parts.clone(), shutdown.clone()));
    if let Some(listener) = metrics_listener {
        let serving = observe::serve(listener, Arc::clone(&observed), background.clone());
        tasks.spawn(supervisor.guard("metrics server", serving));
    }
    if !startup::wait_for_database(&parts.pool, &shutdown).await.map_err(StartError::from)? {
        return Ok(());
    }
    let processor = Arc::new(Processor::new(parts, supervisor.clone())?);
    observed.started(processor.gate.clone());
    processor.start_tasks(&mut tasks, &background);
    tracing::info!(owner = %processor.owner, routes = processor.parts.config.routes.0.len(), "processing");
    let working = async {
        processor.read_pauses(&shutdown).await;
        if processor.parts.begin_held {
            processor.hold_outbox(&shutdown).await;
        }
        processor.work(&shutdown).await;
        processor.drain().await;
    };
    let ended = tokio::select! {
        () = working => Ok(()),
        failure = supervisor.failure() => Err(failure),
    };
    if let Err(failure) = &ended
        && failure.task != settle::TASK
    {
        processor.drain().await;
    }
    supervisor.expect_ends();
    background.cancel();
    let joined = async { while tasks.join_next().await.is_some() {} };
    if timeout(END_LIMIT, joined).await.is_err() {
        tracing::warn!("the database does not answer; what else was to be written is left");
        tasks.shutdown().await;
    }
    Ok(ended?)
}

impl Processor {
    /// Starts the background tasks.
    fn start_tasks(self: &Arc<Self>, tasks: &mut JoinSet<()>, background: &CancellationToken) {
        let supervisor = &self.supervisor;
        let own = || (Arc::clone(self), background.clone());
        let (processor, end) = own();
        tasks.spawn(supervisor.guard("lease keeper", processor.keep_leases(end)));
        let (processor, end) = own();
        tasks.spawn(supervisor.guard("dispatch gate keeper", processor.keep_gate(end)));
        let (processor, end) = own();
        tasks.spawn(supervisor.guard("provider state publisher", processor.keep_states(end)));
        for duty in duties::DUTIES {
            let (processor, end) = own();
            tasks.spawn(supervisor.guard(duty.name, processor.keep(duty, end)));
        }
        if self.parts.config.processor.notify {
            let listening = listen(self.parts.clone(), background.clone());
            tasks.spawn(supervisor.guard("listener for work", listening));
        }
    }
}

/// After the drain, what the background tasks have in hand gets this long.
const END_LIMIT: Duration = Duration::from_secs(3);

const LISTEN_AGAIN: Duration = Duration::from_secs(1);

/// Listens for wake-ups; polling goes on whether it works or not.
async fn listen(parts: Parts, shutdown: CancellationToken) {
    while !shutdown.is_cancelled() {
        tokio::select! {
            ended = app_db::wake::listen(parts.database_url.expose_secret(), &parts.wake) => {
                let Err(error) = ended;
                failures::report("not listening; polling until it works again", &error);
            }
            () = shutdown.cancelled() => return,
        }
        tokio::select! {
            () = tokio::time::sleep(LISTEN_AGAIN) => {}
            () = shutdown.cancelled() => return,
        }
    }
}

#[cfg(test)]
mod tests;
