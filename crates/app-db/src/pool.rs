//! Connections: how they are made, which settings every session of ours has, and when one may be lent again. Every
//! wait for the database has a limit (`watched`); past it the connection is dropped and the work fails as
//! [`Error::Unavailable`](crate::Error::Unavailable).

mod connector;
mod conninfo;
mod frames;
mod generic_client;
mod health;
mod link;
mod passfile;
mod pooler;
mod settings;
mod tls;
mod watched;

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use deadpool::Runtime;
use deadpool::managed::{self, Metrics, RecycleError, RecycleResult};
use deadpool_postgres::ClientWrapper;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use self::connector::Connector;
pub use self::generic_client::GenericClient;
pub use self::health::Health;
pub use self::link::LONG_LIMIT;
pub(crate) use self::link::NO_LIMIT;
use self::link::{ANSWER_LIMIT, Link};
use crate::Error;
use crate::wake::ListenError;

pub type Pool = managed::Pool<Manager>;
pub type Client = managed::Object<Manager>;
/// A transaction on a connection of the pool. Dropped, it is rolled back.
pub type Transaction<'a> = deadpool_postgres::Transaction<'a>;

/// Plans must not depend on statistics: every statement is written for its index, and a plan that was made while
/// a table was small would be kept when it has grown. Nor are they made anew for each group of values, which costs
/// more than inserting the group. A commit is durable when it is answered, whatever the
/// server's default says; nothing may wait for ever. A lock is waited for less long than [`ANSWER_LIMIT`].
/// The server ends a transaction that waits for its client sooner than a session stops waiting for a lock: where a
/// connection fell silent between two statements, the repetition of the request needs the locks of the lost one.
const SESSION: &str = "
    set enable_seqscan = off;
    set enable_hashjoin = off;
    set enable_mergejoin = off;
    set enable_bitmapscan = off;
    set enable_sort = off;
    set plan_cache_mode = force_generic_plan;
    set jit = off;
    set synchronous_commit = on;
    set timezone = 'UTC';
    set statement_timeout = '60s';
    set lock_timeout = '8s';
    set idle_in_transaction_session_timeout = '5s';
";

/// A commit that waits for what every commit waits for: the disk, and a synchronous standby. It needs no table.
const TINY_COMMIT: &str = "select pg_logical_emit_message(true, 'app', '')";
/// Of a tiny commit during an outage. A slow disk is no outage.
const PROBE_LIMIT: Duration = Duration::from_secs(5);

/// Why a database URL cannot be used. The URL itself is not shown: it holds the password.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("DATABASE_URL is empty; set it to a database, e.g. postgres://user:password@host:5432/app")]
    Empty,
    #[error("DATABASE_URL cannot be used: {0}; it looks like postgres://user:password@host:5432/app")]
    Url(String),
    #[error("the certificates for the database cannot be used: {0}")]
    Certificates(String),
    #[error("the connection pool cannot be made: {0}")]
    Pool(String),
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error(transparent)]
    Postgres(#[from] tokio_postgres::Error),
    #[error("cannot connect: {0}")]
    Io(#[from] std::io::Error),
    #[error("no answer within {} s", .0.as_secs())]
    Silent(Duration),
    #[error("{0} only allows reading")]
    ReadOnly(String),
    #[error("{0} allows writing, and target_session_attrs asks for one that does not")]
    Writable(String),
    #[error("the server does not offer TLS")]
    NoTls,
    #[error("another attempt to reach the database failed just now")]
    Down,
    #[error(
        "the database's encoding is {0}, which cannot hold every message; create one with \
         `createdb --encoding=UTF8 --template=template0 NAME`"
    )]
    Encoding(String),
    #[error(
        "DATABASE_URL leads to a pooler in transaction mode, which changes the session between two transactions; use \
         the database's own address, or a pool in session mode (PgBouncer: pool_mode = session)"
    )]
    TransactionPooling,
}

impl LinkError {
    /// Whether the same server may take a session with TLS, or without.
    fn may_be_about_tls(&self) -> bool {
        match self {
            Self::NoTls => true,
            // `pg_hba.conf` has lines for one of them only.
            Self::Postgres(error) => error.code().is_none_or(|code| code.code() == "28000"),
            _ => false,
        }
    }

    /// For the log.
    fn cause(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(error) = source {
            let more = error.to_string();
            if !text.contains(&more) {
                text = format!("{text}: {more}");
            }
            source = error.source();
        }
        text
    }
}

/// Makes the pool's connections, and looks at one before it is lent again.
#[derive(Debug)]
pub struct Manager {
    connector: Arc<Connector>,
}

