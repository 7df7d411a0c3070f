//! Waking processors: a coalesced NOTIFY, never one per message, and never inside a message's transaction (it would
//! serialise their commits). Only a hint: polling finds what a lost notification does not.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::Error;
use crate::pool::{self, ConnectError, GenericClient, LinkError};

const CHANNEL: &str = "app_outbox";

/// Tells every listening processor that there may be work.
///
/// # Errors
/// As the database gives them; nothing is lost then but time.
pub async fn notify(client: &impl GenericClient) -> Result<(), Error> {
    Ok(client.batch_execute(&format!("notify {CHANNEL}")).await?)
}

/// So long a connection that does not answer goes unnoticed, and as long again until it is given up.
const PING_INTERVAL: Duration = Duration::from_secs(5);

/// Why listening ended.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("no connection to listen on: {0}")]
    Link(#[from] LinkError),
    #[error("the listening connection broke: {0}")]
    Broken(#[from] tokio_postgres::Error),
    #[error("the listening connection was closed")]
    Closed,
}

/// Listens on a connection of its own until that breaks, and wakes `wake` on every notification, and once at the
/// beginning, for what came before.
///
/// # Errors
/// Always: it returns only when the connection is gone.
pub async fn listen(url: &str, wake: &Arc<Notify>) -> Result<std::convert::Infallible, ListenError> {
    let connection = pool::listener(url, wake).await?;
    connection.allow(PING_INTERVAL);
    connection.batch_execute(&format!("listen {CHANNEL}")).await?;
    wake.notify_one();
    loop {
        tokio::select! {
            () = connection.ended() => return Err(ListenError::Closed),
            () = tokio::time::sleep(PING_INTERVAL) => connection.batch_execute("").await?,
        }
    }
}
