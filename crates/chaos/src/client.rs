//! HTTP against servers that may be slow, or gone in the middle of an answer: every request has a time limit, and
//! no answer is a result like another.

use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::de::DeserializeOwned;
use serde_json::Value;

const TIMEOUT: Duration = Duration::from_secs(60);

/// Requests to one server. Clones share connections.
#[derive(Clone, Debug)]
pub struct HttpClient {
    base_url: String,
    client: Client<HttpConnector, Full<Bytes>>,
    timeout: Duration,
}

#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    TimedOut,
    Broken(String),
}

impl std::fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TimedOut => f.write_str("no answer in time"),
            Self::Broken(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for NoAnswer {}

impl HttpClient {
    pub fn new(base_url: impl Into<String>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Self { base_url: base_url.into(), client, timeout: TIMEOUT }
    }

    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// The same connections with another time limit.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Self { timeout, ..self.clone() }
    }

    /// # Errors
    /// When no whole answer comes in time.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Answer, NoAnswer> {
        let broken = |error: &dyn std::error::Error| {
            // The outer error says only that the exchange failed.
            let cause = error.source().map(|source| format!(": {source}")).unwrap_or_default();
            NoAnswer::Broken(format!("{error}{cause}"))
        };
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base_url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body)).map_err(|error| broken(&error))?;
        let exchange = async {
            let response = self.client.request(request).await.map_err(|error| broken(&error))?;
            let (parts, body) = response.into_parts();
            let body = body.collect().await.map_err(|error| broken(&error))?.to_bytes();
            Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
        };
        tokio::time::timeout(self.timeout, exchange).await.map_err(|_| NoAnswer::TimedOut)?
    }

    /// # Errors
    /// As [`HttpClient::send`].
    pub async fn get(&self, path: &str) -> Result<Answer, NoAnswer> {
        self.send(Method::GET, path, &[], Bytes::new()).await
    }

    /// # Errors
    /// As [`HttpClient::send`].
    pub async fn post(&self, path: &str, body: &Value) -> Result<Answer, NoAnswer> {
        self.post_with(path, &[], body).await
    }

    /// # Errors
    /// As [`HttpClient::send`].
    pub async fn post_with(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Result<Answer, NoAnswer> {
        let headers = [&[("content-type", "application/json")], headers].concat();
        self.send(Method::POST, path, &headers, Bytes::from(body.to_string())).await
    }

    /// # Errors
    /// When the answer is none, or no success, or not JSON of that form.
    pub async fn get_json<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let place = || format!("GET {}{path}", self.base_url);
        let answer = self.get(path).await.with_context(place)?;
        if !(200..300).contains(&answer.status) {
            bail!("{}: {} {}", place(), answer.status, answer.text());
        }
        serde_json::from_slice(&answer.body).with_context(place)
    }
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// # Errors
    /// When the body is not JSON.
    pub fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("{}: {}", self.status, self.text()))
    }

    /// Itself, if the status is the expected one.
    ///
    /// # Errors
    /// Otherwise, with what the answer says.
    pub fn expect(self, status: u16) -> anyhow::Result<Self> {
        if self.status != status {
            bail!("expected {status}, got {}: {}", self.status, self.text());
        }
        Ok(self)
    }
}
