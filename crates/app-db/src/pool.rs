//! Connections: TLS where the URL asks for it, and the settings that every session of ours has.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, RecyclingMethod, Runtime};
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::Error;

pub type Pool = deadpool_postgres::Pool;
pub type Client = deadpool_postgres::Client;
/// A transaction on a connection of the pool. Dropped, it is rolled back.
pub type Transaction<'a> = deadpool_postgres::Transaction<'a>;

/// Plans must not depend on statistics: every statement is written for its index, and a plan that was made while
/// a table was small would be kept when it has grown. Nor are they made anew for each group of values, which costs
/// more than inserting the group. A commit is durable when it is answered, whatever the
/// server's default says; nothing may wait for ever.
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
    set lock_timeout = '20s';
    set idle_in_transaction_session_timeout = '60s';
";

/// Why a database URL cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The URL itself is not shown: it holds the password.
    #[error("DATABASE_URL cannot be read ({0}); it looks like postgres://user:password@host:5432/app")]
    Url(#[source] tokio_postgres::Error),
    #[error("the system's certificates cannot be read: {0}")]
    Certificates(String),
    #[error("the connection pool cannot be made: {0}")]
    Pool(String),
}

/// A pool of at most `size` connections; they are made when they are first asked for.
///
/// # Errors
/// When the URL cannot be read. Whether anything listens there shows at first use.
pub fn connect(url: &str, size: usize) -> Result<Pool, ConnectError> {
    let config = session_config(url)?;
    let manager_config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = Manager::from_config(config, tls()?, manager_config);
    Pool::builder(manager)
        .max_size(size)
        .runtime(Runtime::Tokio1)
        .create_timeout(Some(Duration::from_secs(5)))
        .wait_timeout(Some(Duration::from_secs(10)))
        .recycle_timeout(Some(Duration::from_secs(5)))
        .post_create(Hook::async_fn(|client, _| {
            Box::pin(async move { client.batch_execute(SESSION).await.map_err(HookError::Backend) })
        }))
        .build()
        .map_err(|error| ConnectError::Pool(error.to_string()))
}

pub(crate) fn session_config(url: &str) -> Result<tokio_postgres::Config, ConnectError> {
    let mut config = tokio_postgres::Config::from_str(url).map_err(ConnectError::Url)?;
    if config.get_application_name().is_none() {
        config.application_name("app");
    }
    config.connect_timeout(Duration::from_secs(5)).tcp_user_timeout(Duration::from_secs(10));
    Ok(config)
}

/// Verifies servers against the system's certificates; used only where `sslmode` asks for TLS.
pub(crate) fn tls() -> Result<MakeRustlsConnect, ConnectError> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ConnectError::Certificates(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
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
