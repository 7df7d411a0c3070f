//! Resend.

use http::Method;
use provider_simulator::DEMO_RESEND_SIGNING_SECRET;
use serde_json::{Value, json};

use super::{assert_entry, from_base64, is_hmac_sha256, start};
use crate::rig::{Hook, MESSAGE_ID};

const KEY: (&str, &str) = ("authorization", "Bearer re_simulator");
const AGENT: (&str, &str) = ("user-agent", "test");

fn mail() -> Value {
    json!({
        "from": "Acme <app@example.com>", "to": ["ann@example.net"], "subject": "Hi", "text": "Hello",
        "tags": [{ "name": "relay_id", "value": MESSAGE_ID }, { "name": "relay_attempt", "value": "2" }],
    })
}

pub(super) fn assert_signed(hook: &Hook, key: &str) {
    let key = from_base64(key.strip_prefix("whsec_").unwrap());
    let head = format!("{}.{}.", hook.header("svix-id"), hook.header("svix-timestamp"));
    let signature = hook.header("svix-signature").strip_prefix("v1,").unwrap();
    assert!(is_hmac_sha256(&key, &[head.as_bytes(), &hook.body].concat(), &from_base64(signature)));
}

fn event(hook: &Hook) -> Value {
    assert_signed(hook, DEMO_RESEND_SIGNING_SECRET);
    hook.json()
}

#[tokio::test]
async fn a_mail_is_accepted_and_reported() {
    let (rig, mut target, _) = start("resend").await;
    let answer = rig.send_json("/emails", &[KEY, AGENT], &mail()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let id = &answer.json()["id"];
    assert_entry(&rig.entry().await, "resend", "ann@example.net", id);
    for name in ["email.sent", "email.delivered"] {
        let event = event(&target.next().await);
        assert_eq!((&event["type"], &event["data"]["email_id"]), (&json!(name), id));
        assert_eq!(event["data"]["tags"]["relay_id"], MESSAGE_ID);
    }
    rig.fault(json!({ "type": "undelivered" }), json!({})).await;
    rig.send_json("/emails", &[KEY, AGENT], &mail()).await;
    target.next().await;
    let bounce = event(&target.next().await);
    assert_eq!(
        (&bounce["type"], &bounce["data"]["bounce"]["type"]),
        (&json!("email.bounced"), &json!("Permanent"))
    );
}

#[tokio::test]
async fn errors_have_names() {
    let (rig, _target, _) = start("resend").await;
    for (headers, status, name) in [
        (vec![AGENT], 401, "missing_api_key"),
        (vec![AGENT, ("authorization", "Bearer re_wrong")], 403, "invalid_api_key"),
        (vec![KEY], 403, "validation_error"),
    ] {
        let answer = rig.send_json("/emails", &headers, &mail()).await;
        assert_eq!((answer.status, &answer.json()["name"]), (status, &json!(name)));
    }
    for (field, value, name) in [
        ("to", json!([]), "missing_required_field"),
        ("to", json!(["nobody"]), "validation_error"),
        ("tags", json!([{ "name": "a b", "value": "x" }]), "validation_error"),
    ] {
        let mut wrong = mail();
        wrong[field] = value;
        let answer = rig.send_json("/emails", &[KEY, AGENT], &wrong).await;
        assert_eq!((answer.status, &answer.json()["name"]), (422, &json!(name)), "{field}");
    }
    let fault = json!({ "type": "status", "status": 429, "code": "daily_quota_exceeded" });
    rig.fault(fault, json!({})).await;
    let answer = rig.send_json("/emails", &[KEY, AGENT], &mail()).await;
    assert_eq!((answer.status, &answer.json()["name"]), (429, &json!("daily_quota_exceeded")));
}

#[tokio::test]
async fn a_repeated_key_is_answered_again_and_accepts_nothing() {
    let (rig, _target, _) = start("resend").await;
    let headers = [KEY, AGENT, ("idempotency-key", "k1")];
    let first = rig.send_json("/emails", &headers, &mail()).await;
    assert_eq!(rig.send_json("/emails", &headers, &mail()).await.body, first.body);
    let mut other = mail();
    other["subject"] = json!("Other");
    let answer = rig.send_json("/emails", &headers, &other).await;
    assert_eq!((answer.status, &answer.json()["name"]), (409, &json!("invalid_idempotent_request")));
    assert_eq!(rig.simulator.summary().count, 1);
}

#[tokio::test]
async fn an_inbound_mail_is_fetched_after_its_event() {
    let (rig, mut target, _) = start("resend").await;
    let request = json!({
        "kind": "resend", "from": "bob@example.net", "to": "app@example.com", "subject": "Re: Hi", "body": "Yes",
        "in_reply_to": "abc@example.com",
    });
    let id = rig.inbound(request).await;
    let event = event(&target.next().await);
    assert_eq!((&event["type"], &event["data"]["email_id"]), (&json!("email.received"), &json!(id)));
    assert!(event["data"].get("text").is_none());
    let path = format!("/emails/receiving/{id}");
    assert_eq!(rig.call(Method::GET, &path, &[], "").await.unwrap().status, 401);
    let mail = rig.call(Method::GET, &path, &[KEY], "").await.unwrap().json();
    assert_eq!(
        (&mail["text"], &mail["headers"]["in-reply-to"]),
        (&json!("Yes"), &json!("<abc@example.com>"))
    );
    let raw = mail["raw"]["download_url"].as_str().unwrap().strip_prefix(&*rig.url).unwrap().to_owned();
    let source = rig.call(Method::GET, &raw, &[], "").await.unwrap();
    assert!(String::from_utf8(source.body.to_vec()).unwrap().contains("In-Reply-To: <abc@example.com>"));
}
