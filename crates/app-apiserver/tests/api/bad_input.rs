//! What is refused: with which status and code, and with nothing stored.

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use testkit::Answer;

use crate::server::{Server, code, field_codes, server};

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

async fn post_raw(server: &Server, path: &str, body: impl Into<Bytes>) -> Answer {
    server.client.send(Method::POST, path, &JSON, body.into()).await
}

fn sms_with(field: &str, value: Value) -> Value {
    let mut request = json!({"from": "+12025550100", "to": "+12025550199", "body": "Hello"});
    request[field] = value;
    request
}

fn email_with(field: &str, value: Value) -> Value {
    let mut request = json!({"from": "shop@example.com", "to": "ann@example.org", "body": "Hello"});
    request[field] = value;
    request
}

async fn assert_nothing_stored(server: &Server) {
    for table in ["messages", "conversations", "outbox", "idempotency_keys"] {
        assert_eq!(server.count(table).await, 0, "{table}");
    }
}

#[tokio::test]
async fn wrong_fields_are_named_with_a_code_and_nothing_is_stored() {
    let server = server().await;
    let long_url = format!("https://example.com/{}", "a".repeat(2048));
    let urls = |count: usize| vec!["https://example.com/a.png"; count];
    let keys: serde_json::Map<String, Value> = (0..51).map(|n| (n.to_string(), json!(n))).collect();
    let sms: Vec<(&str, Value, &str)> = vec![
        ("from", Value::Null, "from: required"),
        ("from", json!(""), "from: required"),
        ("from", json!(12345), "from: wrong_type"),
        ("from", json!("ann@example.com"), "from: wrong_medium"),
        ("from", json!("a name that is too long"), "from: invalid_phone_number"),
        ("to", Value::Null, "to: required"),
        ("to", json!("hello"), "to: invalid_phone_number"),
        ("to", json!("12345"), "to: invalid_phone_number"),
        ("to", json!("+1202555"), "to: invalid_phone_number"),
        ("to", json!("+12025550199\u{0}"), "to: control_character"),
        ("to", json!("ann@example.com"), "to: wrong_medium"),
        ("to", json!(["+12025550199"]), "to: wrong_type"),
        ("body", Value::Null, "body: required"),
        ("body", json!(""), "body: required"),
        ("body", json!(" \n "), "body: required"),
        ("body", json!({"text": "x"}), "body: wrong_type"),
        ("body", json!("a\u{0}b"), "body: control_character"),
        ("body", json!("a\u{7}b"), "body: control_character"),
        ("body", json!("ä".repeat(1601)), "body: too_long"),
        ("type", json!("email"), "type: unknown_word"),
        ("type", json!(1), "type: unknown_word"),
        ("attachments", json!("https://example.com/a.png"), "attachments: wrong_type"),
        ("attachments", json!(["ftp://example.com/a.png"]), "attachments[0]: invalid_url"),
        ("attachments", json!(["https://example.com/a.png", "a.png"]), "attachments[1]: invalid_url"),
        ("attachments", json!([7]), "attachments[0]: invalid_url"),
        ("attachments", json!([long_url]), "attachments[0]: invalid_url"),
        ("attachments", json!(urls(11)), "attachments: too_many"),
        ("timestamp", json!("300000-01-01T00:00:00Z"), "timestamp: invalid_time"),
        ("timestamp", json!("yesterday"), "timestamp: invalid_time"),
        ("timestamp", json!(1_764_000_000), "timestamp: invalid_time"),
        ("send_at", json!("2999-01-01T00:00:00Z"), "send_at: out_of_range"),
        ("expires_at", json!("2020-01-01T00:00:00Z"), "expires_at: out_of_range"),
        ("priority", json!("urgent"), "priority: unknown_word"),
        ("metadata", json!([]), "metadata: wrong_type"),
        ("metadata", Value::Object(keys), "metadata: too_many"),
        ("metadata", json!({"k": "x".repeat(8200)}), "metadata: too_long"),
        ("metadata", json!({"k": "\u{0}"}), "metadata: control_character"),
        ("snd_at", json!("2999-01-01T00:00:00Z"), "snd_at: unknown_field"),
        ("subject", json!("Not in SMS"), "subject: unknown_field"),
    ];
    for (field, value, expected) in sms {
        let answer =
            server.client.post("/api/messages/sms", &sms_with(field, value.clone())).await.expect(400);
        assert_eq!(field_codes(&answer), [expected], "{field} = {value}");
    }
    let email: Vec<(&str, Value, &str)> = vec![
        ("from", json!("+12025550100"), "from: wrong_medium"),
        ("to", json!("+12025550199"), "to: wrong_medium"),
        ("to", json!("ann"), "to: invalid_email_address"),
        ("to", json!("ann@example.org\r\nBcc: x@example.com"), "to: control_character"),
        ("subject", json!("a\r\nBcc: x@example.com"), "subject: control_character"),
        ("subject", json!("s".repeat(999)), "subject: too_long"),
        ("type", json!("sms"), "type: unknown_word"),
        ("body", json!(""), "body: required"),
    ];
    for (field, value, expected) in email {
        let answer =
            server.client.post("/api/messages/email", &email_with(field, value.clone())).await.expect(400);
        assert_eq!(field_codes(&answer), [expected], "{field} = {value}");
    }
    let mut request = sms_with("type", json!("sms"));
    request["attachments"] = json!(["https://example.com/a.png"]);
    let answer = server.client.post("/api/messages/sms", &request).await.expect(400);
    assert_eq!(field_codes(&answer), ["type: attachments_need_mms"]);
    let mut request = sms_with("send_at", json!("2199-01-01T00:00:00Z"));
    request["expires_at"] = json!("2199-01-01T00:00:00Z");
    let answer = server.client.post("/api/messages/sms", &request).await.expect(400);
    assert_eq!(field_codes(&answer), ["send_at: out_of_range", "expires_at: out_of_range"]);
    assert_nothing_stored(&server).await;
}

