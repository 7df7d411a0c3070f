//! Mailgun's signature (https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks): HMAC
//! over timestamp and token. The rest of the body is not covered: HTTPS keeps it from being altered.

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::hex::hex;
use crate::{WebhookError, WebhookRequest};

/// A post is repeated for eight hours, perhaps with its old timestamp. Older ones are replays.
const AGE_MAX_S: i64 = 24 * 3600;

/// Who may have signed. Nothing: whoever posts is believed.
pub(super) type Key<'a> = Option<Option<&'a SecretString>>;

/// What a post says to prove itself.
#[derive(Debug, Default)]
pub(super) struct Signed<'a> {
    pub(super) timestamp: &'a str,
    pub(super) token: &'a str,
    pub(super) signature: &'a str,
}

/// # Errors
/// [`WebhookError::Unverified`], saying what to look at.
pub(super) fn verify(
    request: &WebhookRequest<'_>,
    signed: &Signed<'_>,
    key: Key<'_>,
) -> Result<(), WebhookError> {
    let unverified = |why: &str| Err(WebhookError::Unverified(why.to_owned()));
    let key = match key {
        None => return Ok(()),
        Some(None) => {
            return unverified(
                "webhook_signing_key is not set; set it to the HTTP webhook signing key of Mailgun's API security page",
            );
        }
        Some(Some(key)) => key,
    };
    let Signed { timestamp, token, signature } = signed;
    if timestamp.is_empty() || token.is_empty() || signature.is_empty() {
        return unverified("it has no timestamp, token and signature");
    }
    let Ok(mac) = Hmac::<Sha256>::new_from_slice(key.expose_secret().as_bytes()) else {
        return unverified("webhook_signing_key cannot sign");
    };
    let expected = mac.chain_update(timestamp).chain_update(token).finalize().into_bytes();
    if !bool::from(hex(&expected).as_bytes().ct_eq(signature.as_bytes())) {
        return unverified(
            "the signature does not match; check webhook_signing_key, which is not the API key",
        );
    }
    match timestamp.parse::<i64>() {
        Ok(signed_at_s) if request.now.as_second().saturating_sub(signed_at_s) <= AGE_MAX_S => Ok(()),
        Ok(_) => unverified("it was signed more than a day ago"),
        Err(_) => unverified("its timestamp is not a number"),
    }
}
