//! The one place that asks a provider for something while its webhook waits: a document that the adapter needs, or the
//! confirmation of a subscription. Only addresses that an adapter vouches for, by https, without redirects: what proves
//! us to the provider goes nowhere else.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, StatusCode, Uri};
use http_body_util::Empty;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use providers::Fetched;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use url::{Host, Url};

use crate::body::{Budget, ReadBody, Share};

const PUBLIC_BYTES_MAX: usize = 64 << 10;
const TIMEOUT: Duration = Duration::from_secs(5);
/// Of what may be as large as a mail. Webhooks are waited for some 15 s.
const PRIVATE_TIMEOUT: Duration = Duration::from_secs(10);
/// Whoever makes up webhooks may not make us ask more often at once.
const CALLS_AT_ONCE: usize = 4;
const KEPT_MAX: usize = 32;
/// A certificate does not change, but what a broken proxy said in its place should not stay.
const KEPT_FOR: Duration = Duration::from_secs(3600);

type HttpClient = Client<HttpsConnector<HttpConnector>, Empty<Bytes>>;

/// What somebody wants to be fetched.
#[derive(Clone, Debug)]
pub(super) struct Wanted<'a> {
    pub url: &'a str,
    /// The provider's configured address: by plain HTTP, only what stands there is fetched, and only on this machine.
    pub base_url: &'a Url,
    pub privacy: Privacy,
}

/// Whom a document is for.
#[derive(Clone, Debug)]
pub(super) enum Privacy {
    /// Everybody, such as a certificate: small, and kept for the next webhook.
    Public,
    /// Us alone, such as a mail: up to so many bytes, never kept, and with the header that proves who asks, if the
    /// provider wants one.
    Private { authorization: Option<(HeaderName, HeaderValue)>, bytes_max: usize },
}

/// A document, and its share of the memory for bodies.
#[derive(Debug)]
pub(super) struct Document {
    pub fetched: Fetched,
    pub share: Share,
}

pub(crate) struct Documents {
    /// The system's certificates are read when the first call needs them.
    client: OnceLock<Result<HttpClient, String>>,
    turns: Semaphore,
    /// The oldest first.
    kept: Mutex<VecDeque<(Instant, Fetched)>>,
}

impl fmt::Debug for Documents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Documents").finish_non_exhaustive()
    }
}

impl Default for Documents {
    fn default() -> Self {
        Self { client: OnceLock::new(), turns: Semaphore::new(CALLS_AT_ONCE), kept: Mutex::default() }
    }
}

impl Documents {
    fn kept(&self) -> MutexGuard<'_, VecDeque<(Instant, Fetched)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The document, fetched now or, if it is public, within the last hour.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub(super) async fn get(&self, wanted: &Wanted<'_>, budget: &Budget) -> Result<Document, String> {
        let (url, is_public) = (wanted.url, matches!(wanted.privacy, Privacy::Public));
        let found = self.kept().iter().find(|(at, kept)| kept.url == url && at.elapsed() < KEPT_FOR).cloned();
        if let Some((_, fetched)) = found.filter(|_| is_public) {
            return Ok(Document { fetched, share: Share::default() });
        }
        let (status, body) = self.call(wanted, budget).await?;
        if status != StatusCode::OK {
            return Err(format!("HTTP {}", status.as_u16()));
        }
        let fetched = Fetched { url: url.to_owned(), body: body.bytes.to_vec() };
        if is_public {
            let mut kept = self.kept();
            kept.retain(|(at, other)| other.url != url && at.elapsed() < KEPT_FOR);
            if kept.len() >= KEPT_MAX {
                kept.pop_front();
            }
            kept.push_back((Instant::now(), fetched.clone()));
        }
        Ok(Document { fetched, share: body.share })
    }

    /// Calls the address once.
    ///
    /// # Errors
    /// Why that did not work.
    pub(super) async fn confirm(&self, url: &str, base_url: &Url, budget: &Budget) -> Result<(), String> {
        let (status, _) = self.call(&Wanted { url, base_url, privacy: Privacy::Public }, budget).await?;
        if status.is_success() { Ok(()) } else { Err(format!("HTTP {}", status.as_u16())) }
    }

    async fn call(&self, wanted: &Wanted<'_>, budget: &Budget) -> Result<(StatusCode, ReadBody), String> {
        let request = request(wanted)?;
        let client = self.client.get_or_init(client).as_ref().map_err(Clone::clone)?;
        let (bytes_max, limit) = match wanted.privacy {
            Privacy::Public => (PUBLIC_BYTES_MAX, TIMEOUT),
            Privacy::Private { bytes_max, .. } => (bytes_max, PRIVATE_TIMEOUT),
        };
        let call = async {
            let _turn = self.turns.acquire().await.map_err(|error| error.to_string())?;
            let response = client.request(request).await.map_err(|error| error.to_string())?;
            let (parts, body) = response.into_parts();
            let body = budget.collect(&mut Body::new(body), bytes_max).await;
            match body {
                Ok(body) if body.bytes.len() > bytes_max => Err(format!("more than {bytes_max} bytes")),
                Ok(body) => Ok((parts.status, body)),
                Err(problem) if problem.status() == StatusCode::SERVICE_UNAVAILABLE => {
                    Err("the memory for bodies is taken".to_owned())
                }
                Err(_) => Err("it broke off".to_owned()),
            }
        };
        timeout(limit, call).await.unwrap_or_else(|_| Err(format!("no answer within {} s", limit.as_secs())))
    }
}

