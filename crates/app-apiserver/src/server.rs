//! The listener and its connections: a cap on how many, a limit on how long a request's head may take, and an
//! orderly end. Must not know what the requests are about.

mod peer;
mod proxy_protocol;
mod stream;

use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tower::Service as _;

pub(crate) use self::peer::{PeerAddress, TrustedProxies};
use self::stream::ClientStream;

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
    trusted_proxies: &TrustedProxies,
    shutdown: &CancellationToken,
) {
    let permits = Arc::new(Semaphore::new(connections_max.min(Semaphore::MAX_PERMITS)));
    let mut connections = JoinSet::new();
    loop {
        // Above the cap, connections wait in the listener's queue.
        let accepted = async {
            let permit = Arc::clone(&permits).acquire_owned().await.map_err(io::Error::other)?;
            Ok::<_, io::Error>((permit, listener.accept().await?))
        };
        tokio::select! {
            () = shutdown.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = accepted => match accepted {
                Ok((permit, (socket, address))) => {
                    let (router, proxies) = (router.clone(), trusted_proxies.clone());
                    let connection = drive(socket, address.ip(), router, proxies, shutdown.clone());
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

async fn drive(
    socket: TcpStream,
    ip: IpAddr,
    router: Router,
    proxies: TrustedProxies,
    shutdown: CancellationToken,
) {
    // Small answers must not wait for more to come.
    let _ = socket.set_nodelay(true);
    let Ok((ip, stream)) = identify(socket, ip, &proxies).await else { return };
    let peer = proxies.peer(ip);
    let service = service_fn(move |mut request: Request<Incoming>| {
        let client = proxies.client(peer, request.headers());
        request.extensions_mut().insert(client);
        router.clone().call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    tokio::select! {
        // A broken connection is the client's affair.
        _ = &mut connection => return,
        () = shutdown.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

/// The address that the connection comes from: a trusted proxy may name another one than its own.
async fn identify(
    mut socket: TcpStream,
    ip: IpAddr,
    proxies: &TrustedProxies,
) -> io::Result<(IpAddr, ClientStream)> {
    if !proxies.contain(ip) {
        return Ok((ip, ClientStream::new(Bytes::new(), socket)));
    }
    let reading = timeout(HEADER_READ_TIMEOUT, proxy_protocol::read(&mut socket));
    let (client, read_ahead) = reading.await.map_err(io::Error::other)??;
    Ok((client.unwrap_or(ip), ClientStream::new(read_ahead, socket)))
}
