//! The Event Webhook: batches of events, signed.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::message::Accepted;
use crate::post::Post;
use crate::simulator::Shared;

/// Posts the next event of each message, with its copies, as one batch. All messages are of one account. False
/// unless the answer was 2xx: SendGrid repeats a batch until then.
pub(crate) async fn post_events(shared: &Shared, messages: &[&Arc<Accepted>]) -> bool {
    let url = messages
        .first()
        .and_then(|first| shared.options.sendgrid.get(first.account)?.event_webhook_url.as_ref());
    let Some(url) = url else { return true };
    let now_unix_s = shared.options.clock.now().as_second();
    let mut events = Vec::with_capacity(messages.len());
    for message in messages {
        let event = event(message, now_unix_s);
        for _ in 0..message.plan.copies {
            events.push(event.clone());
        }
        events.push(event);
    }
    let body = Value::Array(events).to_string() + "\r\n";
    let timestamp = now_unix_s.to_string();
    let signature = shared.options.sendgrid_signer.sign(&timestamp, body.as_bytes());
    let post = Post {
        url: url.as_str().to_owned(),
        content_type: "application/json".to_owned(),
        headers: vec![
            ("x-twilio-email-event-webhook-signature", signature),
            ("x-twilio-email-event-webhook-timestamp", timestamp),
        ],
        body: Bytes::from(body),
    };
    shared.poster.post(post).await.is_ok_and(|status| status.is_success())
}

fn event(message: &Accepted, now_unix_s: i64) -> Value {
    let is_first = message.receipts_done.load(SeqCst) == 0;
    let (name, details) = match &message.plan.undelivered {
        _ if is_first => ("processed", json!({})),
        None => ("delivered", json!({ "response": "250 OK", "ip": "127.0.0.1", "tls": 1 })),
        Some(code) => {
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
    Value::Object(fields)
}
