//! Telnyx.

use ed25519_dalek::{Signature, VerifyingKey};
use provider_simulator::DEMO_TELNYX_PUBLIC_KEY;
use serde_json::{Value, json};

use super::{assert_entry, from_base64, start};
use crate::rig::{Answer, Hook, MESSAGE_ID, Rig, Target};

const PATH: &str = "/v2/messages";
const KEY: (&str, &str) = ("authorization", "Bearer KEY5ADE0000SIMULATOR");

fn message(target: &Target) -> Value {
    json!({
        "from": "+18445550001", "to": "+18665550001", "text": "Hello", "type": "SMS",
        "messaging_profile_id": "4000eba1-a0c0-4563-9925-b25e842a7cb6",
        "webhook_url": format!("{}/telnyx?message_id={MESSAGE_ID}&attempt=2", target.url),
    })
}

pub(super) fn assert_signed(hook: &Hook, key: &str) {
    let key: [u8; 32] = from_base64(key).try_into().unwrap();
    let signature: [u8; 64] = from_base64(hook.header("telnyx-signature-ed25519")).try_into().unwrap();
    let signed = [hook.header("telnyx-timestamp").as_bytes(), b"|", &hook.body].concat();
    let key = VerifyingKey::from_bytes(&key).unwrap();
    assert!(key.verify_strict(&signed, &Signature::from_bytes(&signature)).is_ok());
    assert!(key.verify_strict(&signed[1..], &Signature::from_bytes(&signature)).is_err());
}

fn event(hook: &Hook) -> Value {
    assert_signed(hook, DEMO_TELNYX_PUBLIC_KEY);
    hook.json()["data"].clone()
}

async fn send(rig: &Rig, message: &Value, key: &str) -> Answer {
    rig.send_json(PATH, &[KEY, ("idempotency-key", key)], message).await
}

#[tokio::test]
async fn a_message_is_accepted_and_reported_to_its_own_url() {
    let (rig, mut target, _) = start("telnyx").await;
    let answer = rig.send_json(PATH, &[KEY], &message(&target)).await;
    assert_eq!(answer.status, 200);
    let data = &answer.json()["data"];
    assert_eq!(data["to"][0]["status"], "queued");
    let entry = rig.entry().await;
    assert_entry(&entry, "telnyx", "+18665550001", &data["id"]);
    assert_eq!((&entry["body"], &entry["from"]), (&json!("Hello"), &json!("+18445550001")));
    for (name, status) in [("message.sent", "sent"), ("message.finalized", "delivered")] {
        let hook = target.next().await;
        assert!(hook.url.ends_with(&format!("/telnyx?message_id={MESSAGE_ID}&attempt=2")));
        let event = event(&hook);
        assert_eq!((&event["event_type"], &event["payload"]["id"]), (&json!(name), &data["id"]));
        assert_eq!(event["payload"]["to"][0]["status"], status);
    }
    rig.fault(json!({ "type": "undelivered", "code": 40300 }), json!({ "kind": "telnyx" })).await;
    rig.send_json(PATH, &[KEY], &message(&target)).await;
    target.next().await;
    let failed = event(&target.next().await);
    assert_eq!(failed["payload"]["to"][0]["status"], "delivery_failed");
    assert_eq!(failed["payload"]["errors"][0]["code"], "40300");
}

#[tokio::test]
async fn errors_are_told_with_codes_that_are_texts() {
    let (rig, target, _) = start("telnyx").await;
    let wrong = [("authorization", "Bearer KEYwrong")];
    let answer = rig.send_json(PATH, &wrong, &message(&target)).await;
    assert_eq!((answer.status, &answer.json()["errors"][0]["code"]), (401, &json!("10009")));
    for (field, value, code) in [("to", "12", "10002"), ("to", "", "10004"), ("text", "", "10004")] {
        let mut wrong = message(&target);
        wrong[field] = json!(value);
        let answer = rig.send_json(PATH, &[KEY], &wrong).await;
        assert_eq!(answer.json()["errors"][0]["code"], code, "{field}");
        assert_eq!(answer.json()["errors"][0]["source"]["pointer"], format!("/{field}"));
    }
    rig.fault(json!({ "type": "throttle", "retry_after_s": 7, "form": "rate_limit_reset" }), json!({})).await;
    let answer = rig.send_json(PATH, &[KEY], &message(&target)).await;
    assert_eq!((answer.status, answer.json()["errors"][0]["code"].clone()), (429, json!("10011")));
    assert_eq!(answer.headers["x-ratelimit-reset"], "7");
    rig.simulator.clear_faults();
    rig.fault(json!({ "type": "status", "status": 403, "code": "40002" }), json!({})).await;
    let answer = rig.send_json(PATH, &[KEY], &message(&target)).await;
    assert_eq!((answer.status, answer.json()["errors"][0]["code"].clone()), (403, json!("40002")));
}

#[tokio::test]
async fn a_repeated_key_is_answered_again_and_accepts_nothing() {
    let (rig, target, _) = start("telnyx").await;
    let first = send(&rig, &message(&target), "k1").await;
    let again = send(&rig, &message(&target), "k1").await;
    assert_eq!((again.status, &again.body), (200, &first.body));
    assert_eq!(rig.simulator.summary().count, 1);
    let mut other = message(&target);
    other["text"] = json!("Other");
    assert_eq!(send(&rig, &other, "k1").await.status, 422);
    assert_eq!(send(&rig, &other, "k2").await.status, 200);
    assert_eq!(send(&rig, &other, "k 3").await.status, 400);
    assert_eq!(rig.simulator.summary().count, 2);
}

#[tokio::test]
async fn a_key_outlives_the_process_with_the_ledger() {
    let folder = tempfile::tempdir().unwrap();
    let options = provider_simulator::Options {
        ledger_file: Some(folder.path().join("ledger.ndjson")),
        ..crate::rig::options()
    };
    let target = Target::start().await;
    let rig = Rig::start(options.clone()).await;
    let first = send(&rig, &message(&target), "k1").await;
    rig.stop().await;
    let rig = Rig::start(options).await;
    assert_eq!(send(&rig, &message(&target), "k1").await.body, first.body);
    assert_eq!(rig.simulator.summary().count, 1);
}

#[tokio::test]
async fn an_inbound_message_is_delivered() {
    let (rig, mut target, _) = start("telnyx").await;
    let request = json!({
        "kind": "telnyx", "from": "+18665550001", "to": "+18445550001", "body": "Hello 👍",
        "media": ["https://example.com/a.png"],
    });
    let id = rig.inbound(request).await;
    let event = event(&target.next().await);
    assert_eq!((&event["event_type"], &event["payload"]["id"]), (&json!("message.received"), &json!(id)));
    assert_eq!(event["payload"]["from"]["phone_number"], "+18665550001");
    assert_eq!(event["payload"]["to"][0]["phone_number"], "+18445550001");
    assert_eq!(event["payload"]["media"][0]["content_type"], "image/png");
}
