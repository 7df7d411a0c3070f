//! Standard Webhooks (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md):
//! HMAC-SHA256 over id, timestamp and raw body. Svix sends the same under header names of its own.

use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD as BASE64};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use sha2::Sha256;

use crate::{SettingsError, WebhookError, WebhookRequest};

/// Every delivery is signed anew, so that its timestamp is the time of that delivery.
const AGE_MAX_S: u64 = 5 * 60;

/// As the libraries decode secrets: neither padding nor what the last character says too much matters.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// `whsec_` and base64; the prefix and the padding may be missing.
///
/// # Errors
/// Where it is no such secret. `key` is the setting that holds it.
pub(crate) fn signing_key(key: &str, secret: &SecretString) -> Result<SecretSlice<u8>, SettingsError> {
    let text = secret.expose_secret().trim();
    match LENIENT.decode(text.strip_prefix("whsec_").unwrap_or(text)) {
        Ok(bytes) if !bytes.is_empty() => Ok(bytes.into()),
        _ => Err(SettingsError::new(key, "must be the webhook's signing secret: whsec_ and base64")),
    }
}

/// `prefix` is `webhook` or `svix`; `setting` names what holds the key.
///
/// # Errors
/// [`WebhookError::Unverified`], saying what to look at.
pub(crate) fn verify(
    request: &WebhookRequest<'_>,
    prefix: &str,
    setting: &str,
    key: Option<&SecretSlice<u8>>,
) -> Result<(), WebhookError> {
    let unverified = |why: String| Err(WebhookError::Unverified(why));
    let Some(key) = key else {
        return unverified(format!("{setting} is not set; set it to the webhook's signing secret"));
    };
    let header =
        |name: &str| request.headers.get(format!("{prefix}-{name}")).and_then(|value| value.to_str().ok());
    let (Some(id), Some(timestamp), Some(signatures)) =
        (header("id"), header("timestamp"), header("signature"))
    else {
        return unverified(format!(
            "its headers {prefix}-id, {prefix}-timestamp and {prefix}-signature are missing"
        ));
    };
    // A list, while keys are changed; versions that are not known are passed over.
    let verifies = signatures
        .split(' ')
        .filter_map(|signature| signature.strip_prefix("v1,"))
        .filter_map(|signature| BASE64.decode(signature).ok())
        .any(|signature| matches(key, &[id.as_bytes(), timestamp.as_bytes(), request.body], &signature));
    if !verifies {
        return unverified(format!("the signature does not match; check {setting}"));
    }
    match timestamp.parse::<i64>() {
        Ok(signed_at_s) if request.now.as_second().abs_diff(signed_at_s) <= AGE_MAX_S => Ok(()),
        Ok(_) => unverified("it was signed more than five minutes ago, or ahead of our clock".to_owned()),
        Err(_) => unverified("its timestamp is not a number".to_owned()),
    }
}

fn matches(key: &SecretSlice<u8>, parts: &[&[u8]; 3], signature: &[u8]) -> bool {
    let [id, timestamp, body] = parts;
    Hmac::<Sha256>::new_from_slice(key.expose_secret()).is_ok_and(|mac| {
        let mac = mac.chain_update(id).chain_update(b".").chain_update(timestamp).chain_update(b".");
        mac.chain_update(body).verify_slice(signature).is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_taken_in_every_form_that_it_is_shown_in() {
        let key = |text: &str| signing_key("webhook_secret", &text.into());
        for text in ["whsec_AAECAw==", "whsec_AAECAw", "AAECAw==", " AAECAw\n"] {
            assert_eq!(key(text).unwrap().expose_secret(), [0, 1, 2, 3], "{text}");
        }
        for text in ["whsec_", "", "no base64"] {
            assert_eq!(key(text).unwrap_err().key, "webhook_secret", "{text}");
        }
    }

    #[test]
    fn what_the_specifications_libraries_sign_verifies_and_nothing_else() {
        let vectors = include_str!("../tests/contract/vectors.json");
        let vectors: serde_json::Value = serde_json::from_str(vectors).unwrap();
        for vector in vectors["standard_webhooks"]["vectors"].as_array().unwrap() {
            let text = |name: &str| vector[name].as_str().unwrap();
            let key = signing_key("webhook_secret", &text("secret").into()).unwrap();
            assert_eq!(crate::hex::hex(key.expose_secret()), text("key_hex"), "{vector}");
            let verifies = |changed: &str, key: Option<&SecretSlice<u8>>| {
                let mut headers = http::HeaderMap::new();
                for name in ["id", "timestamp", "signature"] {
                    let value = text(&format!("webhook_{name}"));
                    // A letter in front of a signature makes it one of an unknown version.
                    let value = if name == changed { format!("1{value}") } else { value.to_owned() };
                    let name: http::HeaderName = format!("webhook-{name}").parse().unwrap();
                    headers.insert(name, value.parse().unwrap());
                }
                let body = format!("{}{}", text("body"), if changed == "body" { " " } else { "" });
                let request = WebhookRequest {
                    method: &http::Method::POST,
                    url: "https://relay.example.org/api/webhooks/main",
                    headers: &headers,
                    body: body.as_bytes(),
                    now: jiff::Timestamp::from_second(text("webhook_timestamp").parse().unwrap()).unwrap(),
                    fetched: &[],
                };
                verify(&request, "webhook", "webhook_secret", key).is_ok()
            };
            assert!(verifies("nothing", Some(&key)), "{vector}");
            for changed in ["id", "timestamp", "signature", "body"] {
                assert!(!verifies(changed, Some(&key)), "{changed} of {vector}");
            }
            assert!(!verifies("nothing", None), "{vector}");
        }
    }
}
