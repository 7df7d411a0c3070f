//! The generic kind.

use http::Method;
use serde_json::json;

use super::{assert_entry, basic, start};
use crate::rig::MESSAGE_ID;

const KEY: (&str, &str) = ("authorization", "Bearer simulator-http-token");

#[tokio::test]
async fn json_and_forms_are_accepted_at_any_path_and_reported() {
    let (rig, mut target, _) = start("http").await;
    let reference = format!("{MESSAGE_ID}:2");
    let message = json!({ "sender": "+15005550006", "recipient": "+14155550100", "text": "Hello", "reference": reference });
    let answer = rig.send_json("/http/v1/messages", &[KEY], &message).await;
    assert_eq!((answer.status, &answer.json()["status"]), (200, &json!("accepted")));
    assert_entry(&rig.entry().await, "http", "+14155550100", &answer.json()["id"]);
    for status in ["sent", "delivered"] {
        let hook = target.next().await;
        assert_eq!(hook.header("authorization"), basic("hook", "simulator-webhook-secret"));
        assert_eq!((&hook.json()["status"], &hook.json()["reference"]), (&json!(status), &json!(reference)));
    }
    let form = form_urlencoded::Serializer::new(String::new())
        .extend_pairs([
            ("from", "15005550006"),
            ("to", "14155550100"),
            ("message", "Hi"),
            ("reference", &reference),
        ])
        .finish();
    let headers = [KEY, ("content-type", "application/x-www-form-urlencoded")];
    let answer = rig.call(Method::POST, "/http/send.php", &headers, form).await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(rig.entry().await["body"], "Hi");
}

#[tokio::test]
async fn a_wrong_token_and_a_message_for_nobody_are_refused() {
    let (rig, _target, _) = start("http").await;
    let message = json!({ "sender": "+15005550006", "text": "Hello" });
    let answer = rig.send_json("/http/x", &[("authorization", "Bearer wrong")], &message).await;
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (401, &json!("unauthorized")));
    let answer = rig.send_json("/http/x", &[KEY], &message).await;
    assert_eq!((answer.status, &answer.json()["status"]), (400, &json!("rejected")));
}

#[tokio::test]
async fn an_inbound_message_is_delivered() {
    let (rig, mut target, _) = start("http").await;
    let id = rig
        .inbound(json!({ "kind": "http", "from": "+14155550100", "to": "+15005550006", "body": "Hi" }))
        .await;
    let message = target.next().await.json();
    assert_eq!((&message["id"], &message["text"]), (&json!(id), &json!("Hi")));
    assert_eq!((&message["sender"], &message["recipient"]), (&json!("+14155550100"), &json!("+15005550006")));
}
