//! The one place that asks a provider for something while its webhook waits: a document that the adapter needs, or the
//! confirmation of a subscription. Only addresses that an adapter vouches for, by https, without redirects.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use providers::Fetched;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

const DOCUMENT_BYTES_MAX: usize = 64 << 10;
const TIMEOUT: Duration = Duration::from_secs(5);
/// Whoever makes up webhooks may not make us ask more often at once.
const CALLS_AT_ONCE: usize = 4;
const KEPT_MAX: usize = 32;
/// A certificate does not change, but what a broken proxy said in its place should not stay.
const KEPT_FOR: Duration = Duration::from_secs(3600);

type HttpClient = Client<HttpsConnector<HttpConnector>, Empty<Bytes>>;

pub(crate) struct Documents {
    /// The system's certificates are read when the first call needs them.
    client: OnceLock<Result<HttpClient, String>>,
    turns: Semaphore,
    /// The oldest first.
    kept: Mutex<VecDeque<(Instant, Fetched)>>,
    https_only: bool,
}

impl fmt::Debug for Documents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Documents").finish_non_exhaustive()
    }
}

impl Default for Documents {
    fn default() -> Self {
        Self {
            client: OnceLock::new(),
            turns: Semaphore::new(CALLS_AT_ONCE),
            kept: Mutex::default(),
            https_only: true,
        }
    }
}

impl Documents {
    fn kept(&self) -> MutexGuard<'_, VecDeque<(Instant, Fetched)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The document of this address, fetched now or within the last hour.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub(super) async fn get(&self, url: &str) -> Result<Fetched, String> {
        let found = self.kept().iter().find(|(at, kept)| kept.url == url && at.elapsed() < KEPT_FOR).cloned();
        if let Some((_, document)) = found {
            return Ok(document);
        }
        let (status, body) = self.call(url).await?;
        if status != StatusCode::OK {
            return Err(format!("HTTP {}", status.as_u16()));
        }
        let document = Fetched { url: url.to_owned(), body: body.to_vec() };
        let mut kept = self.kept();
        kept.retain(|(at, other)| other.url != url && at.elapsed() < KEPT_FOR);
        if kept.len() >= KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back((Instant::now(), document.clone()));
        Ok(document)
    }

    /// Calls the address once.
    ///
    /// # Errors
    /// Why that did not work.
    pub(super) async fn confirm(&self, url: &str) -> Result<(), String> {
        let (status, _) = self.call(url).await?;
        if status.is_success() { Ok(()) } else { Err(format!("HTTP {}", status.as_u16())) }
    }

    async fn call(&self, url: &str) -> Result<(StatusCode, Bytes), String> {
        let uri: Uri = url.parse().map_err(|_| "it is no address".to_owned())?;
        let client = self.client.get_or_init(|| client(self.https_only)).as_ref().map_err(Clone::clone)?;
        let call = async {
            let _turn = self.turns.acquire().await.map_err(|error| error.to_string())?;
            let response = client.get(uri).await.map_err(|error| error.to_string())?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, DOCUMENT_BYTES_MAX).collect().await;
            Ok((parts.status, body.map_err(|error| error.to_string())?.to_bytes()))
        };
        timeout(TIMEOUT, call)
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {} s", TIMEOUT.as_secs())))
    }
}

fn client(https_only: bool) -> Result<HttpClient, String> {
    let https = HttpsConnectorBuilder::new()
        .with_provider_and_native_roots(rustls::crypto::ring::default_provider())
        .map_err(|error| format!("the system's certificates cannot be read: {error}"))?;
    let https = if https_only { https.https_only() } else { https.https_or_http() };
    Ok(Client::builder(TokioExecutor::new()).build(https.enable_all_versions().build()))
}

#[cfg(test)]
pub(super) mod tests {
    use std::net::Ipv4Addr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    impl Documents {
        pub(in crate::receive_webhook) fn without_tls() -> Self {
            Self { https_only: false, ..Self::default() }
        }
    }

    /// Answers so many calls, one after the other, and then listens no more.
    pub(in crate::receive_webhook) async fn answers(answers: &[&str]) -> String {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}/certificate.pem", listener.local_addr().unwrap());
        let answers: Vec<String> = answers.iter().map(|&answer| answer.to_owned()).collect();
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    request.push(stream.read_u8().await.unwrap());
                }
                let _ = stream.write_all(format!("HTTP/1.1 {answer}").as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        url
    }

    pub(in crate::receive_webhook) const FOUND: &str =
        "200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello";

    #[tokio::test]
    async fn a_document_is_fetched_once() {
        let documents = Documents::without_tls();
        let url = answers(&["503 -\r\nconnection: close\r\ncontent-length: 0\r\n\r\n", FOUND]).await;
        assert_eq!(documents.get(&url).await.unwrap_err(), "HTTP 503");
        for _ in 0..2 {
            assert_eq!(documents.get(&url).await.unwrap().body, b"hello");
        }
    }

    #[tokio::test]
    async fn what_is_large_or_elsewhere_is_not_fetched() {
        let documents = Documents::without_tls();
        let large = format!("200 OK\r\nconnection: close\r\n\r\n{}", "x".repeat(DOCUMENT_BYTES_MAX + 1));
        let url = answers(&[&large]).await;
        assert!(documents.get(&url).await.unwrap_err().contains("limit"));
        let elsewhere = answers(&[FOUND]).await;
        let redirect =
            format!("302 -\r\nconnection: close\r\nlocation: {elsewhere}\r\ncontent-length: 0\r\n\r\n");
        let url = answers(&[&redirect, &redirect]).await;
        assert_eq!(documents.get(&url).await.unwrap_err(), "HTTP 302");
        assert_eq!(documents.confirm(&url).await.unwrap_err(), "HTTP 302");
    }

    #[tokio::test]
    async fn only_https_is_asked() {
        let url = answers(&[FOUND]).await;
        assert!(Documents::default().get(&url).await.is_err());
        assert!(Documents::default().confirm(&url).await.is_err());
    }
}