/// # Errors
/// Where the address is not one that may be called.
fn request(wanted: &Wanted<'_>) -> Result<Request<Empty<Bytes>>, String> {
    let url = Url::parse(wanted.url).map_err(|_| "it is no address")?;
    if url.scheme() != "https" && !is_at_loopback_base(&url, wanted.base_url) {
        return Err("it is not fetched without TLS".to_owned());
    }
    let uri: Uri = wanted.url.parse().map_err(|_| "it is no address")?;
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = uri;
    if let Privacy::Private { authorization: Some((name, value)), .. } = &wanted.privacy {
        request.headers_mut().insert(name, value.clone());
    }
    Ok(request)
}

/// Whether the configuration has put the whole provider there: a simulator on this machine.
fn is_at_loopback_base(url: &Url, base_url: &Url) -> bool {
    let is_loopback = match base_url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    is_loopback && url.scheme() == "http" && url.origin() == base_url.origin()
}

/// Follows no redirects.
fn client() -> Result<HttpClient, String> {
    let https = HttpsConnectorBuilder::new()
        .with_provider_and_native_roots(rustls::crypto::ring::default_provider())
        .map_err(|error| format!("the system's certificates cannot be read: {error}"))?;
    Ok(Client::builder(TokioExecutor::new()).build(https.https_or_http().enable_all_versions().build()))
}

#[cfg(test)]
pub(super) mod tests {
    use std::net::Ipv4Addr;

    use http::header::AUTHORIZATION;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;

    use super::*;

    /// What was asked of a server that answers so many calls, one after the other, and then listens no more.
    pub(in crate::receive_webhook) struct Answers {
        pub url: String,
        asked: mpsc::UnboundedReceiver<String>,
    }

    impl Answers {
        /// The next request's head, if there was one.
        pub(in crate::receive_webhook) fn asked(&mut self) -> Option<String> {
            self.asked.try_recv().ok()
        }
    }

