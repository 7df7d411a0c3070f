//! Sending, showing, canceling, trying again.

use serde_json::{Value, json};

use crate::server::{Server, code, field_codes, server};

const FIELDS: [&str; 20] = [
    "id",
    "conversation_id",
    "type",
    "direction",
    "from",
    "to",
    "body",
    "attachments",
    "status",
    "status_payload",
    "delivery",
    "provider_id",
    "provider_message_id",
    "attempt",
    "next_attempt_at",
    "metadata",
    "timestamp",
    "created_at",
    "updated_at",
    "subject",
];

fn is_time(value: &Value) -> bool {
    let text = value.as_str().unwrap_or_default();
    text.len() == "2026-11-23T08:30:00.123456Z".len() && text.ends_with('Z') && text.as_bytes()[19] == b'.'
}

#[tokio::test]
async fn a_sent_sms_is_accepted_with_every_field_and_found_where_location_says() {
    let server = server().await;
    let request =
        json!({"from": "ACME", "to": "+1 (202) 555-0199", "body": "Hello\nthere", "attachments": null});
    let answer = server.client.post("/api/messages/sms", &request).await.expect(202);
    let message = answer.json();
    let mut names: Vec<&String> = message.as_object().unwrap().keys().collect();
    let mut expected: Vec<&str> = FIELDS.into_iter().filter(|name| *name != "subject").collect();
    names.sort();
    expected.sort_unstable();
    assert_eq!(names, expected);
    for (field, value) in [
        ("type", json!("sms")),
        ("direction", json!("outbound")),
        ("from", json!("ACME")),
        ("to", json!("+12025550199")),
        ("body", json!("Hello\nthere")),
        ("attachments", json!([])),
        ("status", json!("outbox")),
        ("status_payload", Value::Null),
        ("delivery", json!("none")),
        ("provider_id", Value::Null),
        ("provider_message_id", Value::Null),
        ("attempt", json!(0)),
        ("metadata", json!({})),
    ] {
        assert_eq!(message[field], value, "{field}");
    }
    for field in ["next_attempt_at", "timestamp", "created_at", "updated_at"] {
        assert!(is_time(&message[field]), "{field}: {}", message[field]);
    }
    let location = answer.header("location").to_owned();
    assert_eq!(location, format!("/api/messages/{}", message["id"].as_str().unwrap()));
    assert_eq!(server.client.get(&location).await.expect(200).json(), message);
    assert_eq!(server.value("select route from outbox").await, "sms");
}

#[tokio::test]
async fn attachments_make_an_mms_and_everything_given_is_kept() {
    let server = server().await;
    let mms = json!({
        "from": "12345", "to": "+12025550199", "body": "", "attachments": ["https://example.com/a.png"],
        "timestamp": "2026-11-23T10:30:00.5+02:00", "priority": "high",
        "metadata": {"order": 7, "tags": ["a", {"b": null}]}
    });
    let message = server.client.post("/api/messages/sms", &mms).await.expect(202).json();
    assert_eq!(message["type"], "mms");
    assert_eq!(message["timestamp"], "2026-11-23T08:30:00.500000Z");
    assert_eq!(message["metadata"], mms["metadata"]);
    assert_eq!(message["attachments"], mms["attachments"]);

    let email = json!({
        "from": "Shop@Example.COM", "to": "ann@example.org", "subject": "Your order", "body": "<p>Sent</p>"
    });
    let message = server.client.post("/api/messages/email", &email).await.expect(202).json();
    assert_eq!((&message["type"], &message["from"]), (&json!("email"), &json!("Shop@example.com")));
    assert_eq!(message["subject"], "Your order");
    let path = format!("/api/messages/{}", message["id"].as_str().unwrap());
    assert_eq!(server.client.get(&path).await.expect(200).json(), message);
}

