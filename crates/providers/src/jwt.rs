//! JSON Web Tokens signed with an HMAC (RFC 7519, RFC 7518 section 3.2), as webhooks bring them. No algorithm of
//! another family is taken, whatever the token's header says.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use sha2::{Sha256, Sha384, Sha512};

/// The claims of a token that this key signed with HMAC-SHA256; nothing where it did not. Times are the caller's to
/// check.
pub(crate) fn claims(token: &str, key: &SecretString) -> Option<Map<String, Value>> {
    claims_of(token, key, &["HS256"])
}

/// As [`claims`], for a provider that may sign with any of these: `HS256`, `HS384`, `HS512`.
pub(crate) fn claims_of(token: &str, key: &SecretString, algorithms: &[&str]) -> Option<Map<String, Value>> {
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, payload) = signed.split_once('.')?;
    let object =
        |text: &str| serde_json::from_slice::<Map<String, Value>>(&BASE64URL.decode(text).ok()?).ok();
    let header = object(header)?;
    let algorithm = header.get("alg")?.as_str().filter(|algorithm| algorithms.contains(algorithm))?;
    let (key, signature) = (key.expose_secret().as_bytes(), BASE64URL.decode(signature).ok()?);
    let verified = match algorithm {
        "HS256" => Hmac::<Sha256>::new_from_slice(key).ok()?.chain_update(signed).verify_slice(&signature),
        "HS384" => Hmac::<Sha384>::new_from_slice(key).ok()?.chain_update(signed).verify_slice(&signature),
        "HS512" => Hmac::<Sha512>::new_from_slice(key).ok()?.chain_update(signed).verify_slice(&signature),
        _ => return None,
    };
    verified.ok()?;
    object(payload)
}
