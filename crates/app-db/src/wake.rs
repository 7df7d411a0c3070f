//! Waking processors: a coalesced NOTIFY, never one per message, and never inside a message's transaction (it would
//! serialise their commits). Only a hint: polling finds what a lost notification does not.

use std::sync::Arc;

use deadpool_postgres::GenericClient;
use futures_util::StreamExt;
use tokio::sync::Notify;
use tokio_postgres::AsyncMessage;

use crate::Error;
use crate::pool::{ConnectError, session_config, tls};

const CHANNEL: &str = "app_outbox";

/// Tells every listening processor that there may be work.
///
/// # Errors
/// As the database gives them; nothing is lost then but time.
pub async fn notify(client: &impl GenericClient) -> Result<(), Error> {
    Ok(client.batch_execute(&format!("notify {CHANNEL}")).await?)
}

/// Why listening ended.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
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
    let (client, mut connection) = session_config(url)?.connect(tls()?).await?;
    let mut messages = futures_util::stream::poll_fn(move |context| connection.poll_message(context));
    let command = format!("listen {CHANNEL}");
    let listening = client.batch_execute(&command);
    tokio::pin!(listening);
    let mut began = false;
    loop {
        tokio::select! {
            result = &mut listening, if !began => {
                result?;
                began = true;
                wake.notify_one();
            }
            message = messages.next() => match message {
                Some(Ok(AsyncMessage::Notification(_))) => wake.notify_one(),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
                None => return Err(ListenError::Closed),
            },
        }
    }
}
