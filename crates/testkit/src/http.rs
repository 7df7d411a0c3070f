//! A small HTTP client for tests of servers on this machine.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::time::timeout;

const TIMEOUT: Duration = Duration::from_secs(60);

/// Requests to one server.
#[derive(Clone, Debug)]
pub struct HttpClient {
    base_url: String,
    client: Client<HttpConnector, Full<Bytes>>,
    headers: HeaderMap,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Why nothing came back.
#[derive(Debug)]
pub enum HttpError {
    Failed(String),
    TimedOut,
}

impl HttpClient {
    /// `base_url` such as `http://127.0.0.1:8080`.
    pub fn new(base_url: impl Into<String>) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { base_url: base_url.into().trim_end_matches('/').to_owned(), client, headers: HeaderMap::new() }
    }

    /// The same client with a header on every request.
    ///
    /// # Panics
    /// When it is none.
    pub fn with_header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.insert(name, value.parse().expect("a header value"));
        self
    }

    /// # Panics
    /// When no answer comes.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], Bytes::new()).await
    }

    /// # Panics
    /// When no answer comes.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        let json = [("content-type", "application/json")];
        self.send(Method::POST, path, &json, Bytes::from(body.to_string())).await
    }

    /// # Panics
    /// When no answer comes.
    pub async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Bytes) -> Answer {
        match self.try_send(method.clone(), path, headers, body).await {
            Ok(answer) => answer,
            Err(error) => panic!("{method} {}{path}: {error:?}", self.base_url),
        }
    }

    /// For servers that may be gone.
    ///
    /// # Errors
    /// When no whole answer comes.
    ///
    /// # Panics
    /// When the request is none.
    pub async fn try_send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Answer, HttpError> {
        let exchange = async {
            let (parts, body) = self.begin(method, path, headers, body).await?.into_parts();
            let body = body.collect().await.map_err(|error| HttpError::Failed(format!("{error:?}")))?;
            Ok(Answer { status: parts.status, headers: parts.headers, body: body.to_bytes() })
        };
        timeout(TIMEOUT, exchange).await.map_err(|_| HttpError::TimedOut)?
    }

    /// An answer that goes on.
    ///
    /// # Panics
    /// When none begins with 200.
    pub async fn stream(&self, path: &str) -> Stream {
        let begun = self.begin(Method::GET, path, &[], Bytes::new()).await;
        let response = begun.unwrap_or_else(|error| panic!("GET {path}: {error:?}"));
        assert_eq!(response.status(), StatusCode::OK, "GET {path}");
        Stream { body: response.into_body(), text: String::new() }
    }

    async fn begin(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Response<Incoming>, HttpError> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base_url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Full::new(body)).expect("a request");
        for (name, value) in &self.headers {
            request.headers_mut().entry(name).or_insert(value.clone());
        }
        self.client.request(request).await.map_err(|error| HttpError::Failed(format!("{error:?}")))
    }
}

/// An answer that is read while it goes on.
#[derive(Debug)]
pub struct Stream {
    body: Incoming,
    text: String,
}

impl Stream {
    /// Reads on until it has said this.
    ///
    /// # Panics
    /// When it ends before, or says nothing for a long time.
    pub async fn says(&mut self, wanted: &str) {
        while !self.text.contains(wanted) {
            assert!(self.goes_on().await, "it ended without {wanted}: {}", self.text);
        }
    }

    /// Reads on until it ends; all that it said.
    ///
    /// # Panics
    /// When it says nothing for a long time.
    pub async fn ends(mut self) -> String {
        while self.goes_on().await {}
        self.text
    }

    async fn goes_on(&mut self) -> bool {
        let frame = timeout(TIMEOUT, self.body.frame()).await.expect("something within a minute");
        let Some(frame) = frame else { return false };
        let frame = frame.expect("the connection holds");
        self.text.push_str(&String::from_utf8_lossy(frame.data_ref().expect("data")));
        true
    }
}

impl Answer {
    /// # Panics
    /// When the body is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {}: {}", self.status, self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The header's text; empty without it.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Itself, if the status is the expected one.
    ///
    /// # Panics
    /// Otherwise, with what the answer says.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        self
    }
}
