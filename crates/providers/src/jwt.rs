//! JSON Web Tokens signed with HMAC-SHA256 (RFC 7519, RFC 7518 section 3.2), as webhooks bring them. No other
//! algorithm is taken, whatever the token's header says.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use sha2::Sha256;

/// The claims of a token that this key signed; nothing where it did not. Times are the caller's to check.
pub(crate) fn claims(token: &str, key: &SecretString) -> Option<Map<String, Value>> {
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, payload) = signed.split_once('.')?;
    let object =
        |text: &str| serde_json::from_slice::<Map<String, Value>>(&BASE64URL.decode(text).ok()?).ok();
    if object(header)?.get("alg")? != "HS256" {
        return None;
    }
    let mac = Hmac::<Sha256>::new_from_slice(key.expose_secret().as_bytes()).ok()?;
    mac.chain_update(signed).verify_slice(&BASE64URL.decode(signature).ok()?).ok()?;
    object(payload)
}
