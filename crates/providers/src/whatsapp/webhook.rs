//! The Cloud API's webhooks: the subscription's verification, inbound messages and receipts
//! (https://developers.facebook.com/docs/whatsapp/cloud-api/webhooks/payload-examples).

use std::borrow::Cow;

use http::Method;
use jiff::Timestamp;
use model::Delivery;
use secrecy::ExposeSecret;
use serde_json::Value;

use super::error_codes::{code_of, find};
use super::{Whatsapp, inbound};
use crate::callback::{in_reference, query_of};
use crate::error_codes::{ErrorCodes, Known};
use crate::inbound_text::code_word;
use crate::webhook::{require_one_of, unparsable, unverified};
use crate::{Receipt, Webhook, WebhookError, WebhookReply, WebhookRequest, hmac_sha256, shared_secret};

const SIGNATURE: &str = "x-hub-signature-256";
const NONE: &Vec<Value> = &Vec::new();

pub(super) fn read(whatsapp: &Whatsapp, request: &WebhookRequest<'_>) -> Result<Webhook, WebhookError> {
    if request.method == Method::GET {
        return subscription(whatsapp, request);
    }
    if whatsapp.verify {
        verify(whatsapp, request)?;
    }
    let notice: Value =
        serde_json::from_slice(request.body).map_err(|_| unparsable("expected a notification in JSON"))?;
    let entries = notice["entry"].as_array().filter(|_| notice["object"] == "whatsapp_business_account");
    let entries =
        entries.ok_or_else(|| unparsable("it is no notification of a WhatsApp Business Account"))?;
    let mut webhook = Webhook::default();
    for change in entries.iter().flat_map(|entry| entry["changes"].as_array().unwrap_or(NONE)) {
        // Others tell of templates, the account, or what was sent from elsewhere.
        if change["field"] != "messages" {
            continue;
        }
        let value = &change["value"];
        for message in value["messages"].as_array().unwrap_or(NONE) {
            webhook.inbound.push(inbound::read(whatsapp, value, message)?);
        }
        let statuses = value["statuses"].as_array().unwrap_or(NONE);
        webhook.receipts.extend(statuses.iter().filter_map(|status| receipt(status, &whatsapp.codes)));
    }
    Ok(webhook)
}

/// Meta asks whether the address is ours before it calls it: whoever knows the token echoes the challenge
/// (https://developers.facebook.com/docs/graph-api/webhooks/getting-started#verification-requests).
fn subscription(whatsapp: &Whatsapp, request: &WebhookRequest<'_>) -> Result<Webhook, WebhookError> {
    let parameter = |wanted: &str| {
        let mut pairs = form_urlencoded::parse(query_of(request.url).as_bytes());
        pairs.find(|(name, _)| name == wanted).map(|(_, value)| value)
    };
    if whatsapp.verify {
        let Some(expected) = &whatsapp.verify_token else {
            return Err(unverified(
                "verify_token is not set; make one up and enter it at Meta beside the URL",
            ));
        };
        let given = parameter("hub.verify_token").unwrap_or_default();
        if !shared_secret::is(&given, expected) {
            return Err(unverified("its hub.verify_token is not verify_token"));
        }
    }
    if parameter("hub.mode").as_deref() != Some("subscribe") {
        return Err(unparsable("a GET that asks for no subscription"));
    }
    let challenge = parameter("hub.challenge").and_then(|challenge| code_word(&challenge));
    let challenge =
        challenge.ok_or_else(|| unparsable("its hub.challenge is missing, or is no number or word"))?;
    let reply = WebhookReply { content_type: "text/plain", body: Cow::Owned(challenge) };
    Ok(Webhook { reply, ..Webhook::default() })
}

/// # Errors
/// [`WebhookError::Unverified`] where there is no signature. The subscription's verification has none.
pub(super) fn check_head(head: &WebhookRequest<'_>) -> Result<(), WebhookError> {
    if head.method == Method::GET { Ok(()) } else { require_one_of(head, &[SIGNATURE]) }
}

/// The whole header is compared: it is `sha256=` and 64 lower-case digits, always.
fn verify(whatsapp: &Whatsapp, request: &WebhookRequest<'_>) -> Result<(), WebhookError> {
    let Some(secret) = &whatsapp.app_secret else {
        return Err(unverified("app_secret is not set; it is in the app's basic settings at Meta"));
    };
    let given = request.headers.get(SIGNATURE);
    let given = given.ok_or_else(|| unverified("the header X-Hub-Signature-256 is missing"))?;
    let signature = given.as_bytes().strip_prefix(b"sha256=").unwrap_or_default();
    if hmac_sha256::verifies_hex(secret.expose_secret().as_bytes(), &[request.body], signature) {
        Ok(())
    } else {
        Err(unverified("the signature does not match; check app_secret"))
    }
}

/// Nothing where the status says nothing about delivery (`deleted`, `warning`, ...) or names no message.
fn receipt(status: &Value, codes: &ErrorCodes) -> Option<Receipt> {
    let word = status["status"].as_str()?;
    let delivery = match word {
        "sent" => Delivery::Sent,
        "delivered" => Delivery::Delivered,
        "read" => Delivery::Read,
        "failed" => Delivery::Undelivered,
        _ => return None,
    };
    let ours = status["biz_opaque_callback_data"].as_str().unwrap_or_default();
    let (message_id, attempt) = in_reference(ours);
    let provider_message_id = self::message_id(&status["id"]);
    if message_id.is_none() && provider_message_id.is_none() {
        return None;
    }
    let code = code_of(&status["errors"][0]).filter(|_| delivery == Delivery::Undelivered);
    let known = code.as_deref().and_then(|code| find(codes, code));
    Some(Receipt {
        message_id,
        attempt,
        provider_message_id,
        delivery,
        detail: known.map(|known| known.meaning.to_owned()),
        temporary: known.is_some_and(Known::is_temporary),
        provider_code: code.or_else(|| Some(word.to_owned())),
        timestamp: timestamp(&status["timestamp"]),
    })
}

/// `wamid.` and base64.
pub(super) fn message_id(value: &Value) -> Option<String> {
    let text = value.as_str()?;
    let fits = (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    fits.then(|| text.to_owned())
}

/// Seconds as text. Milliseconds, and numbers, have been seen.
pub(super) fn timestamp(value: &Value) -> Option<Timestamp> {
    let number = match value {
        Value::String(text) => text.parse().ok()?,
        value => value.as_i64()?,
    };
    if number > 100_000_000_000 {
        Timestamp::from_millisecond(number).ok()
    } else {
        Timestamp::from_second(number).ok()
    }
}
