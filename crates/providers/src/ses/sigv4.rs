//! AWS Signature Version 4 of a request
//! (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html).

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderName, HeaderValue, Request};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use crate::hex::hex;

#[derive(Debug)]
pub(super) struct Credentials {
    pub(super) access_key_id: String,
    pub(super) secret_access_key: SecretString,
    /// Of temporary credentials.
    pub(super) session_token: Option<SecretString>,
}

/// Where a signature counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope<'a> {
    pub(super) region: &'a str,
    pub(super) service: &'a str,
}

/// Adds the time, the session's token and the signature; signs them, the host, and every header that is there.
/// Nothing where a credential cannot stand in a header.
pub(super) fn sign(
    request: &mut Request<Bytes>,
    credentials: &Credentials,
    scope: Scope<'_>,
    now: Timestamp,
) -> Option<()> {
    let time = now.strftime("%Y%m%dT%H%M%SZ").to_string();
    let date = time.get(..8)?;
    request.headers_mut().insert(HeaderName::from_static("x-amz-date"), HeaderValue::from_str(&time).ok()?);
    if let Some(token) = &credentials.session_token {
        let mut token = HeaderValue::from_str(token.expose_secret()).ok()?;
        token.set_sensitive(true);
        request.headers_mut().insert(HeaderName::from_static("x-amz-security-token"), token);
    }
    let (canonical, signed_headers) = canonical(request)?;
    let scope_text = format!("{date}/{}/{}/aws4_request", scope.region, scope.service);
    let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope_text}\n{}", hex(&Sha256::digest(canonical)));
    let secret = format!("AWS4{}", credentials.secret_access_key.expose_secret());
    let mut key = secret.into_bytes();
    for part in [date, scope.region, scope.service, "aws4_request"] {
        key = hmac(&key, part)?;
    }
    let signature = hex(&hmac(&key, &to_sign)?);
    let mut authorization = HeaderValue::from_str(&format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope_text}, SignedHeaders={signed_headers}, Signature={signature}",
        credentials.access_key_id,
    ))
    .ok()?;
    authorization.set_sensitive(true);
    request.headers_mut().insert(http::header::AUTHORIZATION, authorization);
    Some(())
}

/// The canonical request and the names of the headers in it.
fn canonical(request: &Request<Bytes>) -> Option<(String, String)> {
    // Our client sends the host of the address, with its port where it is not the scheme's own.
    let mut headers = vec![("host", request.uri().authority()?.as_str().to_owned())];
    for (name, value) in request.headers() {
        let words: Vec<&str> = value.to_str().ok()?.split_whitespace().collect();
        headers.push((name.as_str(), words.join(" ")));
    }
    headers.sort();
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let headers: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    // Every service but S3 encodes the path once more.
    let path = request.uri().path().replace('%', "%25");
    let mut pairs: Vec<&str> = request.uri().query().unwrap_or_default().split('&').collect();
    pairs.sort_unstable();
    let payload = hex(&Sha256::digest(request.body()));
    let query = pairs.join("&");
    Some((format!("{}\n{path}\n{query}\n{headers}\n{names}\n{payload}", request.method()), names))
}

fn hmac(key: &[u8], text: &str) -> Option<Vec<u8>> {
    let mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    Some(mac.chain_update(text).finalize().into_bytes().to_vec())
}

#[cfg(test)]
#[path = "sigv4/tests.rs"]
mod tests;
