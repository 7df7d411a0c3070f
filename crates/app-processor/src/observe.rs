//! The processor's own small HTTP server: `/metrics`, `/healthz` and `/readyz`. It serves from the start, also while the
//! processor waits for its database.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use app_db::readiness::{self, Readiness};
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use service::{Config, NamedHosts, host_header};
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Parts;
use crate::dispatch_gate::DispatchGate;

const FOREIGN_HOST: &str = "metrics are shown only where the Host header names localhost, a loopback address, the host \
                            of APP_PUBLIC_URL or a name in [server] hosts; add the name there\n";
const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// So long an answer about readiness serves every request.
const FRESH: Duration = Duration::from_secs(1);

/// The processor's listener. Several processors share a machine, and so it gives way where its address is taken; nothing
/// that the processor does for messages depends on it.
pub async fn listen(config: &Config) -> Option<TcpListener> {
    let address = config.processor.listen;
    match TcpListener::bind(address).await {
        Ok(listener) => Some(listener),
        Err(error) => {
            tracing::warn!(
                %address, %error,
                "no /metrics, /healthz and /readyz here: set APP_PROCESSOR_LISTEN to another address"
            );
            None
        }
    }
}

/// What the server shows.
#[derive(Debug)]
pub(crate) struct Observed {
    parts: Parts,
    is_started: AtomicBool,
    shutdown: CancellationToken,
    last: Mutex<Option<(Instant, Readiness)>>,
    /// Since the processor works.
    gate: OnceLock<DispatchGate>,
}

impl Observed {
    pub(crate) fn new(parts: Parts, shutdown: CancellationToken) -> Self {
        Self {
            parts,
            is_started: AtomicBool::new(false),
            shutdown,
            last: Mutex::new(None),
            gate: OnceLock::new(),
        }
    }

    /// The processor works from now on, while its gate is open.
    pub(crate) fn started(&self, gate: DispatchGate) {
        // It starts once.
        let _ = self.gate.set(gate);
        self.is_started.store(true, Ordering::Release);
    }

    /// One look at a time, and one a second.
    async fn readiness(&self) -> Readiness {
        if self.shutdown.is_cancelled() {
            return Readiness::without_database("unknown: the processor is stopping");
        }
        if !self.is_started.load(Ordering::Acquire) {
            return Readiness::without_database("not reached yet: the processor is starting");
        }
        let mut last = self.last.lock().await;
        if let Some((at, readiness)) = &*last
            && at.elapsed() < FRESH
        {
            return readiness.clone();
        }
        let readiness = readiness::look(&self.parts.pool, || self.parts.clock.now()).await;
        *last = Some((Instant::now(), readiness.clone()));
        readiness
    }

    /// `ok`, or why nothing is sent.
    fn dispatch(&self) -> String {
        let closed = self.gate.get().and_then(DispatchGate::closed);
        closed.map_or_else(|| "ok".to_owned(), |closed| closed.sentence())
    }

    fn metrics(&self) -> String {
        let health = app_db::pool::health(&self.parts.pool);
        self.parts.metrics.note_database(!health.is_down(), health.silence());
        self.parts.metrics.encode()
    }
}

pub(crate) async fn serve(listener: TcpListener, observed: Arc<Observed>, shutdown: CancellationToken) {
    // A listener without an address has no name of its own.
    let address = listener.local_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |address| address.ip());
    let hosts = Arc::new(observed.parts.config.named_hosts(address));
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection for metrics");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                    continue;
                }
            },
            () = shutdown.cancelled() => return,
        };
        let (observed, hosts, shutdown) = (Arc::clone(&observed), Arc::clone(&hosts), shutdown.clone());
        tokio::spawn(async move {
            let answer = service_fn(move |request| {
                let (observed, hosts) = (Arc::clone(&observed), Arc::clone(&hosts));
                async move { answer(&observed, &hosts, &request).await }
            });
            let connection =
                http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), answer);
            tokio::select! {
                // A scraper that hangs up is no concern of ours.
                _ = connection => {}
                () = shutdown.cancelled() => {}
            }
        });
    }
}

async fn answer(
    observed: &Observed,
    hosts: &NamedHosts,
    request: &Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if let Err(error) = host_header::check(request.version(), request.headers()) {
        return Ok(plain(StatusCode::BAD_REQUEST, "text/plain", format!("{error}\n")));
    }
    let (status, content_type, body) = match request.uri().path() {
        "/metrics" if hosts.check_host(request.headers()).is_err() => {
            (StatusCode::FORBIDDEN, "text/plain", FOREIGN_HOST.to_owned())
        }
        "/metrics" => (StatusCode::OK, METRICS_TYPE, observed.metrics()),
        "/healthz" => (StatusCode::OK, "text/plain", "ok\n".to_owned()),
        "/readyz" => {
            let readiness = observed.readiness().await;
            let dispatch = observed.dispatch();
            let is_ready = readiness.is_ready() && dispatch == "ok";
            let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            (status, "application/json", readiness.to_json(&dispatch))
        }
        _ => (StatusCode::NOT_FOUND, "text/plain", "there are /metrics, /healthz and /readyz\n".to_owned()),
    };
    Ok(plain(status, content_type, body))
}

fn plain(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    response
}
