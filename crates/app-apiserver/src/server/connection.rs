//! One connection: where it comes from, what is checked of each request before the router sees it, and its end.

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderValue, Request};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use service::host_header;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tower::Service as _;

use super::stream::ClientStream;
use super::surplus::Place;
use super::{PeerAddress, Server, proxy_protocol};
use crate::problem::Problem;

/// Of a request's head, and of what is read of a body at once.
const BUFFER_BYTES_MAX: usize = 64 << 10;
const REFUSAL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

struct Connection<'a> {
    server: Arc<Server>,
    peer: PeerAddress,
    place: &'a Place,
}

pub(super) async fn drive(
    server: Arc<Server>,
    socket: TcpStream,
    ip: IpAddr,
    place: Place,
    shutdown: CancellationToken,
) {
    tokio::select! {
        () = drive_in_place(server, socket, ip, &place, shutdown) => {}
        () = place.evicted() => {}
    }
}

async fn drive_in_place(
    server: Arc<Server>,
    socket: TcpStream,
    ip: IpAddr,
    place: &Place,
    shutdown: CancellationToken,
) {
    // Small answers must not wait for more to come.
    let _ = socket.set_nodelay(true);
    let stall_timeout = server.limits.stall_timeout;
    let Ok((ip, stream)) = identify(&server, socket, ip).await else { return };
    let peer = server.trusted_proxies.peer(ip);
    let Some(_held) = server.peers.connect(peer) else {
        refuse(&server, &stream, peer);
        return;
    };
    let connection = Connection { server: Arc::clone(&server), peer, place };
    let connection = &connection;
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(stall_timeout)
        .max_buf_size(BUFFER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service_fn(move |request| connection.answer(request)));
    let mut serving = pin!(serving);
    tokio::select! {
        // A broken connection is the client's affair.
        _ = &mut serving => return,
        () = shutdown.cancelled() => serving.as_mut().graceful_shutdown(),
    }
    let _ = serving.await;
}

/// The address that the connection comes from: a trusted proxy may name another one than its own.
async fn identify(server: &Server, mut socket: TcpStream, ip: IpAddr) -> io::Result<(IpAddr, ClientStream)> {
    let stall_timeout = server.limits.stall_timeout;
    if !server.trusted_proxies.contain(ip) {
        return Ok((ip, ClientStream::new(Bytes::new(), socket, stall_timeout)));
    }
    let reading = timeout(stall_timeout, proxy_protocol::read(&mut socket));
    let (client, read_ahead) = reading.await.map_err(io::Error::other)??;
    Ok((client.unwrap_or(ip), ClientStream::new(read_ahead, socket, stall_timeout)))
}

/// Answers without reading: the peer has as many connections as it may.
fn refuse(server: &Server, stream: &ClientStream, peer: PeerAddress) {
    // Whether the peer gets to see it does not matter.
    let _ = stream.socket().try_write(REFUSAL);
    if let Some(suppressed) = server.log.due("connections_per_peer") {
        tracing::warn!(
            peer.address = %peer.ip,
            log.suppressed = suppressed,
            "a peer has as many connections as [server] connections_per_peer allows; further ones are refused"
        );
    }
}

impl Connection<'_> {
    async fn answer(&self, mut request: Request<Incoming>) -> Result<Response, Infallible> {
        if let Err(error) = host_header::check(request.version(), request.headers()) {
            return Ok(and_close(Problem::bad_request("invalid_host", error.to_string())));
        }
        let is_health_check = matches!(request.uri().path(), "/healthz" | "/readyz");
        let _held = is_health_check.then(|| self.place.hold());
        if !is_health_check && !self.place.become_regular().await {
            return Ok(and_close(Problem::overloaded()));
        }
        let client = self.server.trusted_proxies.client(self.peer, request.headers());
        request.extensions_mut().insert(client);
        let mut response = self.server.router.clone().call(request).await?;
        if self.place.is_surplus() {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response)
    }
}

fn and_close(problem: Problem) -> Response {
    ([(CONNECTION, "close")], problem).into_response()
}
