//! The secret that proves generic webhooks.

use http::HeaderMap;
use secrecy::ExposeSecret;
use service::config::WebhookSecret;
use subtle::{Choice, ConstantTimeEq};

use super::credentials::bearer;

/// Why a generic webhook is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    WrongSecret,
    NoSecretConfigured,
}

/// Whether a generic webhook proves its sender. Without a configured secret, only a server that is open takes it.
///
/// # Errors
/// Why it is refused.
pub(crate) fn check_webhook_secret(
    secret: Option<&WebhookSecret>,
    is_open: bool,
    headers: &HeaderMap,
) -> Result<(), Refusal> {
    match secret {
        None if is_open => Ok(()),
        None => Err(Refusal::NoSecretConfigured),
        Some(secret) => {
            let given = bearer(headers).unwrap_or_default().as_bytes();
            // All of them, so that the time taken does not tell which one is right.
            let same = secret
                .values()
                .fold(Choice::from(0), |same, value| same | given.ct_eq(value.expose_secret().as_bytes()));
            if bool::from(same) { Ok(()) } else { Err(Refusal::WrongSecret) }
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::AUTHORIZATION;

    use super::*;

    fn with(authorization: &str) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_str(authorization).unwrap())])
    }

    #[test]
    fn a_secret_is_compared_whole_and_needed_unless_the_server_is_open() {
        let secret = WebhookSecret::from("hush");
        let check = |headers| check_webhook_secret(Some(&secret), true, &headers);
        assert_eq!(check(with("Bearer hush")), Ok(()));
        assert_eq!(check(with("bearer hush")), Ok(()));
        for wrong in ["Bearer hus", "Bearer hushh", "Basic hush", "hush"] {
            assert_eq!(check(with(wrong)), Err(Refusal::WrongSecret), "{wrong}");
        }
        assert_eq!(check(HeaderMap::new()), Err(Refusal::WrongSecret));
        assert_eq!(check_webhook_secret(None, true, &HeaderMap::new()), Ok(()));
        let refused = check_webhook_secret(None, false, &HeaderMap::new());
        assert_eq!(refused, Err(Refusal::NoSecretConfigured));
    }
}