#[tokio::test]
async fn a_whatsapp_message_is_accepted_in_a_conversation_of_its_own() {
    let server = server().await;
    let sms = server.send_sms("+12025550100", "+12025550199", "Hello").await;
    let path = "/api/messages/whatsapp";
    let request = json!({
        "from": "+1 (202) 555-0100", "to": "+12025550199", "body": "Hello", "attachments": ["https://example.com/a.png"],
        "timestamp": "2026-11-23T08:30:00Z", "metadata": {"order": 7}
    });
    let sent = server.client.post(path, &request).await.expect(202).json();
    let field = |name: &str| sent[name].clone();
    assert_eq!((field("type"), field("status")), (json!("whatsapp"), json!("outbox")));
    assert_eq!((field("from"), field("to")), (json!("+12025550100"), json!("+12025550199")));
    assert_eq!(field("attachments"), json!(["https://example.com/a.png"]));
    assert_ne!(sent["conversation_id"], sms["conversation_id"]);
    assert_eq!(server.value("select route from outbox where channel = 'whatsapp'").await, "whatsapp");
    let conversation = format!("/api/conversations/{}", sent["conversation_id"].as_str().unwrap());
    let conversation = server.client.get(&conversation).await.expect(200).json();
    assert_eq!(conversation["medium"], "whatsapp");
    let metrics = server.client.get("/metrics").await.text();
    let line = "app_messages_accepted_total{channel=\"whatsapp\",direction=\"outbound\"} 1";
    assert!(metrics.contains(line), "{metrics}");

    let two = json!(["https://example.com/a.png", "https://example.com/b.png"]);
    for (request, expected) in [
        (json!({"from": "ACME", "to": "+12025550199", "body": "x"}), "from: invalid_phone_number"),
        (json!({"from": "12345", "to": "+12025550199", "body": "x"}), "from: invalid_phone_number"),
        (json!({"from": "+12025550100", "to": "ann@example.org", "body": "x"}), "to: wrong_medium"),
        (json!({"from": "+12025550100", "to": "+12025550199"}), "body: required"),
        (
            json!({"from": "+12025550100", "to": "+12025550199", "body": "x", "type": "whatsapp"}),
            "type: unknown_field",
        ),
        (
            json!({"from": "+12025550100", "to": "+12025550199", "body": "x", "subject": "x"}),
            "subject: unknown_field",
        ),
        (json!({"from": "+12025550100", "to": "+12025550199", "body": "x".repeat(4097)}), "body: too_long"),
        (json!({"from": "+12025550100", "to": "+12025550199", "attachments": two}), "attachments: too_many"),
    ] {
        let answer = server.client.post(path, &request).await.expect(400);
        assert_eq!(field_codes(&answer), [expected], "{request}");
    }
}

#[tokio::test]
async fn a_scheduled_message_is_due_at_its_time_and_wakes_nobody() {
    let server = server().await;
    let request = json!({
        "from": "+12025550100", "to": "+12025550199", "body": "Later",
        "send_at": in_days(300), "expires_at": in_days(301)
    });
    let message = server.client.post("/api/messages/sms", &request).await.expect(202).json();
    assert_eq!(message["next_attempt_at"], in_days(300));
    let woken = tokio::time::timeout(std::time::Duration::ZERO, server.wake.notified()).await;
    assert!(woken.is_err(), "nothing is due");
    server.send_sms("+12025550100", "+12025550199", "Now").await;
    server.wake.notified().await;
}

/// A time so many days from now, as the API writes it.
fn in_days(days: i64) -> String {
    let now = service::Clock::System.now();
    let midnight = now.as_second() / 86_400 * 86_400;
    format!("{:.6}", jiff::Timestamp::from_second(midnight + days * 86_400).unwrap())
}

#[tokio::test]
async fn a_message_that_waits_can_be_canceled_once() {
    let server = server().await;
    let message = server.send_sms("+12025550100", "+12025550199", "Oops").await;
    let path = format!("/api/messages/{}/cancel", message["id"].as_str().unwrap());
    let canceled = server.client.post(&path, &json!({})).await.expect(200).json();
    assert_eq!((&canceled["status"], &canceled["delivery"]), (&json!("failed"), &json!("none")));
    assert_eq!(canceled["status_payload"], json!({"code": "canceled"}));
    assert_eq!(canceled["next_attempt_at"], Value::Null);
    assert_eq!(code(&server.client.post(&path, &json!({})).await.expect(409)), "not_cancelable");
    assert_eq!(server.count("outbox").await, 0);
}

