//! MessageBird.

use std::collections::BTreeMap;

use provider_simulator::DEMO_MESSAGEBIRD_SIGNING_KEY;
use serde_json::{Value, json};

use super::{assert_entry, claims, sha256_hex, start};
use crate::rig::{Hook, MESSAGE_ID};

const KEY: (&str, &str) = ("authorization", "AccessKey simulator-access-key");

fn message() -> Value {
    json!({
        "originator": "18005551212", "recipients": ["18885551515"], "body": "Hello", "type": "sms",
        "reference": format!("{MESSAGE_ID}:2"), "datacoding": "auto",
    })
}

pub(super) fn assert_signed(hook: &Hook, key: &str) {
    let claims = claims(hook.header("messagebird-signature-jwt"), key);
    assert_eq!(claims["iss"], "MessageBird");
    assert_eq!(claims["url_hash"], sha256_hex(hook.url.as_bytes()));
    let hash = claims.get("payload_hash").cloned();
    assert_eq!(hash, (!hook.body.is_empty()).then(|| json!(sha256_hex(&hook.body))));
    assert!(claims["exp"].as_i64() > claims["nbf"].as_i64());
}

fn report(hook: &Hook) -> BTreeMap<String, String> {
    assert!(hook.body.is_empty());
    assert_signed(hook, DEMO_MESSAGEBIRD_SIGNING_KEY);
    form_urlencoded::parse(hook.url.split_once('?').unwrap().1.as_bytes()).into_owned().collect()
}

#[tokio::test]
async fn a_message_is_accepted_and_reported_by_get() {
    let (rig, mut target, _) = start("messagebird").await;
    let answer = rig.send_json("/messages", &[KEY], &message()).await;
    assert_eq!(answer.status, 201);
    let id = &answer.json()["id"];
    assert_eq!(answer.json()["recipients"]["items"][0]["recipient"], 18_885_551_515_u64);
    assert_entry(&rig.entry().await, "messagebird", "+18885551515", id);
    for status in ["sent", "delivered"] {
        let report = report(&target.next().await);
        assert_eq!((json!(report["id"]), report["status"].as_str()), (id.clone(), status));
        assert_eq!((report["recipient"].as_str(), report["statusErrorCode"].as_str()), ("18885551515", "0"));
        assert_eq!((json!(report["reference"]), report["x"].as_str()), (message()["reference"].clone(), "1"));
    }
    rig.fault(json!({ "type": "undelivered", "code": 103 }), json!({})).await;
    let mut own = message();
    own["reportUrl"] = json!(format!("{}/own", target.url));
    rig.send_json("/messages", &[KEY], &own).await;
    target.next().await;
    let hook = target.next().await;
    assert!(hook.url.contains("/own?id="));
    let report = report(&hook);
    assert_eq!((report["status"].as_str(), report["statusErrorCode"].as_str()), ("delivery_failed", "103"));
}

#[tokio::test]
async fn errors_are_listed_with_codes() {
    let (rig, _target, _) = start("messagebird").await;
    let answer = rig.send_json("/messages", &[("authorization", "AccessKey wrong")], &message()).await;
    assert_eq!((answer.status, &answer.json()["errors"][0]["code"]), (401, &json!(2)));
    for (field, value, code) in
        [("originator", json!(""), 9), ("recipients", json!(["x"]), 10), ("body", json!(""), 9)]
    {
        let mut wrong = message();
        wrong[field] = value;
        let answer = rig.send_json("/messages", &[KEY], &wrong).await;
        assert_eq!((answer.status, &answer.json()["errors"][0]["code"]), (422, &json!(code)), "{field}");
        assert_eq!(answer.json()["errors"][0]["parameter"], field);
    }
}

#[tokio::test]
async fn mms_goes_to_its_own_path_and_inbound_is_a_form() {
    let (rig, mut target, _) = start("messagebird").await;
    let mut mms = message();
    mms["mediaUrls"] = json!(["https://example.com/a.jpg"]);
    assert_eq!(rig.send_json("/mms", &[KEY], &mms).await.status, 201);
    assert_eq!(rig.entry().await["channel"], "mms");
    report(&target.next().await);
    report(&target.next().await);
    let request =
        json!({ "kind": "messagebird", "from": "+18885551515", "to": "+18005551212", "body": "Grüße" });
    let id = rig.inbound(request).await;
    let hook = target.next().await;
    assert_signed(&hook, DEMO_MESSAGEBIRD_SIGNING_KEY);
    let form = hook.form();
    assert_eq!((&form["id"], form["originator"].as_str()), (&id, "18885551515"));
    assert_eq!((form["recipient"].as_str(), form["body"].as_str()), ("18005551212", "Grüße"));
}
