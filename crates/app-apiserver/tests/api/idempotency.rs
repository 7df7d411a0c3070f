//! Idempotency-Key: accepted once, answered the same, under concurrency and over several servers.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use service::Clock;
use testkit::{Answer, HttpClient};
use tokio::task::JoinSet;

use crate::server::{CONFIG, another_on, code, field_codes, server, server_with};

async fn send(client: &HttpClient, path: &str, key: &str, request: &Value) -> Answer {
    let headers = [("content-type", "application/json"), ("idempotency-key", key)];
    client.send(Method::POST, path, &headers, Bytes::from(request.to_string())).await
}

fn sms(to: &str) -> Value {
    json!({"from": "+12025550100", "to": to, "body": "Hello"})
}

#[tokio::test]
async fn the_first_answer_is_given_again_and_marked() {
    let server = server().await;
    let path = "/api/messages/sms";
    let first = send(&server.client, path, "k-1", &sms("+12025550199")).await.expect(202);
    assert_eq!(first.header("idempotent-replayed"), "");
    let id = first.json()["id"].as_str().unwrap().to_owned();
    server.client.post(&format!("/api/messages/{id}/cancel"), &json!({})).await.expect(200);
    // The same request, written otherwise, under the same key, in quotes.
    let again = json!({
        "body": "Hello", "to": "+1 202 555 0199", "from": "+12025550100", "attachments": null, "priority": "normal"
    });
    let second = send(&server.client, path, "\"k-1\"", &again).await.expect(202);
    assert_eq!(second.header("idempotent-replayed"), "true");
    assert_eq!(second.header("location"), first.header("location"));
    assert_eq!(second.json(), first.json());
    assert_eq!(server.count("messages").await, 1);
}

#[tokio::test]
async fn another_request_under_the_key_is_422_also_on_another_endpoint() {
    let server = server().await;
    send(&server.client, "/api/messages/sms", "k", &sms("+12025550199")).await.expect(202);
    let other = send(&server.client, "/api/messages/sms", "k", &sms("+12025550198")).await.expect(422);
    assert_eq!(code(&other), "idempotency_key_reused");
    let email = json!({"from": "a@example.com", "to": "b@example.com", "body": "Hello"});
    let other = send(&server.client, "/api/messages/email", "k", &email).await.expect(422);
    assert_eq!(code(&other), "idempotency_key_reused");
    assert_eq!(server.count("messages").await, 1);
    send(&server.client, "/api/messages/sms", "k2", &sms("+12025550199")).await.expect(202);
    assert_eq!(server.count("messages").await, 2);
}

#[tokio::test]
async fn a_key_that_is_none_is_refused() {
    let server = server().await;
    for key in ["", "a b", "\"open", &"k".repeat(256)] {
        let answer = send(&server.client, "/api/messages/sms", key, &sms("+12025550199")).await.expect(400);
        assert_eq!(code(&answer), "invalid_idempotency_key", "{key}");
    }
    assert_eq!(server.count("messages").await, 0);
}

#[tokio::test]
async fn a_refused_request_does_not_take_its_key() {
    let server = server().await;
    send(&server.client, "/api/messages/sms", "k", &sms("nobody")).await.expect(400);
    send(&server.client, "/api/messages/sms", "k", &sms("+12025550199")).await.expect(202);
}

#[tokio::test]
async fn sixty_four_requests_at_once_over_two_servers_are_one_message() {
    let first = server().await;
    let second = another_on(&first).await;
    let mut requests = JoinSet::new();
    for n in 0..64 {
        let client = if n % 2 == 0 { first.client.clone() } else { second.clone() };
        requests.spawn(async move { send(&client, "/api/messages/sms", "k", &sms("+12025550199")).await });
    }
    let answers: Vec<Answer> = requests.join_all().await;
    let ids: BTreeSet<String> =
        answers.iter().map(|answer| answer.clone().expect(202).json()["id"].to_string()).collect();
    assert_eq!(ids.len(), 1);
    let new = answers.iter().filter(|answer| answer.header("idempotent-replayed").is_empty()).count();
    assert_eq!(new, 1);
    assert_eq!((first.count("messages").await, first.count("outbox").await), (1, 1));
}

#[tokio::test]
async fn sixty_four_recipients_under_one_key_are_one_message_and_sixty_three_refusals() {
    let server = server().await;
    let mut requests = JoinSet::new();
    for n in 0..64 {
        let client = server.client.clone();
        let request = sms(&format!("+120255501{n:02}"));
        requests
            .spawn(async move { send(&client, "/api/messages/sms", "k", &request).await.status.as_u16() });
    }
    let mut statuses = requests.join_all().await;
    statuses.sort_unstable();
    assert_eq!(statuses[0], 202);
    assert!(statuses[1..].iter().all(|status| *status == 422), "{statuses:?}");
    assert_eq!(server.count("messages").await, 1);
}

#[tokio::test]
async fn a_request_that_has_expired_since_is_answered_as_it_was() {
    let clock = Clock::manual(Clock::System.now());
    let server = server_with(CONFIG, "127.0.0.1:0", clock.clone()).await;
    let mut request = sms("+12025550199");
    let expires_at = clock.now() + jiff::SignedDuration::from_secs(60);
    request["expires_at"] = json!(format!("{expires_at:.6}"));
    let first = send(&server.client, "/api/messages/sms", "k", &request).await.expect(202);
    clock.advance_ms(120_000);
    let again = send(&server.client, "/api/messages/sms", "k", &request).await.expect(202);
    assert_eq!((again.json(), again.header("idempotent-replayed")), (first.json(), "true"));
    request["body"] = json!("Another");
    let other = send(&server.client, "/api/messages/sms", "k", &request).await.expect(422);
    assert_eq!(code(&other), "idempotency_key_reused");
    let unknown = send(&server.client, "/api/messages/sms", "k2", &request).await.expect(400);
    assert_eq!(field_codes(&unknown), ["expires_at: out_of_range"]);
}

#[tokio::test]
async fn a_reply_is_repeated_also_when_the_conversation_went_on() {
    let server = server().await;
    let message = server.send_sms("+12025550100", "+12025550199", "Hello").await;
    let path = format!("/api/conversations/{}/messages", message["conversation_id"].as_str().unwrap());
    let first = send(&server.client, &path, "k", &json!({"body": "Still there?"})).await.expect(202);
    let inbound = json!({"from": "+12025550199", "to": "+12025550100", "body": "Yes", "x_id": "1"});
    server.client.post("/api/webhooks/sms", &inbound).await.expect(200);
    let again = send(&server.client, &path, "k", &json!({"body": "Still there?"})).await.expect(202);
    assert_eq!((again.json(), again.header("idempotent-replayed")), (first.json(), "true"));
    assert_eq!(server.count("messages").await, 3);
}