#[tokio::test]
async fn all_that_is_wrong_is_told_at_once_and_no_content_is_repeated() {
    let server = server().await;
    let request = json!({"from": "secret-from", "to": "secret-to", "body": "secret\u{0}", "bdoy": "secret"});
    let answer = server.client.post("/api/messages/sms", &request).await.expect(400);
    let expected = ["to: invalid_phone_number", "body: control_character", "bdoy: unknown_field"];
    assert_eq!(field_codes(&answer), expected);
    assert!(!answer.text().contains("secret"), "{}", answer.text());
}

#[tokio::test]
async fn a_query_beside_a_body_is_refused_and_nothing_is_sent_or_canceled() {
    let server = server().await;
    let late = "?send_at=2026-12-24T08:00:00Z";
    let sms = sms_with("body", json!("Hello"));
    for (path, request) in
        [("/api/messages/sms", sms.clone()), ("/api/messages/email", email_with("body", json!("Hello")))]
    {
        let answer = server.client.post(&format!("{path}{late}"), &request).await.expect(400);
        assert_eq!(field_codes(&answer), ["send_at: unknown_field"], "{path}");
    }
    let answer = server.client.post("/api/messages/sms?a&a%00=1", &sms_with("to", Value::Null)).await;
    let expected = ["a: unknown_field", "a\u{fffd}: unknown_field", "to: required"];
    assert_eq!(field_codes(&answer.expect(400)), expected);
    assert_nothing_stored(&server).await;

    let message = server.client.post("/api/messages/sms?", &sms).await.expect(202).json();
    let id = message["id"].as_str().unwrap();
    let conversation = message["conversation_id"].as_str().unwrap();
    for path in [
        format!("/api/messages/{id}/cancel"),
        format!("/api/messages/{id}/retry"),
        format!("/api/conversations/{conversation}/messages"),
    ] {
        let answer = server.client.post(&format!("{path}{late}"), &json!({"body": "x"})).await.expect(400);
        assert_eq!(field_codes(&answer), ["send_at: unknown_field"], "{path}");
    }
    let after = server.client.get(&format!("/api/messages/{id}")).await.expect(200).json();
    assert_eq!(after["status"], "outbox");
    assert_eq!(server.count("messages").await, 1);
}

#[tokio::test]
async fn what_is_not_one_json_object_is_malformed() {
    let server = server().await;
    let deep = format!("{{\"metadata\": {}1{}}}", "[".repeat(200), "]".repeat(200));
    let lone_surrogate = br#"{"body": "\ud800"}"#.as_slice();
    let not_utf8 = b"{\"body\": \"\xff\xfe\"}".as_slice();
    let bodies: [&[u8]; 10] = [
        b"",
        b"{",
        b"nonsense",
        b"[]",
        b"\"text\"",
        b"{} {}",
        br#"{"body": 1e999}"#,
        deep.as_bytes(),
        lone_surrogate,
        not_utf8,
    ];
    for body in bodies {
        for path in ["/api/messages/sms", "/api/messages/email"] {
            let answer = post_raw(&server, path, body.to_vec()).await.expect(400);
            assert_eq!(code(&answer), "malformed_json", "{}", String::from_utf8_lossy(body));
        }
    }
    let answer = post_raw(&server, "/api/messages/sms", "{\n  \"to\": x").await.expect(400);
    assert!(answer.json()["detail"].as_str().unwrap().contains("line 2"), "{}", answer.text());
    let twice = r#"{"from": "+12025550100", "to": "+12025550199", "to": "+12025550198", "body": "x"}"#;
    let answer = post_raw(&server, "/api/messages/sms", twice).await.expect(400);
    assert_eq!(field_codes(&answer), ["to: duplicate_field"]);
    assert_nothing_stored(&server).await;
}

