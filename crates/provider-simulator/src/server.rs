//! The listener and its connections. Connections are driven by hand, because two faults need what a ready-made
//! server hides: breaking one connection without an answer, and not listening for a while.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use axum::Router;
use axum::response::IntoResponse;
use http::StatusCode;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use service::host_header;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::Service as _;

use crate::simulator::Shared;

/// How long answers in progress may take once the end is asked for; a scripted hang takes longer.
const DRAIN: Duration = Duration::from_secs(2);

/// A request's connection, in its extensions.
#[derive(Clone, Debug)]
pub(crate) struct Connection(Arc<Handle>);

#[derive(Debug, Default)]
struct Handle {
    reset: CancellationToken,
    answers_first: AtomicBool,
}

impl Connection {
    /// Breaks it: the peer sees a reset instead of an answer. Never returns.
    pub(crate) async fn reset(&self) -> ! {
        self.0.reset.cancel();
        match std::future::pending::<std::convert::Infallible>().await {}
    }

    /// Lets this connection answer before an outage ends it: who asks for one is to hear that it begins.
    pub(crate) fn answer_first(&self) {
        self.0.answers_first.store(true, SeqCst);
    }
}

pub(crate) async fn serve(
    shared: Arc<Shared>,
    router: Router,
    mut listener: TcpListener,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let address = listener.local_addr()?;
    let mut connections = JoinSet::new();
    let mut outage = CancellationToken::new();
    loop {
        if shared.faults.refusal_until().is_some() {
            drop(listener);
            outage.cancel();
            outage = CancellationToken::new();
            while let Some(until) = shared.faults.refusal_until() {
                tokio::select! {
                    () = tokio::time::sleep_until(until) => {}
                    () = shared.faults_changed.notified() => {}
                    () = shutdown.cancelled() => return Ok(()),
                }
            }
            listener = listen(address)?;
        }
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = shared.faults_changed.notified() => {}
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(drive(stream, router.clone(), outage.clone(), shutdown.clone()));
                }
                // Out of file descriptors, or a peer that left: neither ends the server, and spinning helps neither.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
        }
    }
    drop(listener);
    let _ = tokio::time::timeout(DRAIN, async { while connections.join_next().await.is_some() {} }).await;
    Ok(())
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(1024)
}

async fn drive(stream: TcpStream, router: Router, outage: CancellationToken, shutdown: CancellationToken) {
    let _ = stream.set_nodelay(true);
    let handle = Connection(Arc::default());
    let own = handle.clone();
    let service = service_fn(move |mut request: http::Request<Incoming>| {
        request.extensions_mut().insert(handle.clone());
        let host = host_header::check(request.version(), request.headers());
        let mut router = router.clone();
        async move {
            match host {
                Ok(()) => router.call(request).await,
                Err(error) => Ok((StatusCode::BAD_REQUEST, format!("{error}\n")).into_response()),
            }
        }
    });
    let mut connection =
        http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
    let (mut is_out, mut is_draining) = (false, false);
    loop {
        tokio::select! {
            biased;
            () = own.0.reset.cancelled() => break,
            () = outage.cancelled(), if !is_out => {
                if !own.0.answers_first.load(SeqCst) {
                    break;
                }
                is_out = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
            _ = &mut connection => return,
            () = shutdown.cancelled(), if !is_draining => {
                is_draining = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
        }
    }
    // Lingering for no time makes the kernel send a reset instead of an orderly end.
    let _ = connection.into_parts().io.into_inner().set_zero_linger();
}
