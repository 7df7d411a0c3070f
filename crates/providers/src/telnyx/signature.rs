//! `telnyx-signature-ed25519` (https://developers.telnyx.com/docs/messaging/messages/receiving-webhooks): proves that
//! Telnyx sent a webhook. Covers the timestamp's header and the raw body, not the URL.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{PUBLIC_KEY_LENGTH, Signature, VerifyingKey};

use crate::signed_at::FIVE_MINUTES;
use crate::webhook::{require_one_of, unverified};
use crate::{SettingsError, WebhookError, WebhookRequest, signed_at};

const SIGNATURE: &str = "telnyx-signature-ed25519";
const TIMESTAMP: &str = "telnyx-timestamp";

/// The key as the portal shows it: base64 of its 32 bytes.
///
/// # Errors
/// Where it is no Ed25519 public key.
pub(super) fn public_key(text: &str) -> Result<VerifyingKey, SettingsError> {
    BASE64
        .decode(text.trim())
        .ok()
        .and_then(|bytes| <[u8; PUBLIC_KEY_LENGTH]>::try_from(bytes).ok())
        .and_then(|bytes| VerifyingKey::from_bytes(&bytes).ok())
        .ok_or_else(|| {
            SettingsError::new(
                "public_key",
                "is not an Ed25519 public key; copy it from Keys & Credentials, Public Key: 44 characters of base64",
            )
        })
}

/// # Errors
/// [`WebhookError::Unverified`] where there is no signature.
pub(super) fn check_head(head: &WebhookRequest<'_>) -> Result<(), WebhookError> {
    require_one_of(head, &[SIGNATURE])
}

/// # Errors
/// [`WebhookError::Unverified`], saying what to look at.
pub(super) fn verify(request: &WebhookRequest<'_>, key: Option<&VerifyingKey>) -> Result<(), WebhookError> {
    let Some(key) = key else {
        return Err(unverified(
            "public_key is not set; set it to the key that Telnyx shows under Keys & Credentials, Public Key",
        ));
    };
    let header = |name| request.header(name);
    let (Some(signature), Some(timestamp)) = (header(SIGNATURE), header(TIMESTAMP)) else {
        return Err(unverified(
            "the headers telnyx-signature-ed25519 and telnyx-timestamp are missing; only webhooks of API v2 are signed",
        ));
    };
    let mismatch = || unverified("the signature does not match; check public_key");
    let signature = BASE64.decode(signature).map_err(|_| mismatch())?;
    let signature = Signature::from_slice(&signature).map_err(|_| mismatch())?;
    let signed = [timestamp.as_bytes(), b"|", request.body].concat();
    key.verify_strict(&signed, &signature).map_err(|_| mismatch())?;
    // As long as Telnyx's own libraries have it.
    signed_at::check(TIMESTAMP, timestamp, &FIVE_MINUTES, request.now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_cannot_verify_is_refused() {
        assert!(public_key(" H7p2UDBbKORZ4B10t5m/CcnSgM10a3xz6umwB4oZtKk=\n").is_ok());
        // No base64, one byte less, an algorithm before it, and 32 bytes that are no point of the curve.
        for text in [
            "no base64",
            "H7p2UDBbKORZ4B10t5m/CcnSgM10a3xz6umwB4oZtA==",
            "MCowBQYDK2VwAyEAH7p2UDBbKORZ4B10t5m/CcnSgM10a3xz6umwB4oZtKk=",
            "AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        ] {
            assert_eq!(public_key(text).unwrap_err().key, "public_key", "{text}");
        }
    }
}