#[tokio::test]
async fn another_content_type_or_encoding_is_415() {
    let server = server().await;
    let body = Bytes::from(sms_with("body", json!("Hello")).to_string());
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""] {
        let headers = [("content-type", content_type)];
        let headers = if content_type.is_empty() { &headers[..0] } else { &headers[..] };
        let answer = server.client.send(Method::POST, "/api/messages/sms", headers, body.clone()).await;
        assert_eq!(code(&answer.expect(415)), "unsupported_media_type");
    }
    for path in ["/api/messages/sms", "/api/webhooks/sms"] {
        let headers = [JSON[0], ("content-encoding", "gzip")];
        let answer = server.client.send(Method::POST, path, &headers, body.clone()).await.expect(415);
        assert!(answer.json()["detail"].as_str().unwrap().contains("Content-Encoding"), "{}", answer.text());
    }
    assert_nothing_stored(&server).await;
    let headers = [JSON[0], ("content-encoding", "identity")];
    server.client.send(Method::POST, "/api/messages/sms", &headers, body).await.expect(202);
}

#[tokio::test]
async fn attachments_whose_url_names_no_host_are_refused() {
    let server = server().await;
    for url in ["http:///x", "https:a.png"] {
        let answer = server.client.post("/api/messages/sms", &sms_with("attachments", json!([url]))).await;
        assert_eq!(field_codes(&answer.expect(400)), ["attachments[0]: invalid_url"], "{url}");
    }
    assert_nothing_stored(&server).await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_and_the_answer_is_seen() {
    let server = server().await;
    let body = sms_with("body", json!("x".repeat(3 << 20))).to_string();
    for path in ["/api/messages/sms", "/api/messages/email"] {
        let answer = post_raw(&server, path, body.clone()).await.expect(413);
        assert_eq!(code(&answer), "body_too_large");
    }
    let answer = post_raw(&server, "/api/webhooks/sms", vec![b' '; (32 << 20) + 1]).await.expect(413);
    assert_eq!(code(&answer), "body_too_large");
    assert_nothing_stored(&server).await;
}

#[tokio::test]
async fn ids_that_name_nothing_are_404() {
    let server = server().await;
    let stranger = "0190f3a2-7b1c-70a7-8123-456789abcdef";
    for id in ["x", "1", "%00", "%ff", "..%2f..", "7c9e6679-7425-40de-944b-e07fc1f90ae7", stranger] {
        for (method, path, expected) in [
            (Method::GET, format!("/api/messages/{id}"), "message_not_found"),
            (Method::GET, format!("/api/messages/{id}/events"), "message_not_found"),
            (Method::POST, format!("/api/messages/{id}/cancel"), "message_not_found"),
            (Method::POST, format!("/api/messages/{id}/retry"), "message_not_found"),
            (Method::GET, format!("/api/conversations/{id}"), "conversation_not_found"),
            (Method::GET, format!("/api/conversations/{id}/messages"), "conversation_not_found"),
            (Method::GET, format!("/api/media/{id}"), "media_not_found"),
        ] {
            let answer = server.client.send(method, &path, &[], Bytes::new()).await;
            if id == "%ff" {
                assert_eq!(code(&answer.expect(400)), "bad_request", "{path}");
            } else {
                assert_eq!(code(&answer.expect(404)), expected, "{path}");
            }
        }
    }
    let path = format!("/api/conversations/{stranger}/messages");
    let answer = server.client.post(&path, &json!({"body": "x"})).await.expect(404);
    assert_eq!(code(&answer), "conversation_not_found");
}

#[tokio::test]
async fn unknown_routes_and_methods_are_problems_too() {
    let server = server().await;
    for path in ["/api", "/api/message", "/api/messages/", "/api/messages/sms/x", "/nothing", "/api/webhooks"]
    {
        let answer = server.client.get(path).await.expect(404);
        assert_eq!(code(&answer), "not_found", "{path}");
    }
    for (method, path, allowed) in [
        (Method::DELETE, "/api/messages", "GET,HEAD"),
        (Method::PUT, "/api/messages/sms", "POST"),
        (Method::POST, "/healthz", "GET,HEAD"),
        (Method::GET, "/api/webhooks/sms", "POST"),
        (Method::DELETE, "/api/conversations/x/messages", "GET,HEAD,POST"),
    ] {
        let answer = server.client.send(method, path, &[], Bytes::new()).await.expect(405);
        assert_eq!(code(&answer), "method_not_allowed", "{path}");
        assert_eq!(answer.header("allow"), allowed, "{path}");
    }
}

#[tokio::test]
async fn wrong_parameters_are_named() {
    let server = server().await;
    for (query, expected) in [
        ("limit=0", "limit: out_of_range"),
        ("limit=201", "limit: out_of_range"),
        ("limit=ten", "limit: out_of_range"),
        ("limit=", "limit: out_of_range"),
        ("status=sent", "status: unknown_word"),
        ("delivery=ok", "delivery: unknown_word"),
        ("channel=fax", "channel: unknown_word"),
        ("direction=in", "direction: unknown_word"),
        ("from=hello%20world%20and%20more", "from: invalid_phone_number"),
        ("to=a@b", "to: invalid_email_address"),
        ("conversation_id=x", "conversation_id: invalid_id"),
        ("problem=yes", "problem: unknown_word"),
        ("since=yesterday", "since: invalid_time"),
        ("until=300000-01-01T00:00:00Z", "until: invalid_time"),
        ("order=up", "order: unknown_word"),
        ("stauts=ok", "stauts: unknown_field"),
        ("limit=1&limit=2", "limit: duplicate_field"),
    ] {
        let answer = server.client.get(&format!("/api/messages?{query}")).await.expect(400);
        assert_eq!(field_codes(&answer), [expected], "{query}");
    }
    for path in ["/api/conversations?status=ok", "/api/conversations?limit=500"] {
        assert_eq!(code(&server.client.get(path).await.expect(400)), "validation_failed", "{path}");
    }
    for cursor in ["x", "AAAA", "%00", "019a2f7e-3c41-70a4-8000-3f1c52d0a7b1"] {
        for list in ["/api/messages", "/api/conversations"] {
            let answer = server.client.get(&format!("{list}?cursor={cursor}")).await.expect(400);
            let expected = if cursor == "%00" { "validation_failed" } else { "invalid_cursor" };
            assert_eq!(code(&answer), expected, "{list} {cursor}");
        }
    }
}

#[tokio::test]
async fn generic_webhooks_that_cannot_be_understood_are_kept_and_answered_4xx() {
    let server = server().await;
    let webhook_with = |field: &str, value: Value| {
        let mut webhook = json!({
            "from": "+12025550199", "to": "+12025550100", "body": "Hi", "messaging_provider_id": "1"
        });
        webhook[field] = value;
        webhook
    };
    let cases = [
        (webhook_with("from", Value::Null), "from: required"),
        (webhook_with("from", json!("not a number")), "from: invalid_phone_number"),
        (webhook_with("to", json!("ann@example.com")), "to: wrong_medium"),
        (webhook_with("body", json!("")), "body: required"),
        (webhook_with("body", json!(1)), "body: wrong_type"),
        (webhook_with("body", json!("a\u{0}b")), "body: control_character"),
        (webhook_with("body", json!("a\u{7}b")), "body: control_character"),
        (webhook_with("subject", json!("a\u{1b}b")), "subject: control_character"),
        (webhook_with("from", json!("+12025550199\u{0}")), "from: control_character"),
        (webhook_with("messaging_provider_id", json!("a\u{0}b")), "<provider>_id: invalid_id"),
        (webhook_with("type", json!("fax")), "type: unknown_word"),
        (webhook_with("attachments", json!(["x"])), "attachments[0]: invalid_url"),
        (webhook_with("timestamp", json!("300000-01-01T00:00:00Z")), "timestamp: invalid_time"),
        (webhook_with("messaging_provider_id", Value::Null), "<provider>_id: required"),
        (webhook_with("messaging_provider_id", json!(7)), "<provider>_id: wrong_type"),
        (webhook_with("messaging_provider_id", json!("")), "<provider>_id: invalid_id"),
        (webhook_with("other_id", json!("2")), "<provider>_id: ambiguous"),
    ];
    let kept = i64::try_from(cases.len()).unwrap();
    for (webhook, expected) in cases {
        let answer = server.client.post("/api/webhooks/sms", &webhook).await.expect(400);
        assert_eq!(field_codes(&answer), [expected], "{webhook}");
    }
    assert_eq!(server.count("webhook_deliveries where reason = 'unparsable'").await, kept);
    assert_eq!(code(&post_raw(&server, "/api/webhooks/email", "{").await.expect(400)), "malformed_json");
    let body = Bytes::from(webhook_with("x", json!(1)).to_string());
    let answer = server.client.send(Method::POST, "/api/webhooks/sms", &[], body.clone()).await.expect(415);
    assert_eq!(code(&answer), "unsupported_media_type");
    assert_eq!(server.count("webhook_deliveries").await, kept + 2);
    let last = "select convert_from(body, 'UTF8') from webhook_deliveries order by id desc limit 1";
    assert_eq!(server.value(last).await.as_bytes(), body);
    assert_nothing_stored(&server).await;
    assert_eq!(server.count("inbound_keys").await, 0);
}
