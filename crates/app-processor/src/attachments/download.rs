//! One file over HTTP, from public addresses only. A name is resolved once and its address checked where the connection
//! is made, so that no later answer of its name server can lead elsewhere.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, LOCATION,
    USER_AGENT,
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use hyper_util::rt::TokioExecutor;
use providers::File;
use tower::Service;
use url::{Host, Url};

use super::public_address::is_public;
use super::{Failure, too_large};
use crate::send::Timed;

const REDIRECTS_MAX: usize = 3;
/// A host that cannot be found or reached does not use up the time of the others.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Clone, Debug)]
pub(super) struct Downloader {
    client: Client<Timed<HttpsConnector<HttpConnector<PublicOnly>>>, Empty<Bytes>>,
    allow_private: bool,
}

impl Downloader {
    pub(super) fn new(allow_private: bool) -> Result<Self, String> {
        let mut tcp =
            HttpConnector::new_with_resolver(PublicOnly { names: GaiResolver::new(), allow_private });
        tcp.enforce_http(false);
        let https = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(rustls::crypto::ring::default_provider())
            .map_err(|error| format!("the system's certificates cannot be read: {error}"))?
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let https = Timed { connector: https, limit: CONNECT_TIMEOUT };
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(https);
        Ok(Self { client, allow_private })
    }

    pub(super) async fn download(&self, mut url: Url, limit: usize) -> Result<File, Failure> {
        for _ in 0..=REDIRECTS_MAX {
            let response = self.get(&url).await?;
            match response.status().as_u16() {
                200 => return read(&url, response, limit).await,
                301 | 302 | 303 | 307 | 308 => {
                    let location = text(response.headers(), LOCATION);
                    let next = location.and_then(|location| url.join(location).ok());
                    url = next.ok_or_else(|| Failure::Final("it redirects to nowhere".to_owned()))?;
                }
                status @ (408 | 425 | 429 | 500..=599) => {
                    return Err(Failure::ForNow(format!("HTTP {status}")));
                }
                status => return Err(Failure::Final(format!("HTTP {status}"))),
            }
        }
        Err(Failure::Final(format!("it redirects more than {REDIRECTS_MAX} times")))
    }

    async fn get(&self, url: &Url) -> Result<Response<Incoming>, Failure> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Failure::Final("it is not fetched by http or https".to_owned()));
        }
        // A literal address is never looked up, so that the resolver does not see it.
        let literal = match url.host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            _ => None,
        };
        if literal.is_some_and(|address| !self.allow_private && !is_public(address)) {
            return Err(not_public());
        }
        let mut bare = url.clone();
        bare.set_fragment(None);
        // Neither is sent, and neither can be taken away from an address that may not have them.
        let _ = (bare.set_username(""), bare.set_password(None));
        let mut request = Request::new(Empty::new());
        *request.uri_mut() =
            bare.as_str().parse().map_err(|_| Failure::Final("its address cannot be called".to_owned()))?;
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.insert(USER_AGENT, HeaderValue::from_static("app"));
        self.client.request(request).await.map_err(|error| {
            if is_refused(&error) {
                not_public()
            } else {
                Failure::ForNow("no connection, or it broke".to_owned())
            }
        })
    }
}

async fn read(url: &Url, response: Response<Incoming>, limit: usize) -> Result<File, Failure> {
    let (parts, body) = response.into_parts();
    let headers = parts.headers;
    if text(&headers, CONTENT_ENCODING).is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
        return Err(Failure::Final("it is compressed, which was not asked for".to_owned()));
    }
    let announced = text(&headers, CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(Failure::Final(too_large(limit)));
    }
    let bytes = Limited::new(body, limit).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() {
            Failure::Final(too_large(limit))
        } else {
            Failure::ForNow("its answer broke off".to_owned())
        }
    })?;
    let disposition = headers.get(CONTENT_DISPOSITION).map(HeaderValue::as_bytes);
    Ok(File::downloaded(url, disposition, text(&headers, CONTENT_TYPE), bytes.to_bytes().to_vec()))
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn not_public() -> Failure {
    Failure::Final("its address is not public; see attachments.allow_private".to_owned())
}

/// A resolver that gives public addresses only, and with them alone connections are made.
#[derive(Clone, Debug)]
struct PublicOnly {
    names: GaiResolver,
    allow_private: bool,
}

/// All addresses of a name were left out.
#[derive(Debug, thiserror::Error)]
#[error("the name has no public address")]
struct NoPublicAddress;

fn is_refused(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let inside = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if error.is::<NoPublicAddress>() || inside.is_some_and(|inside| inside.is::<NoPublicAddress>()) {
            return true;
        }
        cause = error.source();
    }
    false
}

impl Service<Name> for PublicOnly {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, io::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        self.names.poll_ready(context)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (resolving, allow_private) = (self.names.call(name), self.allow_private);
        Box::pin(async move {
            let found = resolving.await?;
            let usable: Vec<SocketAddr> =
                found.filter(|address| allow_private || is_public(address.ip())).collect();
            if usable.is_empty() { Err(io::Error::other(NoPublicAddress)) } else { Ok(usable.into_iter()) }
        })
    }
}
