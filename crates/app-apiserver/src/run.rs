//! From parts to a running server, and back: what starts, in which order it ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use app_db::Pool;
use app_db::migrate::MigrateError;
use axum::Router;
use model::IdGenerator;
use service::metrics::Metrics;
use service::supervision::{Supervisor, TaskEnded};
use service::{Clock, Config};
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::after_commit::AfterCommit;
use crate::authentication::ApiKeys;
use crate::body::{self, Budget};
use crate::database_watch::DatabaseWatch;
use crate::group_commit::Queue;
use crate::log_throttle::LogThrottle;
use crate::patience::Patience;
use crate::peers::Peers;
use crate::receive_webhook::parse_memory::ParseMemory;
use crate::receive_webhook::store::{WriteInbound, WriteReceipts};
use crate::send::WriteSends;
use crate::server::{Limits, Server, TrustedProxies};
use crate::state::{App, Inner};
use crate::{database_watch, router, startup};

/// What waits to be written at most; more is turned away.
const QUEUE_CAPACITY: usize = 4096;
const RECEIVE_CONNECTIONS: usize = 2;
const RECEIPT_CONNECTIONS: usize = 1;
/// Waking processors, noting activity, reading keys, making partitions, looking whether the server is ready, watching
/// the database: one each.
const OTHER_CONNECTIONS: usize = 6;
/// What was taken into a group is written out, within this time.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(10);
/// The same while the database does not serve.
const FLUSH_LIMIT_AWAY: Duration = Duration::from_secs(3);

const NO_ROUTE_LOG_INTERVAL: Duration = Duration::from_secs(60);
/// For lines that strangers or an outage multiply.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// What a server works with.
#[derive(Clone, Debug)]
pub struct Parts {
    pub config: Arc<Config>,
    /// Of at least [`connections`] connections.
    pub pool: Pool,
    pub metrics: Metrics,
    pub clock: Clock,
    /// Notified when something is due, for a processor in the same process. Others are notified by the database.
    pub wake: Arc<Notify>,
    /// Where the simulator's control API is, in a demonstration: the console gives it a page.
    pub simulator_url: Option<String>,
}

