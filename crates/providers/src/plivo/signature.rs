//! `X-Plivo-Signature-V3` and `-V2` (https://www.plivo.com/docs/messaging/concepts/signature-validation): prove that
//! Plivo sent a webhook. Each has a twin, `-Ma-`, made with the main account's token where a subaccount is used.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::Method;
use secrecy::{ExposeSecret, SecretString};

use crate::callback::query_of;
use crate::media_type::is_form;
use crate::webhook::{require_one_of, unverified};
use crate::{WebhookError, WebhookRequest, hmac_sha256};

const V3: [&str; 2] = ["x-plivo-signature-v3", "x-plivo-signature-ma-v3"];
const V3_NONCE: &str = "x-plivo-signature-v3-nonce";
const V2: [&str; 2] = ["x-plivo-signature-v2", "x-plivo-signature-ma-v2"];
const V2_NONCE: &str = "x-plivo-signature-v2-nonce";

/// What a signature vouches for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signed {
    /// URL, query and parameters (V3).
    Whole,
    /// The URL without its query (V2).
    AddressOnly,
}

/// # Errors
/// [`WebhookError::Unverified`] where there is no signature.
pub(super) fn check_head(head: &WebhookRequest<'_>) -> Result<(), WebhookError> {
    require_one_of(head, &[V3, V2].concat())
}

/// Where there is a V3 signature, it decides.
///
/// # Errors
/// [`WebhookError::Unverified`], saying what to look at.
pub(super) fn verify(request: &WebhookRequest<'_>, token: &SecretString) -> Result<Signed, WebhookError> {
    let has = |names: [&str; 2]| names.iter().any(|name| request.headers.contains_key(*name));
    let (names, nonce_name, signed) = if has(V3) {
        (V3, V3_NONCE, Signed::Whole)
    } else if has(V2) {
        (V2, V2_NONCE, Signed::AddressOnly)
    } else {
        return Err(unverified("the headers X-Plivo-Signature-V3 and X-Plivo-Signature-V2 are missing"));
    };
    let Some(nonce) = request.header(nonce_name) else {
        return Err(unverified("the header with the signature's nonce is missing"));
    };
    let text = match signed {
        Signed::Whole => signed_by_v3(request, nonce)?,
        Signed::AddressOnly => format!("{}{nonce}", address(request.url)),
    };
    // Several may stand in one header, comma-separated: while a token is replaced, there are two.
    let given = names
        .iter()
        .flat_map(|name| request.headers.get_all(*name))
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    if given.map(str::trim).any(|signature| matches(token, &text, signature)) {
        Ok(signed)
    } else {
        Err(unverified(
            "the signature does not match; check that auth_token is the token of the account or subaccount, and \
             that APP_PUBLIC_URL is the address set at Plivo",
        ))
    }
}

fn matches(token: &SecretString, text: &str, signature: &str) -> bool {
    let Ok(signature) = BASE64.decode(signature) else { return false };
    hmac_sha256::verifies(token.expose_secret().as_bytes(), &[text.as_bytes()], &signature)
}

/// The URL without query and fragment.
fn address(url: &str) -> &str {
    &url[..url.find(['?', '#']).unwrap_or(url.len())]
}

/// `address?query.parameters.nonce`: both sorted, the query as `name=value` with `&` between, the parameters run
/// together. Without a body's parameters `address?query.nonce`, or `address.nonce`; with them the `?` is always there.
fn signed_by_v3(request: &WebhookRequest<'_>, nonce: &str) -> Result<String, WebhookError> {
    let mut query: Vec<_> = form_urlencoded::parse(query_of(request.url).as_bytes()).collect();
    query.sort_unstable();
    let query: Vec<String> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let query = query.join("&");
    let parameters = if request.method == Method::GET { String::new() } else { body_parameters(request)? };
    let mut signed = address(request.url).to_owned();
    if !query.is_empty() || !parameters.is_empty() {
        signed.push('?');
        signed.push_str(&query);
    }
    if !query.is_empty() && !parameters.is_empty() {
        signed.push('.');
    }
    Ok(format!("{signed}{parameters}.{nonce}"))
}

fn body_parameters(request: &WebhookRequest<'_>) -> Result<String, WebhookError> {
    if !is_form(request) && !request.body.is_empty() {
        return Err(unverified("the body is not a form, and no signature of Plivo covers another"));
    }
    let mut parameters: Vec<(Cow<'_, str>, Cow<'_, str>)> = form_urlencoded::parse(request.body).collect();
    parameters.sort_unstable();
    Ok(parameters.iter().map(|(name, value)| format!("{name}{value}")).collect())
}
