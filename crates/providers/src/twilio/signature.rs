//! `X-Twilio-Signature` (https://www.twilio.com/docs/usage/webhooks/webhooks-security): proves that Twilio sent a
//! webhook. Must not read the parameters for anything else.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use http::Method;
use secrecy::{ExposeSecret, SecretString};
use sha1::Sha1;

use crate::callback::query_of;
use crate::hex::is_sha256_of;
use crate::media_type::is_form;
use crate::webhook::{require_one_of, unverified};
use crate::{WebhookError, WebhookRequest, hmac_sha256};

/// The keys that can verify: the account's primary token, and the shared key's secret where one is configured.
#[derive(Debug)]
pub(super) struct SigningKeys {
    pub(super) auth_token: SecretString,
    pub(super) shared_key_secret: Option<SecretString>,
}

const SIGNATURE: &str = "x-twilio-signature";
const SIGNATURE_SETTINGS: &str = "x-twilio-webhooks-signature-settings";

/// # Errors
/// [`WebhookError::Unverified`] where there is no signature.
pub(super) fn check_head(head: &WebhookRequest<'_>) -> Result<(), WebhookError> {
    require_one_of(head, &[SIGNATURE])
}

/// # Errors
/// [`WebhookError::Unverified`], saying what to look at.
pub(super) fn verify(request: &WebhookRequest<'_>, keys: &SigningKeys) -> Result<(), WebhookError> {
    let header = |name| request.header(name);
    let signature =
        header(SIGNATURE).ok_or_else(|| unverified("the header X-Twilio-Signature is missing"))?;
    let signature = BASE64.decode(signature).map_err(|_| unverified("X-Twilio-Signature is not base64"))?;
    let url = request.url.split_once('#').map_or(request.url, |(url, _fragment)| url);
    let parameters = signed_parameters(request, url)?;
    // As it stands is how it is signed mostly.
    let matches = |check: &dyn Fn(&str) -> bool| {
        check(url) || url_variants(url).iter().any(|variant| variant != url && check(variant))
    };

    // The header decides the algorithm. Where a shared key is configured, a request without the header is a
    // downgrade: whoever knows only the token could have made it.
    if request.headers.contains_key(SIGNATURE_SETTINGS) {
        let settings = header(SIGNATURE_SETTINGS).unwrap_or_default();
        if !settings.split(',').any(|pair| pair.trim() == "algorithm=HMAC_SHA256") {
            return Err(unverified(
                "X-Twilio-Webhooks-Signature-Settings names an algorithm that is not known",
            ));
        }
        let Some(secret) = &keys.shared_key_secret else {
            return Err(unverified(
                "Twilio signed it with a shared key; set webhook_shared_key_secret to that key's secret",
            ));
        };
        let key = secret.expose_secret().as_bytes();
        if matches(&|url| hmac_sha256::verifies(key, &[url.as_bytes(), &parameters], &signature)) {
            return Ok(());
        }
        return Err(unverified(
            "the signature does not match; check webhook_shared_key_secret, and that APP_PUBLIC_URL is the \
             address set at Twilio",
        ));
    }
    if keys.shared_key_secret.is_some() {
        return Err(unverified(
            "webhook_shared_key_secret is set, and this webhook is signed in the older way; \
             attach the shared key at Twilio, or remove the setting",
        ));
    }
    if matches(&|url| hmac_sha1_matches(&keys.auth_token, url, &parameters, &signature)) {
        return Ok(());
    }
    Err(unverified(
        "the signature does not match; check that auth_token is the account's primary token, and that \
         APP_PUBLIC_URL is the address set at Twilio",
    ))
}

/// What is signed after the URL: of a form every parameter, names sorted, each followed by its decoded value; a
/// repeated name once per distinct value, sorted. Of anything else nothing, but then the URL carries the body's
/// hash, and a body without one proves nothing.
fn signed_parameters(request: &WebhookRequest<'_>, url: &str) -> Result<Vec<u8>, WebhookError> {
    if request.method == Method::GET {
        return Ok(Vec::new());
    }
    if is_form(request) {
        let mut parameters: Vec<_> = form_urlencoded::parse(request.body).collect();
        parameters.sort_unstable();
        parameters.dedup();
        let mut signed = Vec::with_capacity(request.body.len());
        for (name, value) in &parameters {
            signed.extend_from_slice(name.as_bytes());
            signed.extend_from_slice(value.as_bytes());
        }
        return Ok(signed);
    }
    let claimed = form_urlencoded::parse(query_of(url).as_bytes()).find(|(name, _)| name == "bodySHA256");
    let Some((_, claimed)) = claimed else {
        return Err(unverified("the body is not a form, and the URL has no bodySHA256 that would cover it"));
    };
    if is_sha256_of(&claimed, request.body) {
        Ok(Vec::new())
    } else {
        Err(unverified("the body does not match bodySHA256"))
    }
}

fn hmac_sha1_matches(key: &SecretString, url: &str, parameters: &[u8], signature: &[u8]) -> bool {
    Hmac::<Sha1>::new_from_slice(key.expose_secret().as_bytes())
        .is_ok_and(|mac| mac.chain_update(url).chain_update(parameters).verify_slice(signature).is_ok())
}

/// The URL without its port and with one: Twilio's own libraries accept a signature over either, since senders
/// and proxies disagree about default ports.
fn url_variants(url: &str) -> [String; 2] {
    let Some((scheme, rest)) = url.split_once("://") else { return [url.to_owned(), url.to_owned()] };
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let with_port = authority
        .rsplit_once(':')
        .filter(|(_, port)| !port.is_empty() && port.bytes().all(|digit| digit.is_ascii_digit()));
    match with_port {
        Some((host, _)) => [format!("{scheme}://{host}{path}"), url.to_owned()],
        None => {
            let port = if scheme.eq_ignore_ascii_case("http") { 80 } else { 443 };
            [url.to_owned(), format!("{scheme}://{authority}:{port}{path}")]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_tried_without_and_with_its_port() {
        for (url, without, with) in [
            ("https://a.example/x?y=1", "https://a.example/x?y=1", "https://a.example:443/x?y=1"),
            ("http://a.example", "http://a.example", "http://a.example:80"),
            ("http://a.example:8080/x", "http://a.example/x", "http://a.example:8080/x"),
            ("https://[::1]:8443/x", "https://[::1]/x", "https://[::1]:8443/x"),
            ("https://[::1]/x:9", "https://[::1]/x:9", "https://[::1]:443/x:9"),
            ("nonsense", "nonsense", "nonsense"),
        ] {
            assert_eq!(url_variants(url), [without.to_owned(), with.to_owned()], "{url}");
        }
    }
}
