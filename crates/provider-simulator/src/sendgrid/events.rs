//! The Event Webhook: batches of events, signed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use crate::kind::Hook;
use crate::message::{Accepted, Stage};
use crate::post::Post;

/// The next event of each message, with its copies, as one batch. All messages are of one account. SendGrid repeats
/// a batch until it is answered 2xx.
pub(super) fn post(hook: &Hook<'_>, messages: &[&Accepted]) -> Option<Post> {
    let options = &hook.shared.options;
    let now_unix_s = options.clock.now().as_second();
    let mut events = Vec::with_capacity(messages.len());
    for message in messages {
        let Some(event) = event(message, now_unix_s) else { continue };
        for _ in 0..message.plan.copies {
            events.push(event.clone());
        }
        events.push(event);
    }
    if events.is_empty() {
        return None;
    }
    let body = Value::Array(events).to_string() + "\r\n";
    let timestamp = now_unix_s.to_string();
    let signature = options.sendgrid_signer.sign(&timestamp, body.as_bytes());
    let post = Post::new(hook.url, "application/json", body)
        .with("x-twilio-email-event-webhook-signature", signature)
        .with("x-twilio-email-event-webhook-timestamp", timestamp);
    Some(post)
}

/// Nothing for a stage that is no delivery event.
fn event(message: &Accepted, now_unix_s: i64) -> Option<Value> {
    let (name, details) = match message.stage() {
        Stage::Read => return None,
        Stage::Sent => ("processed", json!({})),
        Stage::Delivered => ("delivered", json!({ "response": "250 OK", "ip": "127.0.0.1", "tls": 1 })),
        Stage::Undelivered(code) => {
            let code = if code.is_empty() { "5.1.1" } else { code };
            let reason = format!("550 {code} The recipient was refused by a scripted fault.");
            let details = json!({
                "type": "bounce", "reason": reason, "status": code, "ip": "127.0.0.1", "tls": 1,
                "bounce_classification": "Invalid Address",
            });
            ("bounce", details)
        }
    };
    let id = &message.provider_message_id;
    // The same event has the same id whenever it is sent: what de-duplication relies on.
    let event_id = URL_SAFE_NO_PAD.encode(format!("{name}-{}", message.receipts_key()));
    let mut fields = Map::new();
    fields.extend(message.event_fields.clone());
    if let Value::Object(details) = details {
        fields.extend(details);
    }
    fields.insert("email".to_owned(), json!(message.to));
    fields.insert("timestamp".to_owned(), json!(now_unix_s));
    fields.insert("event".to_owned(), json!(name));
    fields.insert("smtp-id".to_owned(), json!(format!("<{id}@simulator.invalid>")));
    fields.insert("sg_event_id".to_owned(), json!(event_id.get(..100).unwrap_or(&event_id)));
    fields.insert("sg_message_id".to_owned(), json!(format!("{id}.filter0001.1.1.0")));
    Some(Value::Object(fields))
}
