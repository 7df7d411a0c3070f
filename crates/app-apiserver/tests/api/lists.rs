//! Filters, order, cursors.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::server::{Server, code, server};

async fn bodies(server: &Server, query: &str) -> Vec<String> {
    bodies_from(server, query, String::new()).await
}

async fn bodies_from(server: &Server, query: &str, mut cursor: String) -> Vec<String> {
    let mut found = Vec::new();
    loop {
        let page = server.client.get(&format!("/api/messages?{query}{cursor}")).await.expect(200).json();
        let messages = page["messages"].as_array().unwrap();
        found.extend(messages.iter().map(|message| message["body"].as_str().unwrap().to_owned()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return found,
        }
    }
}

#[tokio::test]
async fn filters_narrow_the_list() {
    let server = server().await;
    server.send_sms("+12025550100", "+12025550111", "1").await;
    let second = server.send_sms("+12025550100", "+12025550122", "2").await;
    let email = json!({"from": "shop@example.com", "to": "ann@example.org", "body": "3"});
    server.client.post("/api/messages/email", &email).await.expect(202);
    let inbound = json!({"from": "+12025550111", "to": "+12025550100", "body": "4", "x_id": "1"});
    server.client.post("/api/webhooks/sms", &inbound).await.expect(200);
    let id = second["id"].as_str().unwrap();
    server.client.post(&format!("/api/messages/{id}/cancel"), &json!({})).await.expect(200);
    let conversation = second["conversation_id"].as_str().unwrap();
    for (query, expected) in [
        ("", &["4", "3", "2", "1"][..]),
        ("order=asc", &["1", "2", "3", "4"]),
        ("limit=1", &["4", "3", "2", "1"]),
        ("limit=3&order=asc", &["1", "2", "3", "4"]),
        ("status=outbox", &["3", "1"]),
        ("status=failed", &["2"]),
        ("status=ok", &["4"]),
        ("delivery=received", &["4"]),
        ("channel=email", &["3"]),
        ("direction=inbound", &["4"]),
        ("direction=outbound&channel=sms", &["2", "1"]),
        ("from=%2B12025550100", &["2", "1"]),
        ("from=+12025550100", &["2", "1"]),
        ("to=%2B12025550100", &["4"]),
        ("to=ann@EXAMPLE.org", &["3"]),
        ("to=%2B12025550133", &[]),
        ("since=2099-01-01T00:00:00Z", &[]),
        ("until=2020-01-01T00:00:00Z", &[]),
        ("since=2020-01-01T00:00:00Z&until=2099-01-01T00:00:00Z", &["4", "3", "2", "1"]),
        ("problem=true", &["2"]),
        ("problem=false", &["4", "3", "2", "1"]),
    ] {
        assert_eq!(bodies(&server, query).await, expected, "{query}");
    }
    assert_eq!(bodies(&server, &format!("conversation_id={conversation}")).await, ["2"]);
}

#[tokio::test]
async fn pages_hold_every_message_once_while_others_arrive() {
    let server = server().await;
    for n in 0..25 {
        server.send_sms("+12025550100", "+12025550199", &n.to_string()).await;
    }
    let first = server.client.get("/api/messages?limit=10").await.expect(200).json();
    for n in 25..30 {
        server.send_sms("+12025550100", "+12025550199", &n.to_string()).await;
    }
    let mut seen: Vec<String> = first["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["body"].as_str().unwrap().to_owned())
        .collect();
    let cursor = format!("&cursor={}", first["next_cursor"].as_str().unwrap());
    seen.extend(bodies_from(&server, "limit=10", cursor).await);
    let expected: Vec<String> = (0..25).rev().map(|n| n.to_string()).collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_cursor_of_another_list_or_filter_is_refused() {
    let server = server().await;
    for n in 0..3 {
        server.send_sms("+12025550100", &format!("+1202555012{n}"), "x").await;
    }
    let cursor = |page: Value| page["next_cursor"].as_str().unwrap().to_owned();
    let messages = cursor(server.client.get("/api/messages?limit=1").await.expect(200).json());
    let conversations = cursor(server.client.get("/api/conversations?limit=1").await.expect(200).json());
    for path in [
        format!("/api/conversations?cursor={messages}"),
        format!("/api/messages?cursor={conversations}"),
        format!("/api/messages?status=ok&cursor={messages}"),
        format!("/api/messages?order=asc&cursor={messages}"),
        format!("/api/messages?cursor={messages}A"),
    ] {
        assert_eq!(code(&server.client.get(&path).await.expect(400)), "invalid_cursor", "{path}");
    }
    server.client.get(&format!("/api/messages?limit=2&cursor={messages}")).await.expect(200);
}

#[tokio::test]
async fn events_come_in_pages_beginning_with_the_first() {
    let server = server().await;
    let message = server.send_sms("+12025550100", "+12025550199", "x").await;
    let path = |verb: &str| format!("/api/messages/{}/{verb}", message["id"].as_str().unwrap());
    for _ in 0..2 {
        server.client.post(&path("cancel"), &json!({})).await.expect(200);
        server.client.post(&path("retry"), &json!({})).await.expect(202);
    }
    for limit in 1..=6 {
        let (mut kinds, mut ids, mut cursor) = (Vec::new(), BTreeSet::new(), String::new());
        loop {
            let query = format!("{}?limit={limit}{cursor}", path("events"));
            let page = server.client.get(&query).await.expect(200).json();
            for event in page["events"].as_array().unwrap() {
                kinds.push(event["type"].as_str().unwrap().to_owned());
                ids.insert(event["id"].to_string());
            }
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(kinds, ["accepted", "canceled", "requeued", "canceled", "requeued"], "limit {limit}");
        assert_eq!(ids.len(), 5);
    }
}
