//! Webhooks of providers that sign nothing: they prove themselves by a secret that they were told, as the password of
//! HTTP Basic authentication in the webhook's URL, or as `?secret=` where the provider takes no credentials.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::header::AUTHORIZATION;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::callback::query_of;
use crate::webhook::unverified;
use crate::{WebhookError, WebhookRequest};

/// `key` is the setting that holds the secret.
///
/// # Errors
/// [`WebhookError::Unverified`], saying what to set or where to look.
pub(crate) fn verify(
    request: &WebhookRequest<'_>,
    key: &str,
    secret: Option<&SecretString>,
) -> Result<(), WebhookError> {
    let unverified = |why: String| Err(unverified(why));
    let Some(secret) = secret else {
        return unverified(format!(
            "{key} is not set; this provider signs nothing, so its webhooks need one"
        ));
    };
    match password(request).or_else(|| parameter(request)) {
        Some(given) if is(&given, secret) => Ok(()),
        Some(_) => unverified(format!("its secret is not {key}")),
        None => unverified(format!(
            "it brings no secret; enter the webhook at the provider as https://hook:SECRET@host/..., or with \
             ?secret=SECRET, where SECRET is {key}"
        )),
    }
}

/// Compared as hashes, so that not even the length shows in the time taken.
pub(crate) fn is(given: &str, secret: &SecretString) -> bool {
    let hashes = [given, secret.expose_secret()].map(|text| Sha256::digest(text.as_bytes()));
    hashes[0].as_slice().ct_eq(hashes[1].as_slice()).into()
}

fn password(request: &WebhookRequest<'_>) -> Option<String> {
    let value = request.header(AUTHORIZATION)?;
    let (scheme, credentials) = value.split_once(' ')?;
    let decoded = BASE64.decode(credentials.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    Some(String::from_utf8(decoded).ok()?.split_once(':')?.1.to_owned())
}

/// `?secret=`.
pub(crate) fn parameter(request: &WebhookRequest<'_>) -> Option<String> {
    let mut pairs = form_urlencoded::parse(query_of(request.url).as_bytes());
    pairs.find(|(name, _)| name == "secret").map(|(_, value)| value.into_owned())
}
