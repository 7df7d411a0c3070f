//! Many at once.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use testkit::{Answer, service};
use tokio::task::JoinSet;

use crate::server::{Server, code, server};

async fn all_at_once(server: &Server, path: &'static str, requests: Vec<Value>) -> Vec<Answer> {
    let mut running = JoinSet::new();
    for (position, request) in requests.into_iter().enumerate() {
        let client = server.client.clone();
        running.spawn(async move { (position, client.post(path, &request).await) });
    }
    let mut answers = running.join_all().await;
    answers.sort_by_key(|(position, _)| *position);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

#[tokio::test]
async fn sixty_four_first_messages_between_one_pair_are_one_conversation() {
    let server = server().await;
    let request = |n: usize| {
        let (from, to) = if n.is_multiple_of(2) {
            ("+12025550100", "+12025550199")
        } else {
            ("+12025550199", "+12025550100")
        };
        json!({"from": from, "to": to, "body": n.to_string()})
    };
    let answers = all_at_once(&server, "/api/messages/sms", (0..64).map(request).collect()).await;
    let conversations: BTreeSet<String> = answers
        .iter()
        .map(|answer| answer.clone().expect(202).json()["conversation_id"].to_string())
        .collect();
    assert_eq!(conversations.len(), 1);
    assert_eq!((server.count("conversations").await, server.count("messages").await), (1, 64));
}

#[tokio::test]
async fn one_webhook_delivered_fifty_times_at_once_is_one_message_and_fifty_200s() {
    let server = server().await;
    let webhook = json!({
        "from": "+12025550199", "to": "+12025550100", "body": "Hi", "messaging_provider_id": "message-1",
        "timestamp": "2026-11-23T08:30:00Z", "attachments": null
    });
    let answers = all_at_once(&server, "/api/webhooks/sms", vec![webhook; 50]).await;
    let bodies: Vec<Value> = answers.into_iter().map(|answer| answer.expect(200).json()).collect();
    let ids: BTreeSet<String> = bodies.iter().map(|body| body["id"].to_string()).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(bodies.iter().filter(|body| body["duplicate"] == false).count(), 1);
    assert_eq!(server.count("messages").await, 1);
}

#[tokio::test]
async fn a_poisoned_request_in_a_group_fails_alone() {
    let server = server().await;
    server.execute("alter table messages add constraint poison check (body <> 'poison')").await;
    let request = |n: usize| {
        let body = if n % 8 == 3 { "poison".to_owned() } else { n.to_string() };
        json!({"from": "+12025550100", "to": format!("+120255501{n:02}"), "body": body})
    };
    let answers = all_at_once(&server, "/api/messages/sms", (0..64).map(request).collect()).await;
    for (n, answer) in answers.into_iter().enumerate() {
        if n % 8 == 3 {
            let answer = answer.expect(500);
            assert_eq!(code(&answer), "internal");
            assert!(!answer.text().contains("poison"), "{}", answer.text());
        } else {
            answer.expect(202);
        }
    }
    assert_eq!((server.count("messages").await, server.count("outbox").await), (56, 56));
}

#[tokio::test]
async fn a_log_with_everything_in_it_shows_no_body_and_no_address() {
    let database = testkit::database().await;
    let client = database.pool.get().await.unwrap();
    client
        .batch_execute("alter table messages add constraint poison check (body <> 'unspeakable')")
        .await
        .unwrap();
    let running = service("app-apiserver").env("DATABASE_URL", &database.url).env("RUST_LOG", "trace");
    let mut running = running.start().await;
    let request = json!({
        "from": "+12025550100", "to": "+12025550199", "body": "unspeakable", "metadata": {"k": "private"}
    });
    running.client().post("/api/messages/sms", &request).await.expect(500);
    let request = json!({
        "from": "ann@example.org", "to": "shop@example.com", "body": "unspeakable", "x_id": "sender-1"
    });
    running.client().post("/api/webhooks/email", &request).await.expect(500);
    let wrong = json!({"from": "+12025550100", "to": "hidden", "body": "hidden"});
    running.client().post("/api/messages/sms", &wrong).await.expect(400);
    running.client().get("/api/messages?to=%2B12025550199&cursor=hidden").await.expect(400);
    running.client().get("/api/messages?to=%2B12025550199").await.expect(200);
    assert!(running.terminate().await.success(), "{}", running.said());
    let log = running.said();
    assert!(log.contains("SQLSTATE 23514"), "it says what was refused: {log}");
    let contents = [
        "unspeakable",
        "2025550100",
        "2025550199",
        "example.org",
        "example.com",
        "private",
        "hidden",
        "sender-1",
    ];
    for line in log.lines() {
        assert!(!contents.iter().any(|content| line.contains(content)), "{line}");
    }
}

#[tokio::test]
async fn hot_conversations_under_load_never_show_a_deadlock() {
    let server = server().await;
    let request = |n: usize| {
        let to = format!("+120255501{:02}", n * 7 % 50);
        json!({"from": "+12025550100", "to": to, "body": n.to_string()})
    };
    let answers = all_at_once(&server, "/api/messages/sms", (0..600).map(request).collect()).await;
    assert!(answers.iter().all(|answer| answer.status == 202));
    assert_eq!((server.count("conversations").await, server.count("messages").await), (50, 600));
}
