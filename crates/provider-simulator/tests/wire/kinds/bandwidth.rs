//! Bandwidth.

use serde_json::{Value, json};

use super::{assert_entry, basic, start};
use crate::rig::{Answer, Hook, MESSAGE_ID, Rig};

const PATH: &str = "/api/v2/users/5500001/messages";

fn message() -> Value {
    json!({
        "applicationId": "93de2206-9669-4e07-948d-329f4b722ee2", "to": ["+12065551234"],
        "from": "+12345678902", "text": "Hello", "tag": format!("{MESSAGE_ID}:2"),
    })
}

async fn send(rig: &Rig, password: &str, path: &str, message: &Value) -> Answer {
    let authorization = basic("simulator", password);
    rig.send_json(path, &[("authorization", &authorization)], message).await
}

fn event(hook: &Hook) -> Value {
    assert_eq!(hook.header("authorization"), basic("hook", "simulator-webhook-secret"));
    let events = hook.json();
    assert_eq!(events.as_array().unwrap().len(), 1);
    events[0].clone()
}

#[tokio::test]
async fn a_message_is_accepted_and_its_delivery_told() {
    let (rig, mut target, _) = start("bandwidth").await;
    let answer = send(&rig, "simulator-password", PATH, &message()).await;
    assert_eq!(answer.status, 202);
    let id = &answer.json()["id"];
    assert_eq!(
        (&answer.json()["owner"], &answer.json()["segmentCount"]),
        (&json!("+12345678902"), &json!(1))
    );
    assert_entry(&rig.entry().await, "bandwidth", "+12065551234", id);
    let delivered = event(&target.next().await);
    assert_eq!((&delivered["type"], &delivered["to"]), (&json!("message-delivered"), &json!("+12065551234")));
    assert_eq!((&delivered["message"]["id"], &delivered["message"]["tag"]), (id, &message()["tag"]));
    assert_eq!(
        (&delivered["message"]["text"], &delivered["message"]["direction"]),
        (&json!(""), &json!("out"))
    );
    rig.fault(json!({ "type": "undelivered", "code": 4775 }), json!({})).await;
    let mut mms = message();
    mms["media"] = json!(["https://example.com/a.png"]);
    send(&rig, "simulator-password", PATH, &mms).await;
    assert_eq!(event(&target.next().await)["type"], "message-sending");
    let failed = event(&target.next().await);
    assert_eq!((&failed["type"], &failed["errorCode"]), (&json!("message-failed"), &json!(4775)));
}

#[tokio::test]
async fn errors_have_a_type_and_name_the_field() {
    let (rig, _target, _) = start("bandwidth").await;
    let answer = send(&rig, "wrong", PATH, &message()).await;
    assert_eq!((answer.status, &answer.json()["type"]), (401, &json!("unauthorized")));
    let other = PATH.replace("5500001", "5500002");
    assert_eq!(send(&rig, "simulator-password", &other, &message()).await.status, 403);
    for (field, value) in [("to", json!(["x"])), ("from", json!("Acme")), ("applicationId", json!(""))] {
        let mut wrong = message();
        wrong[field] = value;
        let answer = send(&rig, "simulator-password", PATH, &wrong).await;
        assert_eq!((answer.status, &answer.json()["type"]), (400, &json!("request-validation")));
        assert_eq!(answer.json()["fieldErrors"][0]["fieldName"], field);
    }
}

#[tokio::test]
async fn credentials_in_the_webhooks_url_become_basic_authentication() {
    let (rig, mut target, _) = start("bandwidth").await;
    let url = target.url.replace("http://", "http://me:pass%20word@");
    let request = json!({
        "kind": "bandwidth", "from": "+12065551234", "to": "+12345678902", "body": "Hi",
        "media": ["https://example.com/a.png"], "webhook_url": format!("{url}/hook"),
    });
    let id = rig.inbound(request).await;
    let hook = target.next().await;
    assert_eq!(hook.header("authorization"), basic("me", "pass word"));
    let event = &hook.json()[0];
    assert_eq!((&event["type"], &event["message"]["id"]), (&json!("message-received"), &json!(id)));
    assert_eq!(event["message"]["media"], json!(["https://example.com/a.png"]));
    assert_eq!(
        (&event["message"]["direction"], &event["message"]["owner"]),
        (&json!("in"), &json!("+12345678902"))
    );
}