#[tokio::test]
async fn a_leased_message_cannot_be_canceled() {
    let server = server().await;
    let message = server.send_sms("+12025550100", "+12025550199", "Going").await;
    server
        .execute(
            "update outbox set lease_no = 1, leased_by = '0190f3a2-7b1c-70a7-8123-456789abcdef',
                 leased_provider = 'twilio-main', leased_until = now() + interval '1 minute'",
        )
        .await;
    let path = format!("/api/messages/{}/cancel", message["id"].as_str().unwrap());
    assert_eq!(code(&server.client.post(&path, &json!({})).await.expect(409)), "not_cancelable");
}

#[tokio::test]
async fn a_failed_message_can_be_tried_again_and_a_waiting_one_cannot() {
    let server = server().await;
    let message = server.send_sms("+12025550100", "+12025550199", "Again").await;
    let path = |verb: &str| format!("/api/messages/{}/{verb}", message["id"].as_str().unwrap());
    let waiting = server.client.post(&path("retry"), &json!({})).await.expect(409);
    assert_eq!(code(&waiting), "not_retryable");
    server.client.post(&path("cancel"), &json!({})).await.expect(200);
    let again = server.client.post(&path("retry"), &json!({})).await.expect(202).json();
    assert_eq!(
        (&again["status"], &again["status_payload"]["code"]),
        (&json!("retry"), &json!("retry_requested"))
    );
    assert!(is_time(&again["next_attempt_at"]));
    let events = server.client.get(&path("events")).await.expect(200).json();
    let kinds: Vec<&str> =
        events["events"].as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["accepted", "canceled", "requeued"]);
    assert_eq!(events["events"][0]["id"], message["id"]);
    assert_eq!(events["next_cursor"], Value::Null);
}

#[tokio::test]
async fn a_message_that_expired_is_not_tried_again() {
    let server = server().await;
    let message = server.send_sms("+12025550100", "+12025550199", "Old").await;
    let path = |verb: &str| format!("/api/messages/{}/{verb}", message["id"].as_str().unwrap());
    server.client.post(&path("cancel"), &json!({})).await.expect(200);
    server.execute("update messages set expires_at = now() - interval '1 minute'").await;
    assert_eq!(code(&server.client.post(&path("retry"), &json!({})).await.expect(409)), "expired");
}

#[tokio::test]
async fn received_messages_are_neither_canceled_nor_tried_again() {
    let server = server().await;
    let inbound = json!({"from": "+12025550199", "to": "+12025550100", "body": "Hi", "x_id": "1"});
    let received = server.client.post("/api/webhooks/sms", &inbound).await.expect(200).json();
    let path = |verb: &str| format!("/api/messages/{}/{verb}", received["id"].as_str().unwrap());
    assert_eq!(code(&server.client.post(&path("cancel"), &json!({})).await.expect(409)), "not_cancelable");
    assert_eq!(code(&server.client.post(&path("retry"), &json!({})).await.expect(409)), "not_retryable");
}

#[tokio::test]
async fn what_no_route_takes_waits_without_one() {
    let config = "[[providers]]\nid = \"t\"\nkind = \"twilio\"\naccount_sid = \"AC1\"\nauth_token = \"t\"\n\
                  [[routes]]\nchannel = \"sms\"\nto_prefix = \"+49\"\nproviders = [\"t\"]\n";
    let server: Server = crate::server::server_with(config, "127.0.0.1:0", service::Clock::System).await;
    server.send_sms("+12025550100", "+12025550199", "To whom").await;
    server.send_sms("+12025550100", "+4930123456", "To Berlin").await;
    assert_eq!(server.value("select string_agg(route, ',' order by route) from outbox").await, ",sms:+49");
}

#[tokio::test]
async fn metrics_count_what_was_accepted_by_route() {
    let server = server().await;
    server.send_sms("+12025550100", "+12025550199", "Counted").await;
    let metrics = server.client.get("/metrics").await.expect(200).text();
    for line in [
        "app_messages_accepted_total{channel=\"sms\",direction=\"outbound\"} 1",
        "app_http_request_duration_seconds_count{route=\"/api/messages/sms\",method=\"POST\",status=\"202\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} is missing in {metrics}");
    }
}