/// Why a server could not start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(
        "there is no API key, and {0}: make one with `app keys create NAME`. Without a key the server starts only on a \
         loopback address, with simulated providers and before any key was made"
    )]
    NoApiKeys(String),
    #[error(transparent)]
    Schema(#[from] MigrateError),
    #[error("the system has no randomness to give: {0}")]
    Entropy(String),
    #[error("the listener has no address: {0}")]
    Listener(#[from] std::io::Error),
    /// Requests under way are answered. It is to be started again.
    #[error(transparent)]
    Task(#[from] TaskEnded),
}

/// Connections that a server of this configuration uses.
pub fn connections(config: &Config) -> usize {
    let server = &config.server;
    server.accept_connections
        + server.read_connections
        + RECEIVE_CONNECTIONS
        + RECEIPT_CONNECTIONS
        + OTHER_CONNECTIONS
}

/// Serves until `shutdown`; then finishes the requests under way and returns. While the database cannot be
/// reached, it answers that.
///
/// # Errors
/// When the schema is of another version, or there is no API key where one is needed, or one of its tasks ended.
pub async fn run(parts: Parts, listener: TcpListener, shutdown: CancellationToken) -> Result<(), RunError> {
    run_supervised(parts, listener, shutdown, Supervisor::default()).await
}

async fn run_supervised(
    parts: Parts,
    listener: TcpListener,
    shutdown: CancellationToken,
    supervisor: Supervisor,
) -> Result<(), RunError> {
    let address = listener.local_addr()?;
    let writers = TaskTracker::new();
    let stop = shutdown.child_token();
    let app = start(&parts, address, &writers, stop.clone())?;
    let background = start_background(&parts, &app, &supervisor);
    let router = router::router(app.clone());

    let server = server(&parts.config, router, &app);
    let serving = server.serve(listener, &stop);
    let preparing = async {
        tokio::select! {
            prepared = startup::prepare(&app) => prepared.inspect_err(|_| stop.cancel()),
            () = stop.cancelled() => Ok(()),
        }
    };
    tracing::info!(http.address = %address, "listening");
    let watching = async {
        tokio::select! {
            failure = supervisor.failure() => {
                stop.cancel();
                Err(failure)
            }
            () = stop.cancelled() => Ok(()),
        }
    };
    let ((), prepared, watched) = tokio::join!(serving, preparing, watching);
    supervisor.expect_ends();

    // The last owner of the queues: their writers empty them and end.
    drop(app);
    drop(background);
    writers.close();
    let flush_limit =
        if app_db::pool::health(&parts.pool).is_down() { FLUSH_LIMIT_AWAY } else { FLUSH_TIMEOUT };
    if timeout(flush_limit, writers.wait()).await.is_err() {
        tracing::warn!("the database did not take the last groups in time; they were not answered");
    }
    tracing::info!("stopped");
    prepared?;
    Ok(watched?)
}

fn server(config: &Config, router: Router, app: &App) -> Server {
    let settings = &config.server;
    // In one process with a processor, its calls are open files too.
    let calls: usize = config.providers.iter().map(|provider| provider.max_in_flight).sum();
    let limits = Limits::fitting(
        settings.max_connections,
        settings.stall_timeout(),
        connections(config) + calls,
        service::open_files::limit(),
    );
    let proxies = TrustedProxies::new(&settings.trusted_proxies);
    Server::new(router, limits, proxies, Arc::clone(&app.peers))
}

fn start(
    parts: &Parts,
    address: SocketAddr,
    writers: &TaskTracker,
    shutdown: CancellationToken,
) -> Result<App, RunError> {
    let Parts { config, pool, metrics, clock, wake, simulator_url } = parts.clone();
    let ids = IdGenerator::from_entropy().map_err(|error| RunError::Entropy(error.to_string()))?;
    let ids = Arc::new(ids);
    let database = Arc::new(DatabaseWatch::new(clock.clone(), config.installation_name.clone()));
    let after_commit = Arc::new(AfterCommit::new(wake));
    let sends = WriteSends {
        pool: pool.clone(),
        ids: Arc::clone(&ids),
        clock: database.clock.clone(),
        metrics: metrics.clone(),
        after_commit: Arc::clone(&after_commit),
    };
    let patience = Arc::new(Patience::default());
    let inbound = WriteInbound {
        pool: pool.clone(),
        ids: Arc::clone(&ids),
        clock: database.clock.clone(),
        metrics: metrics.clone(),
        after_commit: Arc::clone(&after_commit),
        patience: Arc::clone(&patience),
    };
    let receipts = WriteReceipts {
        pool: pool.clone(),
        ids: Arc::clone(&ids),
        clock: database.clock.clone(),
        patience: Arc::clone(&patience),
    };
    let peers = Arc::new(Peers::new(
        config.server.connections_per_peer,
        body::units_per_peer(config.server.webhook_bytes_max),
    ));
    let console = crate::console::Console::new(simulator_url, config.server.read_connections);
    Ok(App::new(Inner {
        sends: Queue::start(config.server.accept_connections, QUEUE_CAPACITY, writers, move |group| {
            sends.clone().write(group)
        }),
        inbound: Queue::start(RECEIVE_CONNECTIONS, QUEUE_CAPACITY, writers, move |group| {
            inbound.clone().write(group)
        }),
        receipts: Queue::start(RECEIPT_CONNECTIONS, QUEUE_CAPACITY, writers, move |group| {
            receipts.clone().write(group)
        }),
        // Bodies of callers with a key: no share for each peer.
        bodies: Budget::for_bodies_of(config.server.body_bytes_max, &Arc::new(Peers::without_limits())),
        webhook_bodies: Budget::for_bodies_of(config.server.webhook_bytes_max, &peers),
        turns: Semaphore::new(config.server.read_connections),
        keys: Arc::new(ApiKeys::new(address, &config)),
        config,
        metrics,
        clock,
        database_clock: database.clock.clone(),
        database_watch: database,
        partitions: Arc::default(),
        ids,
        pool,
        after_commit,
        startup: startup::Startup::default(),
        last_check: crate::health::LastCheck::default(),
        shutdown,
        kept: std::sync::atomic::AtomicUsize::new(0),
        no_route_warning: LogThrottle::every(NO_ROUTE_LOG_INTERVAL),
        log_throttle: LogThrottle::every(LOG_INTERVAL),
        peers,
        parsing: ParseMemory::default(),
        patience,
        documents: crate::receive_webhook::documents::Documents::default(),
        console,
    }))
}

/// What runs beside requests. Ends when the set is dropped; must not own an [`App`], whose queues would never end.
fn start_background(parts: &Parts, app: &App, supervisor: &Supervisor) -> JoinSet<()> {
    let mut background = JoinSet::new();
    let (pool, after_commit) = (parts.pool.clone(), Arc::clone(&app.after_commit));
    let notifying = async move { after_commit.notify_processors(&pool).await };
    background.spawn(supervisor.guard(TASKS[0], notifying));
    let (pool, after_commit) = (parts.pool.clone(), Arc::clone(&app.after_commit));
    let touching = async move { after_commit.touch_conversations(&pool).await };
    background.spawn(supervisor.guard(TASKS[1], touching));
    let (pool, keys, clock) = (parts.pool.clone(), Arc::clone(&app.keys), parts.clock.clone());
    let reading = async move { keys.keep_reading(&pool, &clock).await };
    background.spawn(supervisor.guard(TASKS[2], reading));
    let (pool, partitions) = (parts.pool.clone(), Arc::clone(&app.partitions));
    let keeping = async move { startup::keep_partitions(&pool, &partitions).await };
    background.spawn(supervisor.guard(TASKS[3], keeping));
    let (pool, watch) = (parts.pool.clone(), Arc::clone(&app.database_watch));
    let watching = async move { database_watch::keep_reading(&pool, &watch).await };
    background.spawn(supervisor.guard(TASKS[4], watching));
    background
}

/// The background tasks, in the order of their start.
const TASKS: [&str; 5] =
    ["notifier of processors", "activity writer", "key reader", "partition keeper", "database watch"];

#[cfg(test)]
mod tests;
