//! What Mailgun posts: events, and mail that a route forwards.

use serde_json::{Value, json};

use crate::digest;
use crate::http_call::Form;
use crate::kind::{Hook, Inbound};
use crate::mail;
use crate::message::{Accepted, Stage};
use crate::multipart;
use crate::numbers::mailbox;
use crate::post::Post;

/// Timestamp, token and signature. The token is the webhook's own, the same whenever it is sent.
fn signature(hook: &Hook<'_>, own: &[&str]) -> [(&'static str, String); 3] {
    let timestamp = hook.now().as_second().to_string();
    let token = digest::hex(&digest::sha256(own.join(" ").as_bytes())[..25]);
    let key = hook.account.signing_key.as_bytes();
    let signature = digest::hex(&digest::hmac_sha256(key, &[timestamp.as_bytes(), token.as_bytes()]));
    [("timestamp", timestamp), ("token", token), ("signature", signature)]
}

pub(super) fn event(hook: &Hook<'_>, message: &Accepted) -> Post {
    let stage = message.stage();
    let status = |code: u32, text: &str| {
        json!({
            "tls": true, "mx-host": "mx.simulator.invalid", "attempt-no": 1, "description": "", "code": code,
            "session-seconds": 0.1, "utf8": true, "message": text, "certificate-verified": true,
        })
    };
    let (name, more) = match stage {
        Stage::Sent => ("accepted", json!({ "method": "HTTP" })),
        Stage::Delivered => ("delivered", json!({ "delivery-status": status(250, "OK") })),
        Stage::Undelivered(code) => {
            let code = if code.is_empty() { "5.1.1" } else { code };
            // A number is the server's reply; an enhanced status stands in the text of one.
            let status = match code.parse() {
                Ok(number) => status(number, "The recipient was refused by a scripted fault."),
                Err(_) => status(550, &format!("{code} The recipient was refused by a scripted fault.")),
            };
            ("failed", json!({ "severity": "permanent", "reason": "bounce", "delivery-status": status }))
        }
        Stage::Read => ("opened", json!({ "ip": "127.0.0.1" })),
    };
    let own = [super::NAME, &message.receipts_key(), stage.name()];
    let domain = message.to.rsplit_once('@').unwrap_or_default().1;
    let mut data = json!({
        "event": name, "id": digest::stable_uuid(&own).simple().to_string(),
        "timestamp": hook.now().as_millisecond() as f64 / 1000.0, "log-level": "info",
        "recipient": message.to, "recipient-domain": domain, "campaigns": [],
        "tags": message.event_fields.get("tags").cloned().unwrap_or(json!([])),
        "user-variables": message.event_fields.get("user-variables").cloned().unwrap_or(json!({})),
        "flags": {
            "is-routed": false, "is-authenticated": true, "is-system-test": false, "is-test-mode": false,
        },
        "envelope": {
            "sending-ip": "127.0.0.1", "sender": message.from, "transport": "smtp", "targets": message.to,
        },
        "message": {
            "headers": {
                "to": message.to, "message-id": message.provider_message_id, "from": message.from,
                "subject": message.subject,
            },
            "attachments": [], "size": message.body.len(),
        },
    });
    if let (Value::Object(data), Value::Object(more)) = (&mut data, more) {
        data.extend(more);
    }
    let signature: serde_json::Map<String, Value> =
        signature(hook, &own).into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect();
    Post::json(hook.url, &json!({ "signature": signature, "event-data": data }))
}

/// Parsed into fields; as MIME source where the URL ends in `mime`. Multipart with files, else urlencoded.
pub(super) fn inbound(hook: &Hook<'_>, inbound: &Inbound<'_>) -> Post {
    let id = format!("<{}>", inbound.id);
    let mut form: Form = Vec::new();
    let mut add = |name: &str, value: &str| form.push((name.to_owned(), value.to_owned()));
    add("recipient", mailbox(inbound.to));
    add("sender", mailbox(inbound.from));
    add("from", inbound.from);
    add("subject", inbound.subject);
    for (name, value) in signature(hook, &[super::NAME, inbound.id, "inbound"]) {
        add(name, &value);
    }
    let path = hook.url.split(['?', '#']).next().unwrap_or_default();
    if path.ends_with("mime") || inbound.raw == Some(true) {
        add("body-mime", &mail::source(inbound));
        return Post::form(hook.url, &form);
    }
    add("body-plain", inbound.body);
    add("stripped-text", inbound.body);
    if let Some(html) = inbound.html {
        add("body-html", html);
        add("stripped-html", html);
    }
    add("Message-Id", &id);
    let mut headers = vec![
        ["Message-Id".to_owned(), id.clone()],
        ["From".to_owned(), inbound.from.to_owned()],
        ["To".to_owned(), inbound.to.to_owned()],
        ["Subject".to_owned(), inbound.subject.to_owned()],
    ];
    if let Some(parent) = inbound.in_reply_to {
        for name in ["In-Reply-To", "References"] {
            add(name, &format!("<{parent}>"));
            headers.push([name.to_owned(), format!("<{parent}>")]);
        }
    }
    add("message-headers", &json!(headers).to_string());
    if inbound.files.is_empty() {
        return Post::form(hook.url, &form);
    }
    add("attachment-count", &inbound.files.len().to_string());
    let mut multipart = multipart::Form::new(inbound.id);
    for (name, value) in &form {
        multipart.field(name, value);
    }
    for (index, file) in inbound.files.iter().enumerate() {
        multipart.file(&format!("attachment-{}", index + 1), file);
    }
    multipart.finish(hook.url)
}
