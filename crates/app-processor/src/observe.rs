//! The processor's own small HTTP server: `/metrics` and `/healthz`.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use service::NamedHosts;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::Parts;

const FOREIGN_HOST: &str = "metrics are shown only where the Host header names localhost, a loopback address, the host \
                            of APP_PUBLIC_URL or a name in [server] hosts; add the name there\n";
const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(crate) async fn serve(listener: TcpListener, parts: Parts, shutdown: CancellationToken) {
    // A listener without an address has no name of its own.
    let address = listener.local_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |address| address.ip());
    let hosts = Arc::new(parts.config.named_hosts(address));
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
        let (parts, hosts, shutdown) = (parts.clone(), Arc::clone(&hosts), shutdown.clone());
        tokio::spawn(async move {
            let answer = service_fn(move |request| std::future::ready(answer(&parts, &hosts, &request)));
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

fn answer(
    parts: &Parts,
    hosts: &NamedHosts,
    request: &Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, content_type, body) = match request.uri().path() {
        "/metrics" if hosts.check_host(request.headers()).is_err() => {
            (StatusCode::FORBIDDEN, "text/plain", FOREIGN_HOST.to_owned())
        }
        "/metrics" => (StatusCode::OK, METRICS_TYPE, parts.metrics.encode()),
        "/healthz" => (StatusCode::OK, "text/plain", "ok\n".to_owned()),
        _ => (StatusCode::NOT_FOUND, "text/plain", "there are /metrics and /healthz\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    Ok(response)
}
