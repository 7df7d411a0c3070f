//! `messagebird-signature` of webhook subscriptions (https://docs.bird.com/api/notifications-api): proves that Bird
//! sent a webhook, by an HMAC over its time, its address and the hash of its body.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use crate::signed_at::A_DAY;
use crate::webhook::{require_one_of, unverified};
use crate::{WebhookError, WebhookRequest, hmac_sha256, signed_at};

const SIGNATURE: &str = "messagebird-signature";
const TIMESTAMP: &str = "messagebird-request-timestamp";

/// # Errors
/// [`WebhookError::Unverified`] where there is no signature.
pub(super) fn check_head(head: &WebhookRequest<'_>) -> Result<(), WebhookError> {
    require_one_of(head, &[SIGNATURE])
}

/// # Errors
/// [`WebhookError::Unverified`], saying what to set or where to look.
pub(super) fn verify(
    request: &WebhookRequest<'_>,
    signing_key: Option<&SecretString>,
) -> Result<(), WebhookError> {
    let key = signing_key
        .ok_or_else(|| unverified("signing_key is not set; it is the webhook subscription's signing key"))?;
    let header = |name: &str| {
        let value = request.header(name);
        value.ok_or_else(|| unverified(format!("the header {name} is missing")))
    };
    let (signature, timestamp) = (header(SIGNATURE)?, header(TIMESTAMP)?);
    let signature = BASE64.decode(signature).map_err(|_| unverified(format!("{SIGNATURE} is not base64")))?;
    // The digest's bytes, not its hexadecimal text.
    let (url, hash) = (request.url.as_bytes(), Sha256::digest(request.body));
    let signed = [timestamp.as_bytes(), b"\n", url, b"\n", hash.as_slice()];
    if !hmac_sha256::verifies(key.expose_secret().as_bytes(), &signed, &signature) {
        return Err(unverified(
            "the signature does not match; check signing_key, and that APP_PUBLIC_URL is the address set at Bird",
        ));
    }
    signed_at::check(TIMESTAMP, timestamp, &A_DAY, request.now)
}
