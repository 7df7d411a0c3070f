//! Sinch SMS (XMS): `POST /xms/v1/{service_plan_id}/batches`; callbacks signed by HMAC over body, nonce and time.
//! <https://developers.sinch.com/docs/sms/api-reference/>

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use crate::account::Account;
use crate::answer::{self, Whole};
use crate::demo::{DEMO_SINCH_API_TOKEN, DEMO_SINCH_SERVICE_PLAN_ID, DEMO_SINCH_WEBHOOK_SECRET};
use crate::digest;
use crate::http_call::{HttpCall, text, texts};
use crate::kind::{Hook, Inbound, Outline, Protocol, Reading, fields};
use crate::media::content_type;
use crate::message::{Accepted, Stage, first_reference, reference_of_text, reference_of_url};
use crate::numbers::{is_phone, with_plus, without_plus};
use crate::post::Post;
use crate::segments;
use crate::simulator::Shared;

const NAME: &str = "sinch";

#[derive(Debug)]
pub(crate) struct Sinch;

impl Protocol for Sinch {
    fn name(&self) -> &'static str {
        NAME
    }

    fn demo_account(&self) -> Account {
        Account {
            kind: NAME.to_owned(),
            name: DEMO_SINCH_SERVICE_PLAN_ID.to_owned(),
            secret: DEMO_SINCH_API_TOKEN.to_owned(),
            signing_key: DEMO_SINCH_WEBHOOK_SECRET.to_owned(),
            ..Account::default()
        }
    }

    fn send_paths(&self) -> &'static [&'static str] {
        &["/xms/v1/{service_plan_id}/batches"]
    }

    fn authenticate(&self, shared: &Shared, call: &HttpCall) -> Result<usize, Whole> {
        let (plan, token) = (call.parameter("service_plan_id"), call.authorization("Bearer"));
        let is_it = |account: &Account| account.name == plan && Some(account.secret.as_str()) == token;
        shared.find_account(NAME, is_it).ok_or_else(|| self.error(StatusCode::UNAUTHORIZED, None, None))
    }

    fn read(&self, call: &HttpCall) -> Reading {
        let refuse = |code: &str, words: &str| self.error(StatusCode::BAD_REQUEST, Some(code), Some(words));
        let Some(json) = call.json() else {
            return Reading::refused(refuse("syntax_invalid_json", "The body is not valid JSON."));
        };
        let is_media = json["type"] == "mt_media";
        let callback_url = Some(text(&json, "callback_url")).filter(|url| !url.is_empty());
        let found = callback_url.map(reference_of_url).into_iter();
        let outline = Outline {
            from: with_plus(text(&json, "from")),
            channel: if is_media { "mms" } else { "sms" },
            subject: json["body"]["subject"].as_str().map(str::to_owned),
            body: if is_media { text(&json["body"], "message") } else { text(&json, "body") }.to_owned(),
            media: if is_media { vec![text(&json["body"], "url").to_owned()] } else { Vec::new() },
            reference: first_reference(found.chain([reference_of_text(text(&json, "client_reference"))])),
            callback_url: callback_url.map(str::to_owned),
            event_fields: fields([
                ("client_reference", json["client_reference"].clone()),
                ("delivery_report", json["delivery_report"].clone()),
            ]),
            ..Outline::default()
        };
        let people = texts(&json["to"]);
        let has_content = !outline.body.is_empty() || outline.media.iter().any(|url| !url.is_empty());
        let checked = if people.is_empty() {
            Err(refuse("syntax_constraint_violation", "to: must not be empty"))
        } else if !has_content {
            Err(refuse("syntax_constraint_violation", "body: must not be empty"))
        } else if people.iter().any(|to| !is_phone(to)) {
            Err(refuse("syntax_invalid_parameter_format", "to: is not a phone number"))
        } else {
            Ok(())
        };
        let outlines = people.iter().map(|to| Outline { to: with_plus(to), ..outline.clone() });
        Reading::checked(outlines.collect(), checked)
    }

    /// The batch's, for all recipients.
    fn ids(&self, shared: &Shared, outlines: &[Outline]) -> Vec<String> {
        vec![batch_id(&shared.hex_id()); outlines.len()]
    }

    fn inbound_id(&self, hex: &str, _has_media: bool) -> String {
        batch_id(hex)
    }

    fn answer(&self, _account: &Account, messages: &[Arc<Accepted>]) -> Whole {
        let Some(first) = messages.first() else { return answer::json(201, &json!({})) };
        let to: Vec<&str> = messages.iter().map(|message| without_plus(&message.to)).collect();
        let is_media = &*first.channel == "mms";
        let created = first.received_at.to_string();
        let mut answer = json!({
            "id": first.provider_message_id, "to": to, "from": without_plus(&first.from), "canceled": false,
            "type": if is_media { "mt_media" } else { "mt_text" }, "created_at": created,
            "modified_at": created, "delivery_report": report(first), "flash_message": false,
        });
        answer["body"] = if is_media {
            json!({ "url": first.media.first(), "message": first.body, "subject": first.subject })
        } else {
            json!(first.body)
        };
        if let Some(reference) = first.event_fields.get("client_reference") {
            answer["client_reference"] = reference.clone();
        }
        answer::json(201, &answer)
    }

    fn error(&self, status: StatusCode, code: Option<&str>, message: Option<&str>) -> Whole {
        let (usual, words) = match status.as_u16() {
            401 => ("unauthorized", "The credentials are not valid."),
            403 => ("forbidden", "The account may not do this."),
            404 => ("resource_not_found", "There is no such resource."),
            429 => ("too_many_requests", "Too many requests."),
            500.. => ("internal_error", "An internal error occurred."),
            _ => ("syntax_constraint_violation", "The request was refused."),
        };
        let body = json!({ "code": code.unwrap_or(usual), "text": message.unwrap_or(words) });
        answer::json(status.as_u16(), &body)
    }

    /// Nowhere for a batch that wants no reports, which is the default.
    fn receipt_url(&self, account: &Account, message: &Accepted) -> Option<String> {
        if report(message) == "none" {
            return None;
        }
        let own = message.callback_url.as_deref().map(str::to_owned);
        own.or_else(|| account.webhook_url.as_ref().map(|url| url.as_str().to_owned()))
    }

    fn receipts(&self, hook: &Hook<'_>, messages: &[&Accepted]) -> Vec<Post> {
        messages.iter().flat_map(|message| receipt(hook, message)).collect()
    }

    fn inbound(&self, hook: &Hook<'_>, inbound: &Inbound<'_>) -> Post {
        let mut event = json!({
            "type": "mo_text", "id": inbound.id, "from": without_plus(inbound.from),
            "to": without_plus(inbound.to), "body": inbound.body, "received_at": inbound.date.to_string(),
            "sent_at": inbound.date.to_string(), "operator_id": "35000",
        });
        if !inbound.media.is_empty() {
            let media = inbound.media.iter().map(|url| {
                json!({ "url": url, "content_type": content_type(url), "status": "Uploaded", "code": 0 })
            });
            let media: Vec<Value> = media.collect();
            event["type"] = json!("mo_media");
            event["body"] = json!({ "subject": inbound.subject, "message": inbound.body, "media": media });
        }
        signed(hook, &[NAME, inbound.id], &event)
    }
}

