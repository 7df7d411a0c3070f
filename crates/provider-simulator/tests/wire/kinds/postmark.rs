//! Postmark.

use serde_json::{Value, json};

use super::{assert_entry, basic, start};
use crate::rig::MESSAGE_ID;

const HEADERS: [(&str, &str); 2] =
    [("accept", "application/json"), ("x-postmark-server-token", "5ade0000-0000-4000-8000-simulator")];

fn mail() -> Value {
    json!({
        "From": "App <app@example.com>", "To": "ann@example.net", "Subject": "Hi", "Tag": "welcome",
        "TextBody": "Hello", "HtmlBody": "<p>Hello</p>", "MessageStream": "outbound",
        "Metadata": { "relay_id": MESSAGE_ID, "relay_attempt": "2" },
        "Attachments": [{ "Name": "a.txt", "Content": "aGVsbG8=", "ContentType": "text/plain" }],
    })
}

#[tokio::test]
async fn a_mail_is_accepted_and_its_delivery_and_bounce_are_told() {
    let (rig, mut target, _) = start("postmark").await;
    let answer = rig.send_json("/email", &HEADERS, &mail()).await;
    assert_eq!((answer.status, &answer.json()["ErrorCode"]), (200, &json!(0)));
    let entry = rig.entry().await;
    assert_entry(&entry, "postmark", "ann@example.net", &answer.json()["MessageID"]);
    assert_eq!((&entry["from"], &entry["media"]), (&json!("app@example.com"), &json!(["a.txt"])));
    let hook = target.next().await;
    assert_eq!(hook.header("authorization"), basic("hook", "simulator-webhook-secret"));
    let event = hook.json();
    assert_eq!((&event["RecordType"], &event["Recipient"]), (&json!("Delivery"), &json!("ann@example.net")));
    assert_eq!(event["Metadata"], mail()["Metadata"]);
    rig.fault(json!({ "type": "undelivered", "code": "5.2.2" }), json!({})).await;
    rig.send_json("/email", &HEADERS, &mail()).await;
    let bounce = target.next().await.json();
    assert_eq!((&bounce["RecordType"], &bounce["Email"]), (&json!("Bounce"), &json!("ann@example.net")));
    assert!(bounce["Details"].as_str().unwrap().contains("5.2.2"));
}

#[tokio::test]
async fn errors_have_postmarks_codes() {
    let (rig, _target, _) = start("postmark").await;
    let wrong = [("accept", "application/json"), ("x-postmark-server-token", "wrong")];
    let answer = rig.send_json("/email", &wrong, &mail()).await;
    assert_eq!((answer.status, &answer.json()["ErrorCode"]), (401, &json!(10)));
    let answer = rig.send_json("/email", &HEADERS[1..], &mail()).await;
    assert_eq!((answer.status, &answer.json()["ErrorCode"]), (422, &json!(409)));
    for (field, value) in [("To", ""), ("To", "nobody"), ("From", ""), ("TextBody", "")] {
        let mut wrong = mail();
        wrong[field] = json!(value);
        wrong["HtmlBody"] = json!("");
        let answer = rig.send_json("/email", &HEADERS, &wrong).await;
        assert_eq!((answer.status, &answer.json()["ErrorCode"]), (422, &json!(300)), "{field}");
    }
    rig.fault(json!({ "type": "status", "status": 422, "code": 406 }), json!({})).await;
    let answer = rig.send_json("/email", &HEADERS, &mail()).await;
    assert_eq!((answer.status, &answer.json()["ErrorCode"]), (422, &json!(406)));
    assert_eq!(rig.simulator.summary().count, 0);
}

#[tokio::test]
async fn inbound_mail_names_the_mail_it_answers() {
    let (rig, mut target, _) = start("postmark").await;
    let request = json!({
        "kind": "postmark", "from": "bob@example.net", "to": "app@example.com", "subject": "Re: Hi", "body": "x",
        "in_reply_to": "abc@mtasv.net",
        "files": [{ "filename": "a.txt", "content_type": "text/plain", "content_base64": "aGVsbG8=" }],
    });
    let id = rig.inbound(request).await;
    let mail = target.next().await.json();
    assert_eq!((&mail["MessageID"], &mail["FromFull"]["Email"]), (&json!(id), &json!("bob@example.net")));
    assert_eq!(mail["OriginalRecipient"], "app@example.com");
    assert!(mail["Headers"].as_array().unwrap().contains(&json!({
        "Name": "In-Reply-To", "Value": "<abc@mtasv.net>",
    })));
    assert_eq!(mail["Attachments"][0]["Content"], "aGVsbG8=");
}
