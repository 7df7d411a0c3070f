//! The `Authorization` of calls: marked as sensitive, so that `Debug` does not show it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};

use crate::SettingsError;

/// `{scheme} {secret}`, for instance `Bearer` and the value of the setting `key`.
///
/// # Errors
/// Where the secret cannot stand in a header.
pub(crate) fn token(key: &str, scheme: &str, secret: &SecretString) -> Result<HeaderValue, SettingsError> {
    sensitive(key, &format!("{scheme} {}", secret.expose_secret()))
}

/// `Basic` (RFC 7617); `key` is the setting that holds the password.
///
/// # Errors
/// Where the user has a colon.
pub(crate) fn basic(key: &str, user: &str, password: &SecretString) -> Result<HeaderValue, SettingsError> {
    if user.contains(':') {
        return Err(SettingsError::new(
            key,
            "belongs to a user with a colon, which Basic authentication cannot send",
        ));
    }
    sensitive(key, &format!("Basic {}", BASE64.encode(format!("{user}:{}", password.expose_secret()))))
}

/// The bare value, for headers other than `Authorization`.
///
/// # Errors
/// Where it cannot stand in a header.
pub(crate) fn sensitive(key: &str, text: &str) -> Result<HeaderValue, SettingsError> {
    let mut value =
        HeaderValue::try_from(text).map_err(|_| SettingsError::new(key, "cannot be sent in a header"))?;
    value.set_sensitive(true);
    Ok(value)
}
