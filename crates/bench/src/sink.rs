//! A provider that does next to nothing: answers every request as Twilio answers an accepted message, and counts.
//! The least that a provider can cost, so that what is measured is the sender.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Ends when dropped.
#[derive(Debug)]
pub struct Sink {
    pub address: SocketAddr,
    state: Arc<State>,
    listening: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct State {
    called: AtomicUsize,
    last: Mutex<Option<Instant>>,
    arrived: Notify,
}

impl Sink {
    /// # Errors
    /// When it cannot listen.
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State::default());
        let listening = tokio::spawn(listen(listener, Arc::clone(&state)));
        Ok(Self { address, state, listening })
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn called(&self) -> usize {
        self.state.called.load(Ordering::Relaxed)
    }

    /// How many calls there have been, asked without holding the sink.
    pub fn counter(&self) -> impl Fn() -> usize + Send + Sync + 'static {
        let state = Arc::clone(&self.state);
        move || state.called.load(Ordering::Relaxed)
    }

    /// When the last call arrived, as soon as there were `count` of them.
    ///
    /// # Errors
    /// When there were not within `limit`.
    pub async fn wait_count(&self, count: usize, limit: Duration) -> anyhow::Result<Instant> {
        let deadline = Instant::now() + limit;
        loop {
            let arrived = self.state.arrived.notified();
            if self.called() >= count {
                let last = *self.state.last.lock().unwrap_or_else(PoisonError::into_inner);
                return Ok(last.unwrap_or_else(Instant::now));
            }
            let in_time = tokio::time::timeout_at(deadline, arrived).await;
            anyhow::ensure!(in_time.is_ok(), "the sink saw {} of {count} calls in {limit:?}", self.called());
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn listen(listener: TcpListener, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        tokio::spawn(serve(stream, Arc::clone(&state)));
    }
}

async fn serve(stream: TcpStream, state: Arc<State>) {
    let service = service_fn(|request: Request<Incoming>| answer(request, &state));
    // A client that goes away is no failure of the sink.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(request: Request<Incoming>, state: &State) -> Result<Response<Full<Bytes>>, Infallible> {
    let _ = request.into_body().collect().await;
    *state.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    let number = state.called.fetch_add(1, Ordering::Relaxed) + 1;
    state.arrived.notify_waiters();
    let body = format!(
        r#"{{"sid":"SM{number:032x}","status":"queued","error_code":null,"error_message":null,"num_segments":"1","direction":"outbound-api","price":null,"api_version":"2010-04-01"}}"#
    );
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = StatusCode::CREATED;
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    Ok(response)
}
