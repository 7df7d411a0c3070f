//! Mailgun's signature (https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks): HMAC
//! over timestamp and token. The rest of the body is not covered: HTTPS keeps it from being altered.

use secrecy::{ExposeSecret, SecretString};

use crate::signed_at::Window;
use crate::webhook::unverified;
use crate::{WebhookError, WebhookRequest, hmac_sha256, signed_at};

/// A post is repeated for eight hours, perhaps with its old timestamp. Older ones are replays.
const WINDOW: Window = Window { age_s_max: 24 * 3600, ahead_s_max: 300, words: "a day" };
/// The two that are signed run together: their lengths tell where one ends.
const TIMESTAMP_BYTES: usize = 10;
const TOKEN_BYTES: usize = 50;

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
    let unverified = |why: &str| Err(unverified(why));
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
    if (timestamp.len(), token.len()) != (TIMESTAMP_BYTES, TOKEN_BYTES) {
        return unverified("its timestamp has not ten digits, or its token not fifty");
    }
    let (key, signed) = (key.expose_secret().as_bytes(), [timestamp.as_bytes(), token.as_bytes()]);
    if !hmac_sha256::verifies_hex(key, &signed, signature.as_bytes()) {
        return unverified(
            "the signature does not match; check webhook_signing_key, which is not the API key",
        );
    }
    signed_at::check("its timestamp", timestamp, &WINDOW, request.now)
}
