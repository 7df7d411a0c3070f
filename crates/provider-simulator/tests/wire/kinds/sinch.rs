//! Sinch.

use provider_simulator::DEMO_SINCH_WEBHOOK_SECRET;
use serde_json::{Value, json};

use super::{assert_entry, from_base64, is_hmac_sha256, start};
use crate::rig::{Hook, MESSAGE_ID};

const PATH: &str = "/xms/v1/5ade0000simulator/batches";
const KEY: (&str, &str) = ("authorization", "Bearer simulator-api-token");

fn batch() -> Value {
    json!({
        "from": "15005550006", "to": ["14155550100"], "type": "mt_text", "body": "Hello",
        "delivery_report": "per_recipient", "client_reference": format!("{MESSAGE_ID}:2"),
    })
}

pub(super) fn assert_signed(hook: &Hook, key: &str) {
    let more = format!(
        ".{}.{}",
        hook.header("x-sinch-webhook-signature-nonce"),
        hook.header("x-sinch-webhook-signature-timestamp")
    );
    let signature = from_base64(hook.header("x-sinch-webhook-signature"));
    let signed = [&hook.body[..], more.as_bytes()].concat();
    assert!(is_hmac_sha256(key.as_bytes(), &signed, &signature));
    assert_eq!(hook.header("x-sinch-webhook-signature-algorithm"), "HmacSHA256");
}

fn event(hook: &Hook) -> Value {
    assert_signed(hook, DEMO_SINCH_WEBHOOK_SECRET);
    hook.json()
}

#[tokio::test]
async fn a_batch_is_accepted_and_reported_as_it_asks() {
    let (rig, mut target, _) = start("sinch").await;
    let answer = rig.send_json(PATH, &[KEY], &batch()).await;
    assert_eq!(answer.status, 201);
    let id = &answer.json()["id"];
    assert_entry(&rig.entry().await, "sinch", "+14155550100", id);
    for (status, code) in [("Dispatched", 401), ("Delivered", 0)] {
        let event = event(&target.next().await);
        assert_eq!(event["type"], "recipient_delivery_report_sms");
        assert_eq!((&event["status"], &event["code"]), (&json!(status), &json!(code)));
        assert_eq!((&event["batch_id"], &event["client_reference"]), (id, &batch()["client_reference"]));
        assert_eq!(event["recipient"], "14155550100");
    }
    rig.fault(json!({ "type": "undelivered", "code": 406 }), json!({})).await;
    let mut none = batch();
    none["delivery_report"] = json!("none");
    rig.send_json(PATH, &[KEY], &none).await;
    let mut full = batch();
    full["delivery_report"] = json!("full");
    full["callback_url"] = json!(format!("{}/own", target.url));
    rig.send_json(PATH, &[KEY], &full).await;
    let hook = target.next().await;
    assert!(hook.url.ends_with("/own"));
    let event = event(&hook);
    assert_eq!((&event["type"], &event["statuses"][0]["code"]), (&json!("delivery_report_sms"), &json!(406)));
    assert_eq!(event["statuses"][0]["recipients"], json!(["14155550100"]));
}

#[tokio::test]
async fn errors_have_a_code_and_a_text() {
    let (rig, _target, _) = start("sinch").await;
    let answer = rig.send_json(PATH, &[("authorization", "Bearer wrong")], &batch()).await;
    assert_eq!((answer.status, &answer.json()["code"]), (401, &json!("unauthorized")));
    let answer = rig.call(http::Method::POST, PATH, &[KEY], "{").await.unwrap();
    assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("syntax_invalid_json")));
    let mut wrong = batch();
    wrong["to"] = json!(["x"]);
    let answer = rig.send_json(PATH, &[KEY], &wrong).await;
    assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("syntax_invalid_parameter_format")));
}

#[tokio::test]
async fn inbound_texts_and_media_are_delivered() {
    let (rig, mut target, _) = start("sinch").await;
    let mut request = json!({ "kind": "sinch", "from": "+14155550100", "to": "+15005550006", "body": "Hi" });
    let id = rig.inbound(request.clone()).await;
    let text = event(&target.next().await);
    assert_eq!((&text["type"], &text["id"], &text["body"]), (&json!("mo_text"), &json!(id), &json!("Hi")));
    assert_eq!((&text["from"], &text["to"]), (&json!("14155550100"), &json!("15005550006")));
    request["media"] = json!(["https://example.com/a.jpg"]);
    rig.inbound(request).await;
    let media = event(&target.next().await);
    assert_eq!((&media["type"], &media["body"]["message"]), (&json!("mo_media"), &json!("Hi")));
    assert_eq!(media["body"]["media"][0]["url"], "https://example.com/a.jpg");
}
