//! Signed webhooks (https://developer.vonage.com/en/getting-started/concepts/webhooks): a JSON Web Token that carries
//! the body's hash. Does not cover the URL.

use http::header::AUTHORIZATION;
use secrecy::SecretString;
use serde_json::{Map, Value};

use crate::hex::is_sha256_of;
use crate::signed_at::A_DAY;
use crate::webhook::unverified;
use crate::{WebhookError, WebhookRequest, jwt, signed_at};

/// Whose webhooks they must be.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) api_key: String,
    pub(super) application_id: Option<String>,
    pub(super) signature_secret: Option<SecretString>,
}

/// # Errors
/// [`WebhookError::Unverified`] where the token, which stands in a header, is not of this account.
pub(super) fn check_head(head: &WebhookRequest<'_>, account: &Account) -> Result<(), WebhookError> {
    claims_of(head, account).map(drop)
}

fn claims_of(request: &WebhookRequest<'_>, account: &Account) -> Result<Map<String, Value>, WebhookError> {
    let Some(secret) = &account.signature_secret else {
        return Err(unverified(
            "signature_secret is not set; set it to the signature secret in the API settings of Vonage's dashboard",
        ));
    };
    let header = request.header(AUTHORIZATION);
    let token = header.and_then(|value| value.strip_prefix("Bearer ")).ok_or_else(|| {
        unverified("it brings no token in Authorization; switch on signed webhooks in Vonage's dashboard")
    })?;
    jwt::claims(token, secret).ok_or_else(|| {
        unverified("its token is not signed with HS256 and signature_secret; check signature_secret")
    })
}

/// # Errors
/// [`WebhookError::Unverified`], saying what to look at.
pub(super) fn verify(request: &WebhookRequest<'_>, account: &Account) -> Result<(), WebhookError> {
    let claims = claims_of(request, account)?;
    let claimed = claims.get("payload_hash").and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase();
    if !is_sha256_of(&claimed, request.body) {
        return Err(unverified("the body does not match its token's payload_hash"));
    }
    is_of(account, &claims)?;
    match claims.get("iat").and_then(Value::as_i64) {
        // A webhook is repeated for a day; whether each time with a new token is not documented. A replay is stopped
        // by its message id.
        Some(iat) => signed_at::check_s(iat, &A_DAY, request.now),
        None => Err(unverified("its token has no iat")),
    }
}

/// Of one signature secret's several keys and applications, only ours. A claim that is absent says nothing.
fn is_of(account: &Account, claims: &Map<String, Value>) -> Result<(), WebhookError> {
    let differs = |name: &str, ours: &str| claims.get(name).is_some_and(|claim| claim != ours);
    if differs("api_key", &account.api_key) {
        return Err(unverified("its token is of another api_key"));
    }
    match &account.application_id {
        Some(ours) if differs("application_id", ours) => {
            Err(unverified("its token is of another application than application_id"))
        }
        _ => Ok(()),
    }
}