impl managed::Manager for Manager {
    type Type = Connection;
    type Error = LinkError;

    async fn create(&self) -> Result<Connection, LinkError> {
        let health = &self.connector.health;
        let create = async {
            let connection = self.connector.connect(None).await?;
            if health.is_down() {
                connection.probe().await?;
            }
            Ok(connection)
        };
        health.attempt(create).await
    }

    async fn recycle(&self, connection: &mut Connection, _: &Metrics) -> RecycleResult<LinkError> {
        if connection.is_closed() {
            return Err(RecycleError::message("closed"));
        }
        connection.allow(ANSWER_LIMIT);
        let health = &self.connector.health;
        if health.is_down() {
            health.attempt(connection.probe()).await?;
        }
        Ok(())
    }
}

/// One session. It may be used as a `tokio_postgres::Client`.
#[derive(Debug)]
pub struct Connection {
    client: ClientWrapper,
    link: Arc<Link>,
    connector: Arc<Connector>,
}

impl Connection {
    fn new(
        client: tokio_postgres::Client,
        task: JoinHandle<()>,
        link: Arc<Link>,
        connector: Arc<Connector>,
    ) -> Self {
        Self { client: ClientWrapper::new(client, task), link, connector }
    }

    /// The limit of each wait for an answer, until the connection goes back to its pool.
    pub fn allow(&self, limit: Duration) {
        self.link.set_limit(limit);
    }

    /// A limit for a look at the database: where it passes, the connection is dropped, and nothing is concluded for the
    /// work of others.
    pub(crate) fn allow_for_look(&self, limit: Duration) {
        self.link.set_limit_of_look(limit);
    }

    /// Another session on the same database, outside of any pool.
    pub(crate) async fn another(&self) -> Result<Self, LinkError> {
        self.connector.connect(None).await
    }

    /// Sets what every session has.
    pub(crate) async fn reset_settings(&self) -> Result<(), tokio_postgres::Error> {
        self.batch_execute(SESSION).await
    }

    /// Resolves when the connection has ended.
    pub(crate) async fn ended(&self) {
        self.link.ended.cancelled().await;
    }

    /// Whether the database can do what its sessions are for.
    async fn probe(&self) -> Result<(), LinkError> {
        let limit = self.link.limit();
        self.allow(PROBE_LIMIT);
        let sql = if self.connector.writes() { TINY_COMMIT } else { "select 1" };
        let answer = self.simple_query(sql).await;
        self.allow(limit);
        Ok(answer.map(|_| ())?)
    }
}

impl Deref for Connection {
    type Target = ClientWrapper;

    fn deref(&self) -> &ClientWrapper {
        &self.client
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut ClientWrapper {
        &mut self.client
    }
}

/// A pool of at most `size` connections; they are made when they are first asked for. What the URL leaves out is taken
/// from libpq's environment variables.
///
/// # Errors
/// When the URL cannot be used. Whether anything listens there shows at first use.
pub fn connect(url: &str, size: usize) -> Result<Pool, ConnectError> {
    let connector = Arc::new(Connector::new(url, &|name| std::env::var(name).ok())?);
    Pool::builder(Manager { connector })
        .max_size(size)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(Duration::from_secs(10)))
        .build()
        .map_err(|error| ConnectError::Pool(error.to_string()))
}

/// A session of its own for notifications, each of which notifies `wake`.
pub(crate) async fn listener(url: &str, wake: &Arc<Notify>) -> Result<Connection, ListenError> {
    let connector = Arc::new(Connector::new(url, &|name| std::env::var(name).ok())?);
    Ok(connector.connect(Some(wake)).await?)
}

/// Begins a transaction.
///
/// # Errors
/// [`Error::Unavailable`] mostly.
pub async fn begin(client: &mut Client) -> Result<Transaction<'_>, Error> {
    Ok(client.transaction().await?)
}

/// Commits it.
///
/// # Errors
/// Where the connection breaks, it is unknown whether the transaction was committed.
pub async fn commit(transaction: Transaction<'_>) -> Result<(), Error> {
    Ok(transaction.commit().await?)
}

/// A connection, or why there is none.
///
/// # Errors
/// [`Error::Unavailable`] mostly.
pub async fn get(pool: &Pool) -> Result<Client, Error> {
    Ok(pool.get().await?)
}

/// A connection for statements that may work long.
///
/// # Errors
/// As [`get`].
pub async fn get_for_long(pool: &Pool) -> Result<Client, Error> {
    let client = get(pool).await?;
    client.allow(LONG_LIMIT);
    Ok(client)
}

/// What the uses of this pool know about the database.
pub fn health(pool: &Pool) -> &Health {
    &pool.manager().connector.health
}