    pub(in crate::receive_webhook) async fn answers(answers: &[&str]) -> Answers {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}/document", listener.local_addr().unwrap());
        let answers: Vec<String> = answers.iter().map(|&answer| answer.to_owned()).collect();
        let (requests, asked) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    request.push(stream.read_u8().await.unwrap());
                }
                let _ = requests.send(String::from_utf8(request).unwrap());
                let _ = stream.write_all(format!("HTTP/1.1 {answer}").as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        Answers { url, asked }
    }

    pub(in crate::receive_webhook) const FOUND: &str =
        "200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello";

    fn private(bytes_max: usize) -> Privacy {
        let authorization = Some((AUTHORIZATION, HeaderValue::from_static("Bearer key")));
        Privacy::Private { authorization, bytes_max }
    }

    async fn get(documents: &Documents, url: &str, privacy: Privacy) -> Result<Vec<u8>, String> {
        let base_url = Url::parse(url).unwrap();
        let wanted = Wanted { url, base_url: &base_url, privacy };
        Ok(documents.get(&wanted, &Budget::of_units(1000)).await?.fetched.body)
    }

    #[tokio::test]
    async fn a_public_document_is_fetched_once() {
        let documents = Documents::default();
        let server = answers(&["503 -\r\nconnection: close\r\ncontent-length: 0\r\n\r\n", FOUND]).await;
        assert_eq!(get(&documents, &server.url, Privacy::Public).await.unwrap_err(), "HTTP 503");
        for _ in 0..2 {
            assert_eq!(get(&documents, &server.url, Privacy::Public).await.unwrap(), b"hello");
        }
    }

    #[tokio::test]
    async fn a_private_document_is_fetched_each_time_with_our_key() {
        let documents = Documents::default();
        let mut server = answers(&[FOUND, FOUND]).await;
        for _ in 0..2 {
            assert_eq!(get(&documents, &server.url, private(5)).await.unwrap(), b"hello");
            assert!(server.asked().unwrap().contains("\r\nauthorization: Bearer key\r\n"));
        }
        // Nor is it there for somebody who asks without a key.
        assert!(get(&documents, &server.url, Privacy::Public).await.is_err());
    }

    #[tokio::test]
    async fn what_is_too_large_is_not_fetched() {
        let documents = Documents::default();
        let large = format!("200 OK\r\nconnection: close\r\n\r\n{}", "x".repeat(PUBLIC_BYTES_MAX + 1));
        let server = answers(&[&large, &large, FOUND]).await;
        let refused = get(&documents, &server.url, Privacy::Public).await.unwrap_err();
        assert_eq!(refused, "more than 65536 bytes");
        let body = get(&documents, &server.url, private(1 << 20)).await.unwrap();
        assert_eq!(body.len(), PUBLIC_BYTES_MAX + 1);
        assert_eq!(get(&documents, &server.url, private(4)).await.unwrap_err(), "more than 4 bytes");
    }

    #[tokio::test]
    async fn a_private_document_takes_memory_until_it_is_let_go() {
        let (documents, budget) = (Documents::default(), Budget::of_units(1));
        let server = answers(&[FOUND, FOUND, FOUND]).await;
        let base_url = Url::parse(&server.url).unwrap();
        let wanted = Wanted { url: &server.url, base_url: &base_url, privacy: private(5) };
        let first = documents.get(&wanted, &budget).await.unwrap();
        assert_eq!(documents.get(&wanted, &budget).await.unwrap_err(), "the memory for bodies is taken");
        drop(first);
        documents.get(&wanted, &budget).await.unwrap();
    }

    #[tokio::test]
    async fn redirects_are_not_followed_and_our_key_stays_here() {
        let documents = Documents::default();
        let mut elsewhere = answers(&[FOUND]).await;
        let redirect =
            format!("302 -\r\nconnection: close\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", elsewhere.url);
        let server = answers(&[&redirect, &redirect, &redirect]).await;
        for privacy in [Privacy::Public, private(5)] {
            assert_eq!(get(&documents, &server.url, privacy).await.unwrap_err(), "HTTP 302");
        }
        let base_url = Url::parse(&server.url).unwrap();
        let confirmed = documents.confirm(&server.url, &base_url, &Budget::of_units(1000)).await;
        assert_eq!(confirmed.unwrap_err(), "HTTP 302");
        assert_eq!(elsewhere.asked(), None);
    }

    #[tokio::test]
    async fn only_https_is_asked_unless_the_provider_is_configured_on_this_machine() {
        let (documents, mut server) = (Documents::default(), answers(&[FOUND]).await);
        for base_url in
            ["https://api.example.com", "http://127.0.0.1:1", "https://127.0.0.1:1", "smtp://127.0.0.1"]
        {
            let base_url = Url::parse(base_url).unwrap();
            for privacy in [Privacy::Public, private(5)] {
                let wanted = Wanted { url: &server.url, base_url: &base_url, privacy };
                let refused = documents.get(&wanted, &Budget::of_units(1000)).await.unwrap_err();
                assert_eq!(refused, "it is not fetched without TLS", "{base_url}");
            }
            assert!(documents.confirm(&server.url, &base_url, &Budget::of_units(1000)).await.is_err());
        }
        assert_eq!(server.asked(), None);
        for (url, base_url, is_fetched) in [
            ("http://127.0.0.1:8090/x", "http://127.0.0.1:8090/base", true),
            ("http://localhost:8090/x", "http://localhost:8090", true),
            ("http://[::1]:8090/x", "http://[::1]:8090", true),
            ("http://127.0.0.1:8090/x", "http://localhost:8090", false),
            ("http://api.example.com/x", "http://api.example.com", false),
            ("http://10.0.0.1/x", "http://10.0.0.1", false),
        ] {
            let (url, base_url) = (Url::parse(url).unwrap(), Url::parse(base_url).unwrap());
            assert_eq!(is_at_loopback_base(&url, &base_url), is_fetched, "{url} {base_url}");
        }
    }
}
