//! `MessageBird-Signature-JWT` (https://developers.messagebird.com/api/#verifying-http-requests): proves that
//! MessageBird sent a webhook, by a token over its address and body. The older `MessageBird-Signature` is not taken.

use secrecy::SecretString;
use serde_json::{Map, Value};

use crate::hex::is_sha256_of;
use crate::webhook::unverified;
use crate::{WebhookError, WebhookRequest, jwt};

const HEADER: &str = "messagebird-signature-jwt";
const ALGORITHMS: &[&str] = &["HS256", "HS384", "HS512"];
/// Tokens live for a minute and are made anew for each delivery; clocks differ.
const LEEWAY_S: i64 = 5;

/// # Errors
/// [`WebhookError::Unverified`] where the token, which stands in a header, is not signed with the key.
pub(super) fn check_head(
    head: &WebhookRequest<'_>,
    signing_key: Option<&SecretString>,
) -> Result<(), WebhookError> {
    claims_of(head, signing_key).map(drop)
}

fn claims_of(
    request: &WebhookRequest<'_>,
    signing_key: Option<&SecretString>,
) -> Result<Map<String, Value>, WebhookError> {
    let signing_key = signing_key.ok_or_else(|| {
        unverified("signing_key is not set; it is the account's signing key, not the access key")
    })?;
    let token = request.header(HEADER);
    let token = token.ok_or_else(|| unverified("the header MessageBird-Signature-JWT is missing"))?;
    jwt::claims_of(token, signing_key, ALGORITHMS)
        .ok_or_else(|| unverified("the signature does not match; check signing_key"))
}

/// # Errors
/// [`WebhookError::Unverified`], saying what to look at.
pub(super) fn verify(
    request: &WebhookRequest<'_>,
    signing_key: Option<&SecretString>,
) -> Result<(), WebhookError> {
    let claims = claims_of(request, signing_key)?;
    if claims.get("iss").and_then(Value::as_str) != Some("MessageBird") {
        return Err(unverified("its token was not issued by MessageBird"));
    }
    check_times(&claims, request.now.as_second())?;
    if !claims_hash(&claims, "url_hash", request.url.as_bytes()) {
        return Err(unverified(
            "its token is for another address; check that APP_PUBLIC_URL is the address set at MessageBird",
        ));
    }
    let covered = match request.body {
        // A token over an empty body has no such claim; one with it was made for something else.
        [] => !claims.contains_key("payload_hash"),
        body => claims_hash(&claims, "payload_hash", body),
    };
    if covered { Ok(()) } else { Err(unverified("its token is for another body")) }
}

fn check_times(claims: &Map<String, Value>, now_s: i64) -> Result<(), WebhookError> {
    let time = |name: &str| claims.get(name).and_then(Value::as_i64);
    let expires_s = time("exp").ok_or_else(|| unverified("its token says not when it expires"))?;
    if now_s > expires_s.saturating_add(LEEWAY_S) {
        return Err(unverified("its token has expired; check this machine's clock"));
    }
    if time("nbf").is_some_and(|from_s| now_s < from_s.saturating_sub(LEEWAY_S)) {
        return Err(unverified("its token is not valid yet; check this machine's clock"));
    }
    Ok(())
}

fn claims_hash(claims: &Map<String, Value>, name: &str, bytes: &[u8]) -> bool {
    let claimed = claims.get(name).and_then(Value::as_str).unwrap_or_default();
    is_sha256_of(claimed, bytes)
}
