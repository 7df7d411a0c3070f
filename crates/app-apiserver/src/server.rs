//! The listener and its connections: a cap on how many, a limit on how long a request's head may take, and an
//! orderly end. Must not know what the requests are about.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Also how long a connection may lie idle between two requests.
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(30);
/// Requests under way get so long to finish.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);
/// After a failure to accept: it may be that no file descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Serves until `shutdown`; then stops accepting and lets the requests under way finish.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    connections_max: usize,
    shutdown: &CancellationToken,
) {
    let permits = Arc::new(Semaphore::new(connections_max.min(Semaphore::MAX_PERMITS)));
    let mut connections = JoinSet::new();
    loop {
        // Above the cap, connections wait in the listener's queue.
        let accepted = async {
            let permit = Arc::clone(&permits).acquire_owned().await.map_err(io::Error::other)?;
            Ok::<_, io::Error>((permit, listener.accept().await?.0))
        };
        tokio::select! {
            () = shutdown.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = accepted => match accepted {
                Ok((permit, stream)) => {
                    let connection = drive(stream, router.clone(), shutdown.clone());
                    connections.spawn(async move {
                        connection.await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::debug!(error = %error, "a connection was not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    let drained = timeout(DRAIN_TIMEOUT, async { while connections.join_next().await.is_some() {} }).await;
    if drained.is_err() {
        tracing::warn!(connections = connections.len(), "requests did not finish in time; breaking them off");
        connections.shutdown().await;
    }
}

async fn drive(stream: TcpStream, router: Router, shutdown: CancellationToken) {
    // Small answers must not wait for more to come.
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ_TIMEOUT)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    tokio::select! {
        // A broken connection is the client's affair.
        _ = &mut connection => return,
        () = shutdown.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}
