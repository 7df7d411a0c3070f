//! Vonage.

use provider_simulator::{
    DEMO_VONAGE_API_KEY, DEMO_VONAGE_API_SECRET, DEMO_VONAGE_APPLICATION_ID, DEMO_VONAGE_SIGNATURE_SECRET,
};
use serde_json::{Value, json};

use super::{assert_entry, basic, claims, sha256_hex, start};
use crate::rig::{Answer, Hook, MESSAGE_ID, Rig};

fn message() -> Value {
    json!({
        "message_type": "text", "text": "Hello", "to": "447700900000", "from": "447700900001", "channel": "sms",
        "client_ref": format!("{MESSAGE_ID}:2"), "ttl": 90000,
    })
}

async fn send(rig: &Rig, message: &Value) -> Answer {
    let authorization = basic(DEMO_VONAGE_API_KEY, DEMO_VONAGE_API_SECRET);
    rig.send_json("/v1/messages", &[("authorization", &authorization)], message).await
}

/// The claims of its token.
pub(super) fn assert_signed(hook: &Hook, key: &str) -> Value {
    let token = hook.header("authorization").strip_prefix("Bearer ").unwrap();
    let claims = claims(token, key);
    assert_eq!((&claims["payload_hash"], &claims["iss"]), (&json!(sha256_hex(&hook.body)), &json!("Vonage")));
    claims
}

fn event(hook: &Hook) -> Value {
    let claims = assert_signed(hook, DEMO_VONAGE_SIGNATURE_SECRET);
    assert_eq!(claims["api_key"], DEMO_VONAGE_API_KEY);
    assert_eq!(claims["application_id"], DEMO_VONAGE_APPLICATION_ID);
    hook.json()
}

#[tokio::test]
async fn a_message_is_accepted_and_reported() {
    let (rig, mut target, _) = start("vonage").await;
    let answer = send(&rig, &message()).await;
    assert_eq!(answer.status, 202);
    let id = &answer.json()["message_uuid"];
    assert_entry(&rig.entry().await, "vonage", "+447700900000", id);
    rig.fault(json!({ "type": "read" }), json!({})).await;
    for status in ["submitted", "delivered"] {
        let event = event(&target.next().await);
        assert_eq!((&event["status"], &event["message_uuid"]), (&json!(status), id));
        assert_eq!((&event["to"], &event["client_ref"]), (&json!("447700900000"), &message()["client_ref"]));
    }
    let mut read = message();
    read["webhook_url"] = json!(format!("{}/own", target.url));
    send(&rig, &read).await;
    for status in ["submitted", "delivered", "read"] {
        let hook = target.next().await;
        assert!(hook.url.ends_with("/own"));
        assert_eq!(event(&hook)["status"], status);
    }
    rig.fault(json!({ "type": "undelivered", "code": 1240 }), json!({})).await;
    send(&rig, &message()).await;
    target.next().await;
    let rejected = event(&target.next().await);
    assert_eq!(rejected["status"], "rejected");
    assert!(rejected["error"]["type"].as_str().unwrap().ends_with("messages#1240"));
}

#[tokio::test]
async fn several_media_are_a_list_and_every_kind_stands_below_its_name() {
    let (rig, _target, _) = start("vonage").await;
    let mms = json!({
        "message_type": "content", "channel": "mms", "to": "447700900000", "from": "447700900001",
        "content": [
            { "type": "image", "url": "https://example.com/a.jpg", "caption": "Look" },
            { "type": "file", "url": "https://example.com/b.pdf" },
        ],
    });
    let authorization = basic(DEMO_VONAGE_API_KEY, DEMO_VONAGE_API_SECRET);
    let answer = rig.send_json("/vonage/v1/messages", &[("authorization", &authorization)], &mms).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let entry = rig.entry().await;
    assert_eq!((&entry["kind"], &entry["body"]), (&json!("vonage"), &json!("Look")));
    assert_eq!(entry["media"], json!(["https://example.com/a.jpg", "https://example.com/b.pdf"]));
}

#[tokio::test]
async fn problems_name_their_code_in_the_type() {
    let (rig, _target, _) = start("vonage").await;
    let wrong = basic(DEMO_VONAGE_API_KEY, "wrong");
    let answer = rig.send_json("/v1/messages", &[("authorization", &wrong)], &message()).await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    assert!(answer.json()["type"].as_str().unwrap().ends_with("#unauthorized"));
    for (field, value, code) in
        [("to", "+447700900000", "1020"), ("to", "", "1010"), ("from", "a very long name", "1120")]
    {
        let mut wrong = message();
        wrong[field] = json!(value);
        let answer = send(&rig, &wrong).await;
        assert_eq!(answer.status, 422);
        assert!(answer.json()["type"].as_str().unwrap().ends_with(&format!("#{code}")), "{field}");
    }
}

#[tokio::test]
async fn inbound_messages_are_delivered() {
    let (rig, mut target, _) = start("vonage").await;
    let request =
        json!({ "kind": "vonage", "from": "+447700900001", "to": "+447700900000", "body": "Hello" });
    let id = rig.inbound(request).await;
    let sms = event(&target.next().await);
    assert_eq!((&sms["message_uuid"], &sms["text"]), (&json!(id), &json!("Hello")));
    assert_eq!((&sms["from"], &sms["channel"]), (&json!("447700900001"), &json!("sms")));
    let request = json!({
        "kind": "vonage", "from": "+447700900001", "to": "+447700900000", "body": "Look",
        "media": ["https://example.com/a.jpg"],
    });
    rig.inbound(request).await;
    let mms = event(&target.next().await);
    assert_eq!((&mms["message_type"], &mms["image"]["caption"]), (&json!("image"), &json!("Look")));
}
