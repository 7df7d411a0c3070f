//! What is kept of a rejected webhook's headers and URL. Deny by default: a value is kept only where its name is known to
//! hold no secret and something reads it; any other value is replaced by its length.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName};
use serde_json::{Map, Value};

/// Headers that say how the request came and how its body is to be read.
const HEADERS: [&str; 20] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "connection",
    "content-disposition",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "forwarded",
    "host",
    "transfer-encoding",
    "user-agent",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
    "x-request-id",
    "traceparent",
];
/// Headers that the kinds verify a webhook with. A signature proves this request alone, and is no credential.
const SIGNATURES: [&str; 26] = [
    "messagebird-request-timestamp",
    "messagebird-signature",
    "messagebird-signature-jwt",
    "svix-id",
    "svix-signature",
    "svix-timestamp",
    "telnyx-signature-ed25519",
    "telnyx-timestamp",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
    "x-amz-sns-message-type",
    "x-hub-signature-256",
    "x-plivo-signature-ma-v3",
    "x-plivo-signature-v2",
    "x-plivo-signature-v2-nonce",
    "x-plivo-signature-v3",
    "x-plivo-signature-v3-nonce",
    "x-sinch-webhook-signature",
    "x-sinch-webhook-signature-algorithm",
    "x-sinch-webhook-signature-nonce",
    "x-sinch-webhook-signature-timestamp",
    "x-twilio-email-event-webhook-signature",
    "x-twilio-email-event-webhook-timestamp",
    "x-twilio-signature",
    "x-twilio-webhooks-signature-settings",
];
/// Parameters that we put into URLs ourselves.
const OURS: [&str; 2] = ["message_id", "attempt"];
/// A parameter whose name has one of these in it holds a secret, even where a kind reads all of its form.
const SECRET_WORDS: [&str; 9] =
    ["secret", "token", "key", "password", "passwd", "auth", "credential", "signature", "pwd"];

pub(super) fn headers_as_json(headers: &HeaderMap) -> Value {
    let mut map = Map::new();
    for (name, value) in headers {
        let text = String::from_utf8_lossy(value.as_bytes());
        let text = Value::from(if is_kept(name) { text.into_owned() } else { mask(&text) });
        match map.get_mut(name.as_str()) {
            Some(Value::Array(values)) => values.push(text),
            _ => {
                map.insert(name.to_string(), Value::Array(vec![text]));
            }
        }
    }
    Value::Object(map)
}

fn is_kept(name: &HeaderName) -> bool {
    let name = name.as_str();
    HEADERS.contains(&name) || SIGNATURES.contains(&name)
}

/// `reads` tells which parameters the kind reads.
pub(super) fn target_without_secrets(target: &str, reads: impl Fn(&str) -> bool) -> String {
    let Some((path, query)) = target.split_once('?') else { return target.to_owned() };
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, value)) if is_kept_parameter(&decoded(name), value, &reads) => pair.to_owned(),
        Some((name, value)) => format!("{name}={}", mask(value)),
        None if pair.is_empty() => String::new(),
        // It may be a secret without a name.
        None => mask(pair),
    });
    format!("{path}?{}", pairs.collect::<Vec<_>>().join("&"))
}

fn is_kept_parameter(name: &str, value: &str, reads: impl Fn(&str) -> bool) -> bool {
    // Other servers take a semicolon for a separator: behind it stands another name.
    if value.contains(';') {
        return false;
    }
    let lower = name.to_ascii_lowercase();
    let is_secret = SECRET_WORDS.iter().any(|word| lower.contains(word));
    OURS.contains(&name) || (reads(name) && !is_secret)
}

/// A name as servers read it.
fn decoded(name: &str) -> Cow<'_, str> {
    form_urlencoded::parse(name.as_bytes()).next().map_or(Cow::Borrowed(""), |(name, _)| name)
}

/// Tells how long the value was, and nothing else.
fn mask(value: &str) -> String {
    format!("…({})", value.chars().count())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::AUTHORIZATION;

    use super::*;

    fn masked(query: &str) -> String {
        let reads = |name: &str| matches!(name, "From" | "To" | "ApiKey" | "hub.challenge");
        let target = target_without_secrets(&format!("/api/webhooks/p?{query}"), reads);
        target.strip_prefix("/api/webhooks/p?").unwrap().to_owned()
    }

    #[test]
    fn parameters_that_a_kind_does_not_read_are_masked() {
        for (query, expected) in [
            ("apikey=hush", "apikey=…(4)"),
            ("access_token=hush", "access_token=…(4)"),
            ("password=hush", "password=…(4)"),
            ("s%65cret=hush", "s%65cret=…(4)"),
            ("SECRET=hush&x=1", "SECRET=…(4)&x=…(1)"),
            ("hub.verify_token=v&hub.challenge=17", "hub.verify_token=…(1)&hub.challenge=17"),
            ("From=%2B12025550100&To=%2B1&ApiKey=hush", "From=%2B12025550100&To=%2B1&ApiKey=…(4)"),
            ("Fr%6fm=1", "Fr%6fm=1"),
            ("message_id=019a&attempt=1", "message_id=019a&attempt=1"),
            ("message_id=1;apikey=hush", "message_id=…(13)"),
            ("From=1;apikey=hush", "From=…(13)"),
            ("hush", "…(4)"),
            ("=hush", "=…(4)"),
            ("", ""),
        ] {
            assert_eq!(masked(query), expected, "{query}");
        }
        assert_eq!(target_without_secrets("/api/webhooks/sms", |_| true), "/api/webhooks/sms");
    }

    #[test]
    fn headers_that_no_kind_reads_are_masked_and_signatures_are_kept() {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer hush"));
        headers.append("x-twilio-signature", HeaderValue::from_static("a"));
        headers.append("x-twilio-signature", HeaderValue::from_static("b"));
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        for name in
            ["x-api-key", "x-auth-token", "x-webhook-secret", "x-amz-security-token", "cookie", "x-new"]
        {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static("hush"));
        }
        let kept = headers_as_json(&headers);
        assert_eq!(kept["x-twilio-signature"], serde_json::json!(["a", "b"]));
        assert_eq!(kept["content-type"], serde_json::json!(["application/json"]));
        assert_eq!(kept["authorization"], serde_json::json!(["…(11)"]));
        assert!(!kept.to_string().contains("hush"), "{kept}");
        assert_eq!(kept.as_object().unwrap().len(), headers.keys_len());
    }
}
