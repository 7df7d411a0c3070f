//! The header Idempotency-Key (draft-ietf-httpapi-idempotency-key-header): who it belongs to, and the fingerprint
//! of the request that it stands for.

use app_db::accept::Idempotency;
use http::HeaderMap;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::authentication::Caller;
use crate::problem::Problem;

pub(crate) const HEADER: &str = "idempotency-key";
/// Marks an answer that was given before.
pub(crate) const REPLAYED_HEADER: &str = "idempotent-replayed";

const KEY_CHARS_MAX: usize = 255;

/// The request's key, if it has one. The draft writes it as a string of structured fields, in quotes (RFC 8941
/// section 3.3.3); most clients leave them out, and mean the same key.
///
/// # Errors
/// 400 where there are several, or one that is no key.
pub(crate) fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let key = value.to_str().ok().and_then(|text| unquoted(text.trim()));
    match key.filter(|key| is_key(key)) {
        Some(key) if values.next().is_none() => Ok(Some(key)),
        _ => {
            let detail = format!(
                "Idempotency-Key must be given once: 1 to {KEY_CHARS_MAX} visible ASCII characters, \
                 such as a UUID, in quotes or without"
            );
            Err(Problem::bad_request("invalid_idempotency_key", detail))
        }
    }
}

fn is_key(key: &str) -> bool {
    (1..=KEY_CHARS_MAX).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic())
}

fn unquoted(text: &str) -> Option<String> {
    let Some(rest) = text.strip_prefix('"') else { return Some(text.to_owned()) };
    let quoted = rest.strip_suffix('"')?;
    let mut key = String::with_capacity(quoted.len());
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => key.push(chars.next().filter(|c| matches!(c, '\\' | '"'))?),
            '"' => return None,
            c => key.push(c),
        }
    }
    Some(key)
}

/// What a keyed request stands for. A key belongs to its API key, over all endpoints: the same key on another one
/// is another request. `meaning` is the request in normal form.
pub(crate) fn of(caller: Caller, key: &str, method: &str, path: &str, meaning: &Value) -> Idempotency {
    let digest = |parts: [&str; 3]| -> [u8; 32] {
        let mut sha = Sha256::new();
        for part in parts {
            sha.update(part);
            sha.update("\n");
        }
        sha.finalize().into()
    };
    Idempotency {
        key_hash: digest([&caller.scope(), key, ""]),
        fingerprint: digest([method, path, &meaning.to_string()]),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use uuid::Uuid;

    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        let name = http::HeaderName::from_static(HEADER);
        values.iter().map(|value| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn quoted_and_plain_are_the_same_key() {
        for (text, expected) in
            [("abc-1", "abc-1"), ("\"abc-1\"", "abc-1"), (" \"a\\\"b\\\\c\" ", "a\"b\\c"), ("a\"b", "a\"b")]
        {
            assert_eq!(key(&headers(&[text])).ok().flatten().as_deref(), Some(expected), "{text}");
        }
        assert_eq!(key(&HeaderMap::new()).ok(), Some(None));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let long = "k".repeat(256);
        for values in
            [&[""][..], &["\"\""], &["a b"], &["\"a"], &["\"a\"b\""], &["\"a\\b\""], &[&long], &["a", "a"]]
        {
            assert!(key(&headers(values)).is_err(), "{values:?}");
        }
    }

    #[test]
    fn a_key_belongs_to_its_api_key_and_a_fingerprint_to_its_request() {
        let meaning = serde_json::json!({"to": "+12025550199"});
        let base = of(Caller::Anyone, "k", "POST", "/api/messages/sms", &meaning);
        let other_caller = of(Caller::Key(Uuid::nil()), "k", "POST", "/api/messages/sms", &meaning);
        assert_ne!(base.key_hash, other_caller.key_hash);
        let other_path = of(Caller::Anyone, "k", "POST", "/api/messages/email", &meaning);
        assert_eq!(base.key_hash, other_path.key_hash);
        assert_ne!(base.fingerprint, other_path.fingerprint);
        let other_to = of(Caller::Anyone, "k", "POST", "/api/messages/sms", &serde_json::json!({"to": "+1"}));
        assert_ne!(base.fingerprint, other_to.fingerprint);
    }
}