/// 26 characters of Crockford's base 32, the form of a ULID; these have only hexadecimal digits.
fn batch_id(hex: &str) -> String {
    hex.chars().take(26).collect::<String>().to_uppercase()
}

fn report(message: &Accepted) -> &str {
    match message.field("delivery_report") {
        "" => "none",
        report => report,
    }
}

fn receipt(hook: &Hook<'_>, message: &Accepted) -> Vec<Post> {
    let report = report(message);
    let (status, code) = match message.stage() {
        Stage::Sent if report == "per_recipient" => ("Dispatched", 401),
        Stage::Delivered => ("Delivered", 0),
        Stage::Undelivered(code) => ("Failed", code.parse().unwrap_or(402)),
        Stage::Sent | Stage::Read => return Vec::new(),
    };
    let suffix = &*message.channel;
    let to = without_plus(&message.to);
    let mut event = if report.starts_with("per_recipient") {
        json!({
            "type": format!("recipient_delivery_report_{suffix}"), "recipient": to, "code": code,
            "status": status, "at": hook.now().to_string(), "operator_status_at": hook.now().to_string(),
            "applied_originator": without_plus(&message.from),
            "encoding": if segments::is_gsm(&message.body) { "GSM" } else { "UNICODE" },
            "number_of_message_parts": segments::count(&message.body), "operator": "35000",
        })
    } else {
        let mut counted = json!({ "code": code, "count": 1, "status": status });
        if report == "full" {
            counted["recipients"] = json!([to]);
        }
        json!({
            "type": format!("delivery_report_{suffix}"), "statuses": [counted], "total_message_count": 1,
        })
    };
    event["batch_id"] = json!(message.provider_message_id);
    if let Some(reference) = message.event_fields.get("client_reference") {
        event["client_reference"] = reference.clone();
    }
    hook.copies(message, signed(hook, &[NAME, &message.receipts_key(), status], &event))
}

/// <https://developers.sinch.com/docs/conversation/callbacks/#callbacks-hmac>
fn signed(hook: &Hook<'_>, own: &[&str], event: &Value) -> Post {
    let (body, timestamp) = (event.to_string(), hook.now().as_second().to_string());
    let nonce = batch_id(&digest::stable_uuid(own).simple().to_string());
    let parts = [body.as_bytes(), b".", nonce.as_bytes(), b".", timestamp.as_bytes()];
    let signature = digest::base64(&digest::hmac_sha256(hook.account.signing_key.as_bytes(), &parts));
    Post::new(hook.url, "application/json", body)
        .with("x-sinch-webhook-signature", signature)
        .with("x-sinch-webhook-signature-nonce", nonce)
        .with("x-sinch-webhook-signature-timestamp", timestamp)
        .with("x-sinch-webhook-signature-algorithm", "HmacSHA256")
}
