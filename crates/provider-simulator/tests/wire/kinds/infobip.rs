//! Infobip.

use serde_json::{Value, json};

use super::{assert_entry, basic, start};
use crate::rig::MESSAGE_ID;

const KEY: (&str, &str) = ("authorization", "App 5ade000000000001-simulator");
const SMS: &str = "/sms/3/messages";

fn message() -> Value {
    json!({ "messages": [{
        "sender": "2020", "destinations": [{ "to": "250788383383", "messageId": format!("{MESSAGE_ID}:2") }],
        "content": { "text": "Hello" },
        "webhooks": {
            "delivery": { "intermediateReport": true, "notify": true }, "contentType": "application/json",
            "callbackData": format!("{MESSAGE_ID}:2"),
        },
    }] })
}

#[tokio::test]
async fn a_message_is_accepted_under_the_senders_id_and_reported() {
    let (rig, mut target, _) = start("infobip").await;
    let answer = rig.send_json(SMS, &[KEY], &message()).await;
    assert_eq!(answer.status, 200);
    let answered = &answer.json()["messages"][0];
    assert_eq!(
        (&answered["status"]["groupId"], &answered["destination"]),
        (&json!(1), &json!("250788383383"))
    );
    let id = json!(format!("{MESSAGE_ID}:2"));
    assert_entry(&rig.entry().await, "infobip", "+250788383383", &id);
    for group in ["PENDING", "DELIVERED"] {
        let hook = target.next().await;
        assert_eq!(hook.header("authorization"), basic("hook", "simulator-webhook-secret"));
        let result = &hook.json()["results"][0];
        assert_eq!((&result["status"]["groupName"], &result["messageId"]), (&json!(group), &id));
        assert_eq!(result["callbackData"], id);
        assert!(result["doneAt"].as_str().unwrap().ends_with("+0000"));
    }
    rig.fault(json!({ "type": "undelivered", "code": 27 }), json!({})).await;
    let mut quiet = message();
    quiet["messages"][0]["webhooks"]["delivery"] = json!({ "url": format!("{}/own", target.url) });
    rig.send_json(SMS, &[KEY], &quiet).await;
    let hook = target.next().await;
    assert!(hook.url.ends_with("/own"));
    let result = &hook.json()["results"][0];
    assert_eq!((&result["status"]["groupId"], &result["error"]["id"]), (&json!(2), &json!(27)));
}

#[tokio::test]
async fn a_rejection_is_a_success_and_a_wrong_key_is_not() {
    let (rig, _target, _) = start("infobip").await;
    let answer = rig.send_json(SMS, &[("authorization", "App wrong")], &message()).await;
    let exception = &answer.json()["requestError"]["serviceException"];
    assert_eq!((answer.status, &exception["messageId"]), (401, &json!("UNAUTHORIZED")));
    let mut wrong = message();
    wrong["messages"][0]["destinations"][0]["to"] = json!("x");
    let answer = rig.send_json(SMS, &[KEY], &wrong).await;
    assert_eq!((answer.status, &answer.json()["messages"][0]["status"]["groupId"]), (200, &json!(5)));
    assert_eq!(rig.simulator.summary().count, 0);
}

#[tokio::test]
async fn mms_has_segments_both_ways() {
    let (rig, mut target, _) = start("infobip").await;
    let mms = json!({ "messages": [{
        "sender": "2020", "destinations": [{ "to": "250788383383" }],
        "content": { "title": "T", "messageSegments": [
            { "type": "TEXT", "text": "Hi" },
            { "type": "LINK", "contentUrl": "https://example.com/a.jpg", "contentType": "image/jpeg" },
        ] },
    }] });
    assert_eq!(rig.send_json("/mms/2/messages", &[KEY], &mms).await.status, 200);
    let entry = rig.entry().await;
    assert_eq!(
        (&entry["channel"], &entry["body"], &entry["subject"]),
        (&json!("mms"), &json!("Hi"), &json!("T"))
    );
    assert_eq!(entry["media"], json!(["https://example.com/a.jpg"]));
    assert_eq!(target.next().await.json()["results"][0]["status"]["groupName"], "DELIVERED");
    let request = json!({
        "kind": "infobip", "from": "+250788383383", "to": "2020", "body": "Quiz hi",
        "media": ["https://example.com/a.jpg"],
    });
    let id = rig.inbound(request).await;
    let result = &target.next().await.json()["results"][0];
    assert_eq!((&result["messageId"], &result["from"]), (&json!(id), &json!("250788383383")));
    assert_eq!(result["message"][0]["value"], "Quiz hi");
    assert_eq!(result["message"][1]["url"], "https://example.com/a.jpg");
    rig.inbound(json!({ "kind": "infobip", "from": "+250788383383", "to": "2020", "body": "Quiz hi" })).await;
    let result = &target.next().await.json()["results"][0];
    assert_eq!((&result["text"], &result["keyword"]), (&json!("Quiz hi"), &json!("QUIZ")));
}
