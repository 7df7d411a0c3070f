//! A bare HTTP/1.1 connection and the closed loop of many: the least that a client can cost, so that what is
//! measured is the server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use chaos::latency::Latencies;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub const CONNECTIONS: usize = 64;

#[derive(Debug)]
pub struct Connection(SendRequest<Full<Bytes>>);

impl Connection {
    /// # Errors
    /// When nobody listens there.
    pub async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| address.to_string())?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self(sender))
    }

    /// # Errors
    /// When no whole answer comes.
    pub async fn call(&mut self, request: Request<Full<Bytes>>) -> anyhow::Result<(StatusCode, Bytes)> {
        let answer = self.answer(request).await?;
        let status = answer.status();
        Ok((status, answer.into_body().collect().await?.to_bytes()))
    }

    /// An answer whose body is still to come.
    ///
    /// # Errors
    /// When none comes.
    pub async fn answer(&mut self, request: Request<Full<Bytes>>) -> anyhow::Result<Response<Incoming>> {
        self.0.ready().await?;
        Ok(self.0.send_request(request).await?)
    }
}

/// A request as it goes over a connection: its path alone, and the host as a header.
///
/// # Errors
/// When a header cannot be sent.
pub fn request(
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: String,
) -> anyhow::Result<Request<Full<Bytes>>> {
    let mut request = Request::builder().method(method).uri(path).header("host", "127.0.0.1");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Ok(request.body(Full::new(Bytes::from(body)))?)
}

/// Makes the `n`th request.
pub type Make = Arc<dyn Fn(usize) -> anyhow::Result<Request<Full<Bytes>>> + Send + Sync>;
/// Whether one more may be sent after so many answers.
pub type Gate = Arc<dyn Fn(usize) -> bool + Send + Sync>;

#[derive(Clone)]
pub struct Loop {
    pub address: SocketAddr,
    pub connections: usize,
    /// The loop ends after this time, or with the request before this number.
    pub time: Duration,
    pub count: usize,
    /// The number of the first request.
    pub first: usize,
    pub make: Make,
    pub status: u16,
    pub gate: Option<Gate>,
}

#[derive(Debug)]
pub struct Answered {
    pub count: usize,
    pub elapsed: Duration,
    pub latencies: Latencies,
}

impl Answered {
    pub fn per_second(&self) -> f64 {
        self.count as f64 / self.elapsed.as_secs_f64()
    }
}

impl Loop {
    /// 64 connections for some time.
    pub fn new(address: SocketAddr, time: Duration, make: Make, status: u16) -> Self {
        Self {
            address,
            connections: CONNECTIONS,
            time,
            count: usize::MAX,
            first: 0,
            make,
            status,
            gate: None,
        }
    }

    /// Each connection sends its next request when it has the answer to its last. Every answer must have the
    /// expected status.
    ///
    /// # Errors
    /// With the first other answer.
    pub async fn run(&self) -> anyhow::Result<Answered> {
        let mut open = Vec::with_capacity(self.connections);
        for _ in 0..self.connections {
            open.push(Connection::open(self.address).await?);
        }
        let (next, answered) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let began = Instant::now();
        let mut clients = JoinSet::new();
        for connection in open {
            let (next, answered) = (Arc::clone(&next), Arc::clone(&answered));
            clients.spawn(self.clone().one(connection, began, next, answered));
        }
        let mut times_ms = Vec::new();
        while let Some(times) = clients.join_next().await {
            times_ms.extend(times??);
        }
        Ok(Answered { count: times_ms.len(), elapsed: began.elapsed(), latencies: Latencies::new(times_ms) })
    }

    async fn one(
        self,
        mut connection: Connection,
        began: Instant,
        next: Arc<AtomicUsize>,
        answered: Arc<AtomicUsize>,
    ) -> anyhow::Result<Vec<f64>> {
        let mut times_ms = Vec::new();
        while began.elapsed() < self.time {
            if let Some(gate) = &self.gate
                && !gate(answered.load(Ordering::Relaxed))
            {
                tokio::time::sleep(Duration::from_millis(1)).await;
                continue;
            }
            let n = next.fetch_add(1, Ordering::Relaxed);
            if n >= self.count {
                break;
            }
            let request = (self.make)(self.first + n)?;
            let sent = Instant::now();
            let (status, body) = connection.call(request).await?;
            anyhow::ensure!(status == self.status, "{status}: {}", String::from_utf8_lossy(&body));
            answered.fetch_add(1, Ordering::Relaxed);
            times_ms.push(sent.elapsed().as_secs_f64() * 1e3);
        }
        Ok(times_ms)
    }
}
