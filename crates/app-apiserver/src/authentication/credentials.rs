//! What a request brings in its `Authorization` header.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::HeaderMap;
use http::header::AUTHORIZATION;

/// Longer ones hold no key of ours.
const BASIC_CHARS_MAX: usize = 1024;

/// A credential in one of the two schemes that carry our keys.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Credential<'a> {
    /// RFC 6750 section 2.1.
    Bearer(&'a str),
    /// RFC 7617: clients of other services send their key as user or as password.
    Basic { user: String, password: String },
}

impl<'a> Credential<'a> {
    /// The scheme's case does not matter (RFC 9110 section 11.1).
    pub(super) fn of(headers: &'a HeaderMap) -> Option<Self> {
        let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
        let token = token.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return Some(Self::Bearer(token));
        }
        if !scheme.eq_ignore_ascii_case("basic") || token.len() > BASIC_CHARS_MAX {
            return None;
        }
        let text = String::from_utf8(BASE64.decode(token).ok()?).ok()?;
        let (user, password) = text.split_once(':')?;
        Some(Self::Basic { user: user.to_owned(), password: password.to_owned() })
    }
}

/// The token of the scheme `Bearer`.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    match Credential::of(headers)? {
        Credential::Bearer(token) => Some(token),
        Credential::Basic { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn with(authorization: &str) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_str(authorization).unwrap())])
    }

    #[test]
    fn a_key_comes_as_bearer_or_as_either_half_of_basic() {
        assert_eq!(Credential::of(&with("bEARER  app_x ")), Some(Credential::Bearer("app_x")));
        let basic = |text: &str| format!("basic {}", BASE64.encode(text));
        let of = |user: &str, password: &str| {
            Some(Credential::Basic { user: user.to_owned(), password: password.to_owned() })
        };
        for (text, expected) in [
            ("app_x:", of("app_x", "")),
            ("api:app_x", of("api", "app_x")),
            ("a:b:c", of("a", "b:c")),
            (":", of("", "")),
            ("no colon", None),
        ] {
            assert_eq!(Credential::of(&with(&basic(text))), expected, "{text}");
        }
        for header in ["Basic", "Basic !", "Basic /w==", "Digest x", "app_x", "Bearer"] {
            assert_eq!(Credential::of(&with(header)), None, "{header}");
        }
        let long = basic(&format!("{}:x", "a".repeat(2000)));
        assert_eq!(Credential::of(&with(&long)), None);
        assert_eq!(Credential::of(&HeaderMap::new()), None);
    }
}
