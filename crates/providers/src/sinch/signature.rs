//! Proves that Sinch sent a callback: by HMAC where the account signs
//! (https://developers.sinch.com/docs/conversation/callbacks#validating-callbacks), else by a secret in its address.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use secrecy::{ExposeSecret, SecretString};

use crate::signed_at::FIVE_MINUTES;
use crate::webhook::{require_one_of, unverified};
use crate::{WebhookError, WebhookRequest, hmac_sha256, shared_secret, signed_at};

/// One of them at most.
#[derive(Debug)]
pub(super) struct Secrets {
    pub(super) signing: Option<SecretString>,
    pub(super) in_url: Option<SecretString>,
}

const SIGNATURE: &str = "x-sinch-webhook-signature";
const NONCE: &str = "x-sinch-webhook-signature-nonce";
const TIMESTAMP: &str = "x-sinch-webhook-signature-timestamp";
const ALGORITHM: &str = "x-sinch-webhook-signature-algorithm";

/// # Errors
/// [`WebhookError::Unverified`] where there is neither a signature nor, without signing, the secret.
pub(super) fn check_head(head: &WebhookRequest<'_>, secrets: &Secrets) -> Result<(), WebhookError> {
    match secrets {
        Secrets { signing: Some(_), .. } => require_one_of(head, &[SIGNATURE]),
        Secrets { signing: None, .. } => verify(head, secrets),
    }
}

/// # Errors
/// [`WebhookError::Unverified`], saying what to set or where to look.
pub(super) fn verify(request: &WebhookRequest<'_>, secrets: &Secrets) -> Result<(), WebhookError> {
    let signing = match secrets {
        Secrets { signing: Some(secret), .. } => secret,
        Secrets { in_url: Some(secret), .. } => {
            return shared_secret::verify(request, "webhook_secret", Some(secret));
        }
        Secrets { signing: None, in_url: None } => {
            return Err(unverified(
                "neither webhook_signing_secret nor webhook_secret is set; set the first where Sinch signs the \
                 account's callbacks, else the second",
            ));
        }
    };
    let header = |name: &str| {
        let value = request.header(name);
        value.ok_or_else(|| {
            unverified(format!("the header {name} is missing; ask Sinch to sign the account's callbacks"))
        })
    };
    let (signature, nonce, timestamp) = (header(SIGNATURE)?, header(NONCE)?, header(TIMESTAMP)?);
    if request.headers.get(ALGORITHM).is_some_and(|algorithm| algorithm != "HmacSHA256") {
        return Err(unverified(format!("{ALGORITHM} is not HmacSHA256")));
    }
    let signature = BASE64.decode(signature).map_err(|_| unverified(format!("{SIGNATURE} is not base64")))?;
    let signed = [request.body, b".", nonce.as_bytes(), b".", timestamp.as_bytes()];
    if !hmac_sha256::verifies(signing.expose_secret().as_bytes(), &signed, &signature) {
        return Err(unverified("the signature does not match; check webhook_signing_secret"));
    }
    signed_at::check(TIMESTAMP, timestamp, &FIVE_MINUTES, request.now)
}
