//! Meta's WhatsApp Cloud API.

use provider_simulator::DEMO_WHATSAPP_APP_SECRET;
use serde_json::{Value, json};

use super::{assert_entry, from_hex, is_hmac_sha256, start};
use crate::rig::{Hook, MESSAGE_ID};

const PATH: &str = "/v25.0/106540000000001/messages";
const KEY: (&str, &str) = ("authorization", "Bearer EAASIMULATOR");

fn message() -> Value {
    json!({
        "messaging_product": "whatsapp", "recipient_type": "individual", "to": "16505551234", "type": "text",
        "text": { "preview_url": false, "body": "Hello" }, "biz_opaque_callback_data": format!("{MESSAGE_ID}:2"),
    })
}

pub(super) fn assert_signed(hook: &Hook, key: &str) {
    let signature = hook.header("x-hub-signature-256").strip_prefix("sha256=").unwrap();
    assert!(is_hmac_sha256(key.as_bytes(), &hook.body, &from_hex(signature)));
    assert!(hook.body.is_ascii());
}

/// The value of the one change.
fn value(hook: &Hook) -> Value {
    assert_signed(hook, DEMO_WHATSAPP_APP_SECRET);
    let event = hook.json();
    assert_eq!(event["entry"][0]["changes"][0]["field"], "messages");
    let value = event["entry"][0]["changes"][0]["value"].clone();
    assert_eq!(value["metadata"]["phone_number_id"], "106540000000001");
    value
}

#[tokio::test]
async fn a_message_is_accepted_and_reported_until_it_is_read() {
    let (rig, mut target, _) = start("whatsapp").await;
    rig.fault(json!({ "type": "read" }), json!({})).await;
    let answer = rig.send_json(PATH, &[KEY], &message()).await;
    assert_eq!(answer.status, 200);
    let id = &answer.json()["messages"][0]["id"];
    assert!(id.as_str().unwrap().starts_with("wamid."));
    let entry = rig.entry().await;
    assert_entry(&entry, "whatsapp", "+16505551234", id);
    assert_eq!((&entry["channel"], &entry["from"]), (&json!("whatsapp"), &json!("106540000000001")));
    for status in ["sent", "delivered", "read"] {
        let event = &value(&target.next().await)["statuses"][0];
        assert_eq!((&event["status"], &event["id"]), (&json!(status), id));
        assert_eq!(event["biz_opaque_callback_data"], message()["biz_opaque_callback_data"]);
        assert!(event["timestamp"].is_string());
    }
    rig.fault(json!({ "type": "undelivered", "code": 131_050 }), json!({})).await;
    let template = json!({
        "messaging_product": "whatsapp", "to": "16505551234", "type": "template",
        "template": { "name": "order_update", "language": { "code": "en_US" } },
    });
    assert_eq!(rig.send_json("/v23.0/106540000000001/messages", &[KEY], &template).await.status, 200);
    target.next().await;
    let failed = &value(&target.next().await)["statuses"][0];
    assert_eq!((&failed["status"], &failed["errors"][0]["code"]), (&json!("failed"), &json!(131_050)));
}

#[tokio::test]
async fn a_person_without_a_number_has_an_id() {
    let (rig, _target, _) = start("whatsapp").await;
    let mut message = message();
    message.as_object_mut().unwrap().remove("to");
    message["recipient"] = json!("US.13491208655302741918");
    assert_eq!(rig.send_json(PATH, &[KEY], &message).await.status, 200);
    assert_eq!(rig.entry().await["to"], "US.13491208655302741918");
}

#[tokio::test]
async fn errors_have_metas_codes() {
    let (rig, _target, _) = start("whatsapp").await;
    let answer = rig.send_json(PATH, &[("authorization", "Bearer wrong")], &message()).await;
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (401, &json!(190)));
    let answer = rig.send_json("/v25.0/1/messages", &[KEY], &message()).await;
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (400, &json!(100)));
    for (field, value, code) in
        [("to", json!(""), 131_008), ("to", json!("x"), 131_009), ("text", json!(1), 131_008)]
    {
        let mut wrong = message();
        wrong[field] = value;
        let answer = rig.send_json(PATH, &[KEY], &wrong).await;
        assert_eq!((answer.status, &answer.json()["error"]["code"]), (400, &json!(code)), "{field}");
    }
    rig.fault(json!({ "type": "status", "status": 500, "code": 3 }), json!({})).await;
    let answer = rig.send_json(PATH, &[KEY], &message()).await;
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (500, &json!(3)));
}

#[tokio::test]
async fn inbound_messages_are_escaped_and_signed() {
    let (rig, mut target, _) = start("whatsapp").await;
    let request = json!({
        "kind": "whatsapp", "from": "+16505551234", "to": "+15550100000", "body": "Grüße 👍 a/b",
        "in_reply_to": "wamid.x",
    });
    let id = rig.inbound(request).await;
    let hook = target.next().await;
    assert!(
        String::from_utf8(hook.body.to_vec()).unwrap().contains("Gr\\u00fc\\u00dfe \\ud83d\\udc4d a\\/b")
    );
    let message = &value(&hook)["messages"][0];
    assert_eq!((&message["id"], &message["text"]["body"]), (&json!(id), &json!("Grüße 👍 a/b")));
    assert_eq!((&message["from"], &message["context"]["id"]), (&json!("16505551234"), &json!("wamid.x")));
}
