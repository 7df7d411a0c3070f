//! Conversations: who shares one, their lists, and replies.

use serde_json::{Value, json};

use crate::server::{code, field_codes, server};

#[tokio::test]
async fn the_eight_calls_share_conversations_by_participants() {
    let server = server().await;
    let post = async |path: &str, request: Value| {
        let answer = server.client.post(path, &request).await;
        assert!(answer.status.is_success(), "{path}: {}", answer.text());
        answer.json()
    };
    let sms =
        post("/api/messages/sms", json!({"from": "+12025550100", "to": "+12025550199", "body": "1"})).await;
    let mms = post(
        "/api/messages/sms",
        json!({
            "from": "+12025550100", "to": "+12025550199", "type": "mms", "body": "2",
            "attachments": ["https://example.com/a.png"]
        }),
    )
    .await;
    let email = post(
        "/api/messages/email",
        json!({"from": "shop@example.com", "to": "ann@example.org", "subject": "Order", "body": "<b>3</b>"}),
    )
    .await;
    let inbound_sms = post(
        "/api/webhooks/sms",
        json!({
            "from": "+12025550199", "to": "+12025550100", "type": "sms", "messaging_provider_id": "m-1", "body": "4",
            "attachments": null, "timestamp": "2026-11-23T08:30:00Z"
        }),
    )
    .await;
    post(
        "/api/webhooks/sms",
        json!({
            "from": "+12025550199", "to": "+12025550100", "type": "mms", "twilio_id": "m-1", "body": "5",
            "attachments": ["https://example.com/b.png"], "timestamp": "2026-11-23T08:30:00Z"
        }),
    )
    .await;
    post(
        "/api/webhooks/email",
        json!({
            "from": "Ann@Example.org", "to": "shop@example.com", "xillio_id": "m-1", "body": "<b>6</b>",
            "attachments": [], "timestamp": "2026-11-23T08:30:00Z"
        }),
    )
    .await;
    assert_eq!(mms["conversation_id"], sms["conversation_id"]);
    assert_eq!(inbound_sms["conversation_id"], sms["conversation_id"]);
    assert_ne!(email["conversation_id"], sms["conversation_id"]);

    let list = server.client.get("/api/conversations").await.expect(200).json();
    let conversations = list["conversations"].as_array().unwrap();
    assert_eq!(conversations.len(), 2);
    let phone = conversations.iter().find(|conversation| conversation["medium"] == "phone").unwrap();
    assert_eq!(phone["participants"], json!(["+12025550100", "+12025550199"]));
    assert_eq!(phone["id"], sms["conversation_id"]);

    let path = format!("/api/conversations/{}", sms["conversation_id"].as_str().unwrap());
    assert_eq!(server.client.get(&path).await.expect(200).json(), *phone);
    let messages = server.client.get(&format!("{path}/messages")).await.expect(200).json();
    let shown: Vec<(&str, &str, &str, &Value)> = messages["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| {
            let text = |field: &str| m[field].as_str().unwrap();
            (text("body"), text("type"), text("delivery"), &m["provider_id"])
        })
        .collect();
    let expected = [
        ("1", "sms", "none", &Value::Null),
        ("2", "mms", "none", &Value::Null),
        ("4", "sms", "received", &json!("messaging_provider")),
        ("5", "mms", "received", &json!("twilio")),
    ];
    assert_eq!(shown, expected);
    let newest = server.client.get(&format!("{path}/messages?order=desc&limit=1")).await.expect(200).json();
    assert_eq!(newest["messages"][0]["body"], "5");
}

#[tokio::test]
async fn a_reply_goes_to_the_other_end_on_the_conversations_channel() {
    let server = server().await;
    let inbound = json!({"from": "+12025550199", "to": "12345", "body": "Hi", "x_id": "1"});
    let received = server.client.post("/api/webhooks/sms", &inbound).await.expect(200).json();
    let path = format!("/api/conversations/{}/messages", received["conversation_id"].as_str().unwrap());
    let reply = server.client.post(&path, &json!({"body": "Hello back"})).await.expect(202).json();
    let ends = |message: &Value| (message["from"].clone(), message["to"].clone(), message["type"].clone());
    assert_eq!(ends(&reply), (json!("12345"), json!("+12025550199"), json!("sms")));
    assert_eq!(reply["conversation_id"], received["conversation_id"]);
    let picture = json!({"body": "", "attachments": ["https://example.com/a.png"]});
    let reply = server.client.post(&path, &picture).await.expect(202).json();
    assert_eq!(ends(&reply), (json!("12345"), json!("+12025550199"), json!("mms")));
    for (request, expected) in [
        (json!({}), "body: required"),
        (json!({"body": "x", "to": "+12025550198"}), "to: unknown_field"),
        (json!({"body": "x", "subject": "x"}), "subject: unknown_field"),
        (json!({"body": "x", "type": "email"}), "type: unknown_word"),
    ] {
        let answer = server.client.post(&path, &request).await.expect(400);
        assert_eq!(field_codes(&answer), [expected], "{request}");
    }
}

#[tokio::test]
async fn an_email_reply_takes_the_newest_subject() {
    let server = server().await;
    let inbound = json!({"from": "ann@example.org", "to": "shop@example.com", "subject": "Help", "body": "?", "x_id": "1"});
    let received = server.client.post("/api/webhooks/email", &inbound).await.expect(200).json();
    let path = format!("/api/conversations/{}/messages", received["conversation_id"].as_str().unwrap());
    let reply = server.client.post(&path, &json!({"body": "Sure"})).await.expect(202).json();
    assert_eq!((&reply["subject"], &reply["from"]), (&json!("Re: Help"), &json!("shop@example.com")));
    let reply =
        server.client.post(&path, &json!({"body": "Sure", "subject": "Other"})).await.expect(202).json();
    assert_eq!(reply["subject"], "Other");
}

#[tokio::test]
async fn a_conversation_without_messages_cannot_be_replied_in() {
    let server = server().await;
    let message = server.send_sms("+12025550100", "+12025550199", "Hello").await;
    server.execute("delete from outbox; delete from messages").await;
    let path = format!("/api/conversations/{}/messages", message["conversation_id"].as_str().unwrap());
    let answer = server.client.post(&path, &json!({"body": "x"})).await.expect(409);
    assert_eq!(code(&answer), "conversation_empty");
}

#[tokio::test]
async fn activity_moves_a_conversation_to_the_top() {
    let server = server().await;
    let first = server.send_sms("+12025550100", "+12025550111", "1").await;
    let second = server.send_sms("+12025550100", "+12025550122", "2").await;
    server.execute("update conversations set last_message_at = last_message_at - interval '1 hour'").await;
    server.send_sms("+12025550100", "+12025550111", "3").await;
    testkit::until("the first conversation is at the top", async || {
        let list = server.client.get("/api/conversations").await.expect(200).json();
        let ids: Vec<&Value> = list["conversations"].as_array()?.iter().map(|c| &c["id"]).collect();
        (ids == [&first["conversation_id"], &second["conversation_id"]]).then_some(())
    })
    .await;
    let page = server.client.get("/api/conversations?limit=1").await.expect(200).json();
    assert_eq!(page["conversations"][0]["id"], first["conversation_id"]);
    let cursor = page["next_cursor"].as_str().unwrap();
    let page =
        server.client.get(&format!("/api/conversations?limit=1&cursor={cursor}")).await.expect(200).json();
    assert_eq!(page["conversations"][0]["id"], second["conversation_id"]);
    assert_eq!(page["next_cursor"], Value::Null);
}
