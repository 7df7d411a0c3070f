//! Who sent a webhook: the Event Webhook's ECDSA signature
//! (https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features)
//! and Inbound Parse's secret. Works on raw bytes only: what is parsed first cannot be verified.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{DerSignature, VerifyingKey};
use p256::pkcs8::DecodePublicKey;
use secrecy::SecretString;

use crate::signed_at::Window;
use crate::webhook::{require_one_of, unverified};
use crate::{SettingsError, WebhookError, WebhookRequest, shared_secret, signed_at};

const SIGNATURE: &str = "x-twilio-email-event-webhook-signature";
const TIMESTAMP: &str = "x-twilio-email-event-webhook-timestamp";

/// SendGrid repeats a post for a day, perhaps with its old timestamp. Older ones are replays; so is a week's worth
/// of clock error.
const WINDOW: Window = Window { age_s_max: 7 * 24 * 3600, ahead_s_max: i64::MAX, words: "a week" };

/// The key as SendGrid's settings show it: base64 of a DER SubjectPublicKeyInfo. PEM armour is taken off.
///
/// # Errors
/// Where it is no P-256 public key.
pub(super) fn public_key(text: &str) -> Result<VerifyingKey, SettingsError> {
    let wrong = || {
        SettingsError::new(
            "webhook_public_key",
            "is not a P-256 public key; copy the verification key from SendGrid's settings of the Event Webhook, \
             which begins with MFkw",
        )
    };
    let base64: String =
        text.lines().map(str::trim).filter(|line| !line.starts_with("-----")).collect::<Vec<_>>().concat();
    let der = BASE64.decode(base64).map_err(|_| wrong())?;
    VerifyingKey::from_public_key_der(&der).map_err(|_| wrong())
}

/// # Errors
/// [`WebhookError::Unverified`] where there is no signature.
pub(super) fn check_head_of_events(head: &WebhookRequest<'_>) -> Result<(), WebhookError> {
    require_one_of(head, &[SIGNATURE])
}

/// # Errors
/// [`WebhookError::Unverified`], saying what to look at.
pub(super) fn verify_events(
    request: &WebhookRequest<'_>,
    key: Option<&VerifyingKey>,
) -> Result<(), WebhookError> {
    let Some(key) = key else {
        return Err(unverified(
            "webhook_public_key is not set; set it to the verification key that SendGrid shows when Signed Event \
             Webhook is switched on",
        ));
    };
    let header = |name| request.header(name);
    let (Some(signature), Some(timestamp)) = (header(SIGNATURE), header(TIMESTAMP)) else {
        return Err(unverified(
            "the signature's headers are missing; switch on Signed Event Webhook in SendGrid's settings",
        ));
    };
    let mismatch = || unverified("the signature does not match; check webhook_public_key");
    let signature = BASE64.decode(signature).map_err(|_| mismatch())?;
    let signature = DerSignature::from_bytes(&signature).map_err(|_| mismatch())?;
    let signed = [timestamp.as_bytes(), request.body].concat();
    key.verify(&signed, &signature).map_err(|_| mismatch())?;
    signed_at::check("its timestamp", timestamp, &WINDOW, request.now)
}

/// Inbound Parse is unsigned: what proves it is a secret in the URL that only SendGrid was told.
///
/// # Errors
/// [`WebhookError::Unverified`], saying what to look at.
pub(super) fn verify_inbound(
    request: &WebhookRequest<'_>,
    secret: Option<&SecretString>,
) -> Result<(), WebhookError> {
    let Some(secret) = secret else {
        return Err(unverified(
            "inbound_secret is not set; set it, and add ?secret= with the same value to the URL in SendGrid's \
             Inbound Parse settings",
        ));
    };
    let Some(given) = shared_secret::parameter(request) else {
        return Err(unverified("the URL has no ?secret=; add it in SendGrid's Inbound Parse settings"));
    };
    if shared_secret::is(&given, secret) {
        Ok(())
    } else {
        Err(unverified("the secret in the URL is not inbound_secret"))
    }
}
