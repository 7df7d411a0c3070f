//! Calls webhooks, by plain HTTP only: what a simulator reports to is on the same machine or network.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

const TIMEOUT: Duration = Duration::from_secs(15);
const ANSWER_BYTES_MAX: usize = 64 * 1024;

#[derive(Debug)]
pub(crate) struct Poster(Client<HttpConnector, Full<Bytes>>);

/// A webhook call, signed and ready.
#[derive(Clone, Debug)]
pub(crate) struct Post {
    pub url: String,
    pub content_type: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
}

/// Why a webhook call has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PostError {
    #[error("the webhook's URL is not a plain http URL")]
    Url,
    #[error("the webhook could not be reached, or the connection broke")]
    Connection,
    #[error("the webhook did not answer within {} s", TIMEOUT.as_secs())]
    Timeout,
}

impl Poster {
    pub(crate) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(10))
            .build(connector);
        Self(client)
    }

    pub(crate) async fn post(&self, post: Post) -> Result<StatusCode, PostError> {
        let is_http = post.url.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http://"));
        if !is_http {
            return Err(PostError::Url);
        }
        let mut request = Request::post(&post.url)
            .header(header::CONTENT_TYPE, post.content_type)
            .header(header::USER_AGENT, "provider-simulator");
        for (name, value) in post.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(post.body)).map_err(|_| PostError::Url)?;
        let call = async {
            let response = self.0.request(request).await.map_err(|_| PostError::Connection)?;
            let status = response.status();
            // Reading the answer to its end keeps the connection; what it says does not matter.
            let _ = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
            Ok(status)
        };
        tokio::time::timeout(TIMEOUT, call).await.unwrap_or(Err(PostError::Timeout))
    }
}
