//! Bird.

use provider_simulator::{DEMO_BIRD_CHANNEL_ID, DEMO_BIRD_SIGNING_KEY, DEMO_BIRD_WORKSPACE_ID};
use serde_json::{Value, json};

use super::{assert_entry, from_base64, is_hmac_sha256, start};
use crate::rig::{Hook, MESSAGE_ID};

const KEY: (&str, &str) = ("authorization", "AccessKey simulator-access-key");

fn path() -> String {
    format!("/workspaces/{DEMO_BIRD_WORKSPACE_ID}/channels/{DEMO_BIRD_CHANNEL_ID}/messages")
}

fn message() -> Value {
    json!({
        "receiver": { "contacts": [{ "identifierKey": "phonenumber", "identifierValue": "+14155550100" }] },
        "body": { "type": "text", "text": { "text": "Hello" } }, "reference": format!("{MESSAGE_ID}:2"),
    })
}

pub(super) fn assert_signed(hook: &Hook, key: &str) {
    use sha2::Digest as _;
    let head = format!("{}\n{}\n", hook.header("messagebird-request-timestamp"), hook.url);
    let signed = [head.as_bytes(), &sha2::Sha256::digest(&hook.body)].concat();
    let signature = from_base64(hook.header("messagebird-signature"));
    assert!(is_hmac_sha256(key.as_bytes(), &signed, &signature));
}

fn event(hook: &Hook) -> Value {
    assert_signed(hook, DEMO_BIRD_SIGNING_KEY);
    hook.json()
}

#[tokio::test]
async fn a_message_is_accepted_and_reported() {
    let (rig, mut target, _) = start("bird").await;
    let answer = rig.send_json(&path(), &[KEY], &message()).await;
    assert_eq!((answer.status, &answer.json()["status"]), (202, &json!("accepted")));
    assert_entry(&rig.entry().await, "bird", "+14155550100", &answer.json()["id"]);
    for status in ["sent", "delivered"] {
        let event = event(&target.next().await);
        assert_eq!((&event["event"], &event["payload"]["status"]), (&json!("sms.outbound"), &json!(status)));
        assert_eq!(event["payload"]["reference"], message()["reference"]);
        assert_eq!(event["payload"]["id"], answer.json()["id"]);
    }
}

#[tokio::test]
async fn a_wrong_key_and_an_unknown_channel_are_refused() {
    let (rig, _target, _) = start("bird").await;
    let answer = rig.send_json(&path(), &[("authorization", "AccessKey wrong")], &message()).await;
    assert_eq!((answer.status, &answer.json()["code"]), (401, &json!("Unauthorized")));
    let other = path().replace(DEMO_BIRD_CHANNEL_ID, "other");
    assert_eq!(rig.send_json(&other, &[KEY], &message()).await.status, 404);
    let mut wrong = message();
    wrong["body"] = json!({});
    assert_eq!(rig.send_json(&path(), &[KEY], &wrong).await.status, 422);
}

#[tokio::test]
async fn an_inbound_message_is_delivered() {
    let (rig, mut target, _) = start("bird").await;
    let request = json!({ "kind": "bird", "from": "+14155550100", "to": "+15005550006", "body": "Hi" });
    let id = rig.inbound(request).await;
    let event = event(&target.next().await);
    assert_eq!((&event["event"], &event["payload"]["id"]), (&json!("sms.inbound"), &json!(id)));
    assert_eq!(event["payload"]["body"]["text"]["text"], "Hi");
    assert_eq!(event["payload"]["sender"]["contact"]["identifierValue"], "+14155550100");
}
