//! `messagebird-signature` of webhook subscriptions (https://docs.bird.com/api/notifications-api): proves that Bird
//! sent a webhook, by an HMAC over its time, its address and the hash of its body.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use crate::{WebhookError, WebhookRequest, signed_at};

const SIGNATURE: &str = "messagebird-signature";
const TIMESTAMP: &str = "messagebird-request-timestamp";

/// # Errors
/// [`WebhookError::Unverified`], saying what to set or where to look.
pub(super) fn verify(
    request: &WebhookRequest<'_>,
    signing_key: Option<&SecretString>,
) -> Result<(), WebhookError> {
    let key = signing_key
        .ok_or_else(|| unverified("signing_key is not set; it is the webhook subscription's signing key"))?;
    let header = |name: &str| {
        let value = request.headers.get(name).and_then(|value| value.to_str().ok());
        value.ok_or_else(|| unverified(format!("the header {name} is missing")))
    };
    let (signature, timestamp) = (header(SIGNATURE)?, header(TIMESTAMP)?);
    let signature = BASE64.decode(signature).map_err(|_| unverified(format!("{SIGNATURE} is not base64")))?;
    // The digest's bytes, not its hexadecimal text.
    let matches = Hmac::<Sha256>::new_from_slice(key.expose_secret().as_bytes()).is_ok_and(|mac| {
        let mac = mac.chain_update(timestamp).chain_update("\n").chain_update(request.url).chain_update("\n");
        mac.chain_update(Sha256::digest(request.body)).verify_slice(&signature).is_ok()
    });
    if !matches {
        return Err(unverified(
            "the signature does not match; check signing_key, and that APP_PUBLIC_URL is the address set at Bird",
        ));
    }
    signed_at::check(TIMESTAMP, timestamp, request.now)
}

fn unverified(why: impl Into<String>) -> WebhookError {
    WebhookError::Unverified(why.into())
}
