//! Standard Webhooks (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md):
//! HMAC-SHA256 over id, timestamp and raw body. Svix sends the same under header names of its own.

use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD as BASE64};
use secrecy::{ExposeSecret, SecretSlice, SecretString};

use crate::signed_at::FIVE_MINUTES;
use crate::webhook::unverified;
use crate::{SettingsError, WebhookError, WebhookRequest, hmac_sha256, signed_at};

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
    let Some(key) = key else {
        return Err(unverified(format!("{setting} is not set; set it to the webhook's signing secret")));
    };
    let header = |name: &str| request.header(format!("{prefix}-{name}"));
    let (Some(id), Some(timestamp), Some(signatures)) =
        (header("id"), header("timestamp"), header("signature"))
    else {
        return Err(unverified(format!(
            "its headers {prefix}-id, {prefix}-timestamp and {prefix}-signature are missing"
        )));
    };
    let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", request.body];
    // A list, while keys are changed; versions that are not known are passed over.
    let verifies = signatures
        .split(' ')
        .filter_map(|signature| signature.strip_prefix("v1,"))
        .filter_map(|signature| BASE64.decode(signature).ok())
        .any(|signature| hmac_sha256::verifies(key.expose_secret(), &signed, &signature));
    if !verifies {
        return Err(unverified(format!("the signature does not match; check {setting}")));
    }
    signed_at::check(&format!("{prefix}-timestamp"), timestamp, &FIVE_MINUTES, request.now)
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
