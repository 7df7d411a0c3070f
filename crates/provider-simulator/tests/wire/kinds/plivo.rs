//! Plivo.

use provider_simulator::{DEMO_PLIVO_AUTH_ID, DEMO_PLIVO_AUTH_TOKEN};
use serde_json::{Value, json};

use super::{assert_entry, basic, from_base64, is_hmac_sha256, start};
use crate::rig::{Answer, Hook, MESSAGE_ID, Rig, Target};

fn message(target: &Target) -> Value {
    json!({
        "src": "+15005550006", "dst": "14155550100", "text": "Hello", "type": "sms", "method": "POST",
        "url": format!("{}/plivo?message_id={MESSAGE_ID}&attempt=2", target.url),
    })
}

async fn send(rig: &Rig, password: &str, message: &Value) -> Answer {
    let authorization = basic(DEMO_PLIVO_AUTH_ID, password);
    let path = format!("/v1/Account/{DEMO_PLIVO_AUTH_ID}/Message/");
    rig.send_json(&path, &[("authorization", &authorization)], message).await
}

pub(super) fn assert_signed(hook: &Hook, key: &str) {
    let base = hook.url.split('?').next().unwrap();
    let signed = format!("{base}{}", hook.header("x-plivo-signature-v2-nonce"));
    let signature = from_base64(hook.header("x-plivo-signature-v2"));
    assert!(is_hmac_sha256(key.as_bytes(), signed.as_bytes(), &signature));
}

#[tokio::test]
async fn a_message_is_accepted_and_reported_to_its_own_url() {
    let (rig, mut target, _) = start("plivo").await;
    let answer = send(&rig, DEMO_PLIVO_AUTH_TOKEN, &message(&target)).await;
    assert_eq!(answer.status, 202);
    let id = &answer.json()["message_uuid"][0];
    assert_entry(&rig.entry().await, "plivo", "+14155550100", id);
    for status in ["sent", "delivered"] {
        let hook = target.next().await;
        assert!(hook.url.ends_with(&format!("/plivo?message_id={MESSAGE_ID}&attempt=2")));
        assert_signed(&hook, DEMO_PLIVO_AUTH_TOKEN);
        let form = hook.form();
        assert_eq!((form["Status"].as_str(), json!(form["MessageUUID"])), (status, id.clone()));
        assert_eq!((form["To"].as_str(), form["From"].as_str()), ("14155550100", "15005550006"));
    }
    rig.fault(json!({ "type": "undelivered", "code": 200 }), json!({})).await;
    let mut by_get = message(&target);
    by_get["method"] = json!("GET");
    send(&rig, DEMO_PLIVO_AUTH_TOKEN, &by_get).await;
    target.next().await;
    let hook = target.next().await;
    assert_signed(&hook, DEMO_PLIVO_AUTH_TOKEN);
    assert!(
        hook.body.is_empty() && hook.url.contains("Status=undelivered") && hook.url.contains("ErrorCode=200")
    );
}

#[tokio::test]
async fn several_destinations_have_an_id_each() {
    let (rig, target, _) = start("plivo").await;
    let mut two = message(&target);
    two["dst"] = json!("14155550100<14155550101");
    let answer = send(&rig, DEMO_PLIVO_AUTH_TOKEN, &two).await.json();
    assert_ne!(answer["message_uuid"][0], answer["message_uuid"][1]);
    assert_eq!(rig.simulator.summary().count, 2);
}

#[tokio::test]
async fn errors_are_sentences() {
    let (rig, target, _) = start("plivo").await;
    let answer = send(&rig, "wrong", &message(&target)).await;
    assert_eq!((answer.status, &answer.json()["error"]), (401, &json!("authentication failed")));
    let mut wrong = message(&target);
    wrong["dst"] = json!("x");
    let answer = send(&rig, DEMO_PLIVO_AUTH_TOKEN, &wrong).await;
    assert_eq!((answer.status, &answer.json()["error"]), (400, &json!("invalid number format")));
}

#[tokio::test]
async fn an_inbound_message_is_a_signed_form() {
    let (rig, mut target, _) = start("plivo").await;
    let request = json!({ "kind": "plivo", "from": "+14155550100", "to": "+15005550006", "body": "Grüße" });
    let id = rig.inbound(request).await;
    let hook = target.next().await;
    assert_signed(&hook, DEMO_PLIVO_AUTH_TOKEN);
    let form = hook.form();
    assert_eq!((form["From"].as_str(), form["Text"].as_str()), ("14155550100", "Grüße"));
    assert_eq!((form["Type"].as_str(), &form["MessageUUID"]), ("sms", &id));
}
