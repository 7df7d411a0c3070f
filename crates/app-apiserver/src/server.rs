//! The listener and its connections: a cap on how many, limits on how long they may make no progress, and an orderly
//! end. Must not know what the requests are about.

mod connection;
mod limits;
mod peer;
mod proxy_protocol;
mod stream;
mod surplus;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub(crate) use self::limits::Limits;
pub(crate) use self::peer::{PeerAddress, TrustedProxies};
use self::surplus::Places;
use crate::log_throttle::LogThrottle;
use crate::peers::Peers;

/// Requests under way get so long to finish.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);
/// After a failure to accept: it may be that no file descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// What the connections of a listener have in common.
#[derive(Debug)]
pub(crate) struct Server {
    pub router: Router,
    pub limits: Limits,
    pub trusted_proxies: TrustedProxies,
    pub peers: Arc<Peers>,
    pub log: LogThrottle,
}

impl Server {
    pub(crate) fn new(
        router: Router,
        limits: Limits,
        trusted_proxies: TrustedProxies,
        peers: Arc<Peers>,
    ) -> Self {
        Self { router, limits, trusted_proxies, peers, log: LogThrottle::every(LOG_INTERVAL) }
    }

    /// Serves until `shutdown`; then stops accepting and lets the requests under way finish.
    pub(crate) async fn serve(self, listener: TcpListener, shutdown: &CancellationToken) {
        let server = Arc::new(self);
        let Limits { connections, reserve, waiting, .. } = server.limits;
        let places = Arc::new(Places::new(connections, reserve, waiting));
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(_) = connections.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((socket, address)) => {
                        let (server, place) = (Arc::clone(&server), places.take().await);
                        connections.spawn(connection::drive(server, socket, address.ip(), place, shutdown.clone()));
                    }
                    Err(error) => {
                        server.log_not_accepted(&error);
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(listener);
        let drained =
            timeout(DRAIN_TIMEOUT, async { while connections.join_next().await.is_some() {} }).await;
        if drained.is_err() {
            tracing::warn!(
                connections = connections.len(),
                "requests did not finish in time; breaking them off"
            );
            connections.shutdown().await;
        }
    }

    fn log_not_accepted(&self, error: &io::Error) {
        if let Some(suppressed) = self.log.due("accept") {
            tracing::warn!(
                %error,
                log.suppressed = suppressed,
                "a connection was not accepted; where no file descriptor is left, raise the limit of open files \
                 (ulimit -n, LimitNOFILE) or lower [server] max_connections"
            );
        }
    }
}
