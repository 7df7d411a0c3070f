//! What every handler has at hand.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use app_db::accept::{Accept, Accepted};
use app_db::receipts::{Applied, NewReceipt};
use app_db::receive::{Inbound, Received};
use app_db::{Client, Pool};
use model::IdGenerator;
use service::clock::DatabaseClock;
use service::metrics::Metrics;
use service::{Clock, Config};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::after_commit::AfterCommit;
use crate::authentication::ApiKeys;
use crate::body::Budget;
use crate::console::Console;
use crate::database_watch::DatabaseWatch;
use crate::group_commit::Queue;
use crate::health::LastCheck;
use crate::log_throttle::LogThrottle;
use crate::patience::Patience;
use crate::peers::Peers;
use crate::problem::Problem;
use crate::receive_webhook::documents::Documents;
use crate::receive_webhook::parse_memory::ParseMemory;
use crate::startup::{PartitionsState, Startup};

/// A request waits so long for its turn to use the database.
const TURN_TIMEOUT: Duration = Duration::from_secs(5);

/// Shared by all requests.
#[derive(Clone)]
pub(crate) struct App(Arc<Inner>);

pub(crate) struct Inner {
    pub config: Arc<Config>,
    pub metrics: Metrics,
    pub clock: Clock,
    /// What every id is made from: a generator that saw a later time goes on from it.
    pub database_clock: DatabaseClock,
    pub database_watch: Arc<DatabaseWatch>,
    /// Which weeks have their partitions, as of the last look.
    pub partitions: Arc<PartitionsState>,
    pub ids: Arc<IdGenerator>,
    pub pool: Pool,
    /// Turns at the database for everything that is not a group commit, so that readers never take the
    /// connections of writers.
    pub turns: Semaphore,
    pub sends: Queue<Accept, Accepted>,
    pub inbound: Queue<Inbound, Received>,
    pub receipts: Queue<NewReceipt, Applied>,
    pub keys: Arc<ApiKeys>,
    pub after_commit: Arc<AfterCommit>,
    pub bodies: Budget,
    /// Apart from the others: strangers send webhooks.
    pub webhook_bodies: Budget,
    pub startup: Startup,
    pub last_check: LastCheck,
    pub shutdown: CancellationToken,
    /// Webhooks kept since the last look at their bounds.
    pub kept: std::sync::atomic::AtomicUsize,
    pub no_route_warning: LogThrottle,
    /// Of lines that strangers or an outage multiply.
    pub log_throttle: LogThrottle,
    /// What each peer address holds.
    pub peers: Arc<Peers>,
    /// Memory for parsing webhooks.
    pub parsing: ParseMemory,
    /// Of what providers bring.
    pub patience: Arc<Patience>,
    pub documents: Documents,
    pub console: Console,
}

impl Deref for App {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

/// A connection, for as long as a request needs it.
pub(crate) struct Turn<'a> {
    client: Client,
    _permit: SemaphorePermit<'a>,
}

impl Deref for Turn<'_> {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl DerefMut for Turn<'_> {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}

impl App {
    pub(crate) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// A connection, when it is this request's turn.
    pub(crate) async fn database(&self) -> Result<Turn<'_>, Problem> {
        let permit = timeout(TURN_TIMEOUT, self.turns.acquire()).await.map_err(|_| Problem::overloaded())?;
        let permit = permit.map_err(|_| Problem::overloaded())?;
        Ok(Turn { client: app_db::pool::get(&self.pool).await?, _permit: permit })
    }
}
