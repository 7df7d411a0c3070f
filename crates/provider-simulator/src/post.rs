//! Calls webhooks, by plain HTTP only: what a simulator reports to is on the same machine or network.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde_json::Value;

use crate::http_call::Form;

const TIMEOUT: Duration = Duration::from_secs(15);
const ANSWER_BYTES_MAX: usize = 64 * 1024;

#[derive(Debug)]
pub(crate) struct Poster(Client<HttpConnector, Full<Bytes>>);

/// How a webhook call ended.
pub(crate) type PostResult = Result<StatusCode, PostError>;

/// A webhook call, signed and ready.
#[derive(Clone, Debug)]
pub(crate) struct Post {
    pub method: Method,
    /// Credentials in it become HTTP Basic authentication.
    pub url: String,
    pub content_type: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
}

impl Post {
    pub(crate) fn new(url: &str, content_type: &str, body: impl Into<Bytes>) -> Self {
        let (method, headers) = (Method::POST, Vec::new());
        Self {
            method,
            url: url.to_owned(),
            content_type: content_type.to_owned(),
            headers,
            body: body.into(),
        }
    }

    pub(crate) fn json(url: &str, value: &Value) -> Self {
        Self::new(url, "application/json", value.to_string())
    }

    pub(crate) fn form(url: &str, form: &Form) -> Self {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        Self::new(url, "application/x-www-form-urlencoded", body)
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
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

    pub(crate) async fn post(&self, post: Post) -> PostResult {
        let is_http = post.url.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http://"));
        if !is_http {
            return Err(PostError::Url);
        }
        let (url, credentials) = without_credentials(&post.url);
        let mut request =
            Request::builder().method(post.method).uri(url).header(header::USER_AGENT, "provider-simulator");
        if !post.content_type.is_empty() {
            request = request.header(header::CONTENT_TYPE, post.content_type);
        }
        if let Some(credentials) = credentials {
            request =
                request.header(header::AUTHORIZATION, format!("Basic {}", STANDARD.encode(credentials)));
        }
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

/// `http://user:password@host/path` without its credentials, and these, decoded. The rest stays as it was written.
fn without_credentials(url: &str) -> (String, Option<Vec<u8>>) {
    let (scheme, rest) = url.split_at(url.len().min("http://".len()));
    let authority_ends = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let Some(at) = rest[..authority_ends].rfind('@') else { return (url.to_owned(), None) };
    // A plus is a plus here, though not in a form.
    let plain = rest[..at].replace('+', "%2B");
    let decoded = form_urlencoded::parse(format!("={plain}").as_bytes())
        .next()
        .map(|(_, value)| value.into_owned().into_bytes());
    (format!("{scheme}{}", &rest[at + 1..]), decoded)
}

#[cfg(test)]
mod tests {
    use super::without_credentials;

    #[test]
    fn credentials_leave_the_url() {
        let (url, credentials) = without_credentials("http://hook:a%40b+c@127.0.0.1:8080/x?y=%20@");
        assert_eq!(url, "http://127.0.0.1:8080/x?y=%20@");
        assert_eq!(credentials.unwrap(), b"hook:a@b+c");
        assert_eq!(without_credentials("http://127.0.0.1/a@b").1, None);
    }
}
