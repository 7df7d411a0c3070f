//! The audit log: what leaves an entry, who reads it, and failed authentication.

use app_db::keys::Role;
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use service::Clock;
use testkit::{HttpClient, until};

use crate::authentication::{create_key, create_key_of, with_key};
use crate::console::submit;
use crate::keys::{counts, make};
use crate::server::{CONFIG, Server, code, field_codes, server, server_with};
use crate::webhooks::TWILIO;

async fn logged_in(server: &Server, key: &str) -> HttpClient {
    let answer = submit(&server.client, "/login", &format!("key={key}")).await.expect(303);
    let cookie = answer.header("set-cookie").split(';').next().unwrap().to_owned();
    server.client.clone().with_header("cookie", &cookie)
}

async fn entries(server: &Server, key: &str, query: &str) -> Vec<Value> {
    let list = with_key(&server.client, key).get(&format!("/api/audit{query}")).await.expect(200).json();
    list["entries"].as_array().unwrap().clone()
}

fn actions(entries: &[Value]) -> Vec<&str> {
    entries.iter().rev().map(|entry| entry["action"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn every_change_by_an_operator_leaves_an_entry_with_who_what_and_where_from() {
    let server = server().await;
    let key = create_key(&server, 1).await;
    counts(&server, &key).await;
    let session = logged_in(&server, &key).await;
    submit(&session, "/providers/twilio-main/pause", "note=disputed").await.expect(303);
    submit(&session, "/providers/twilio-main/resume", "").await.expect(303);
    submit(&session, "/providers/twilio-main/resume", "").await.expect(303);
    make(&session, "name=shop").await.expect(200);
    let shop = server.value("select id::text from api_keys where name = 'shop'").await;
    submit(&session, &format!("/keys/{shop}/revoke"), "").await.expect(303);
    let api = with_key(&server.client, &key);
    let sent = json!({"from": "+12025550100", "to": "+12025550199", "body": "Hi"});
    let id = api.post("/api/messages/sms", &sent).await.expect(202).json()["id"].as_str().unwrap().to_owned();
    api.post(&format!("/api/messages/{id}/cancel"), &json!({})).await.expect(200);
    api.post(&format!("/api/messages/{id}/cancel"), &json!({})).await.expect(409);
    submit(&session, &format!("/messages/{id}/retry"), "").await.expect(303);
    submit(&session, "/bulk", "action=cancel&status=outbox").await;
    submit(&session, "/logout", "").await.expect(303);

    let entries = entries(&server, &key, "").await;
    let expected = [
        "session.login",
        "provider.pause",
        "provider.resume",
        "key.create",
        "key.revoke",
        "message.cancel",
        "message.retry",
        "job.start",
        "session.logout",
    ];
    assert_eq!(actions(&entries), expected, "{entries:#?}");
    let operator = server.value("select id::text from api_keys where name = 'test'").await;
    for entry in &entries {
        assert_eq!((&entry["actor"], &entry["actor_name"]), (&json!(operator), &json!("test")));
        assert_eq!((&entry["actor_kind"], &entry["source"]), (&json!("key"), &json!("127.0.0.1")));
        assert!(entry["at"].as_str().unwrap().ends_with('Z'));
        assert!(!entry.to_string().contains(&key) && !entry.to_string().contains("+1202555"), "{entry}");
    }
    let of = |action: &str| entries.iter().find(|entry| entry["action"] == action).unwrap();
    assert_eq!(of("provider.pause")["target"], "twilio-main");
    assert_eq!(of("provider.pause")["detail"], json!({"note": "disputed"}));
    assert_eq!(of("key.revoke")["target"], json!(shop));
    assert_eq!(of("message.cancel")["target"], json!(id));
    assert_eq!(server.count("audit_log where actor_name <> 'test'").await, 0);
}

#[tokio::test]
async fn what_is_done_with_rejected_webhooks_leaves_an_entry() {
    let server = server().await;
    let key = create_key(&server, 1).await;
    for number in 0..3 {
        let form = format!("Body=Hi&From=%2B12025550199&MessageSid=SM{number:032}&To=%2B12025550100");
        let headers = [("content-type", "application/x-www-form-urlencoded"), ("x-twilio-signature", "AAAA")];
        let forged = server.client.send(Method::POST, TWILIO, &headers, Bytes::from(form)).await;
        assert_eq!(code(&forged.expect(403)), "webhook_not_verified");
    }
    counts(&server, &key).await;
    let session = logged_in(&server, &key).await;
    let id = server.value("select min(id::text) from webhook_deliveries").await;
    submit(&session, &format!("/quarantine/{id}/trust"), "").await.expect(303);
    let id = server.value("select min(id::text) from webhook_deliveries").await;
    submit(&session, &format!("/quarantine/{id}/forget"), "").await.expect(303);
    let last = server.value("select min(id::text) from webhook_deliveries").await;
    let form = format!("action=forget&reason=unverified&provider=twilio-main&up_to={last}");
    submit(&session, "/quarantine/all", &form).await.expect(303);
    let entries = entries(&server, &key, "?action=webhook").await;
    assert_eq!(actions(&entries), ["webhook.trust", "webhook.forget", "webhook.forget_all"]);
    assert_eq!(entries[0]["detail"]["count"], 1);
}

#[tokio::test]
async fn a_change_whose_entry_cannot_be_written_is_not_made() {
    let server = server().await;
    let key = create_key(&server, 1).await;
    counts(&server, &key).await;
    let session = logged_in(&server, &key).await;
    let sent = json!({"from": "+12025550100", "to": "+12025550199", "body": "Hi"});
    let api = with_key(&server.client, &key);
    let id = api.post("/api/messages/sms", &sent).await.expect(202).json()["id"].as_str().unwrap().to_owned();
    server.execute("alter table audit_log add constraint never check (false) not valid").await;
    submit(&session, "/providers/twilio-main/pause", "").await.expect(500);
    make(&session, "name=shop").await.expect(500);
    submit(&server.client, "/login", &format!("key={key}")).await.expect(500);
    api.post(&format!("/api/messages/{id}/cancel"), &json!({})).await.expect(500);
    for table in ["provider_pauses", "api_keys where name = 'shop'", "messages where status_tag = 'failed'"] {
        assert_eq!(server.count(table).await, 0, "{table}");
    }
    assert_eq!(server.count("console_sessions").await, 1);
}

#[tokio::test]
async fn the_log_is_listed_in_pages_by_who_what_and_when_and_for_operators_only() {
    let server = server().await;
    let operator = create_key(&server, 1).await;
    let application = create_key_of(&server.database, 2, Role::Application).await;
    counts(&server, &operator).await;
    counts(&server, &application).await;
    let session = logged_in(&server, &operator).await;
    for _ in 0..2 {
        submit(&session, "/providers/twilio-main/pause", "").await.expect(303);
        submit(&session, "/providers/twilio-main/resume", "").await.expect(303);
    }
    let refused = with_key(&server.client, &application).get("/api/audit").await.expect(403);
    assert_eq!(code(&refused), "not_an_operators_key");
    for (query, count) in [
        ("?action=provider.pause", 2),
        ("?action=provider", 4),
        ("?action=prov", 0),
        ("?actor=test", 5),
        ("?actor=nobody", 0),
        ("?target=twilio-main", 4),
        ("?until=2020-01-01T00:00:00Z", 0),
        ("?since=2020-01-01T00:00:00Z&target=twilio-main&action=provider.resume", 2),
    ] {
        assert_eq!(entries(&server, &operator, query).await.len(), count, "{query}");
    }
    let api = with_key(&server.client, &operator);
    let first = api.get("/api/audit?limit=3").await.expect(200).json();
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = api.get(&format!("/api/audit?limit=3&cursor={cursor}")).await.expect(200).json();
    assert_eq!(first["entries"].as_array().unwrap().len() + second["entries"].as_array().unwrap().len(), 5);
    assert_eq!(second["next_cursor"], Value::Null);
    let wrong = api.get("/api/audit?who=me&since=yesterday").await.expect(400);
    assert_eq!(field_codes(&wrong).len(), 2);

    let page = session.get("/audit?action=provider.pause&actor=&target=").await.expect(200).text();
    assert_eq!(page.matches("<code>provider.pause</code>").count(), 2, "{page}");
    assert!(page.contains("key test") && page.contains("127.0.0.1") && !page.contains("session.login"));
    session.get("/audit?since=yesterday").await.expect(400);
}

async fn fail(client: &HttpClient, count: u32) -> u16 {
    let mut status = 0;
    for _ in 0..count {
        status = with_key(client, "wrong").get("/api/messages").await.status.as_u16();
    }
    status
}

#[tokio::test]
async fn failed_authentication_is_counted_and_a_burst_is_recorded_but_this_machine_is_never_slowed() {
    let server = server().await;
    let key = create_key(&server, 1).await;
    counts(&server, &key).await;
    assert_eq!(fail(&server.client, 30).await, 401);
    submit(&server.client, "/login", "key=wrong").await.expect(401);
    let metrics = server.client.get("/metrics").await.expect(200).text();
    for line in [
        "app_authentication_failures_total{surface=\"api\",reason=\"unknown_key\"} 30",
        "app_authentication_failures_total{surface=\"console\",reason=\"unknown_key\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    let burst = until("the burst is recorded", async || {
        entries(&server, &key, "?action=authentication.failures").await.pop()
    })
    .await;
    assert_eq!((&burst["actor_kind"], &burst["source"]), (&json!("server"), &json!("127.0.0.1")));
    assert_eq!(burst["detail"]["count"], 20);
}

#[tokio::test]
async fn a_remote_peer_that_fails_too_often_is_slowed_and_no_other_nor_a_valid_key() {
    let config =
        format!("[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\n{CONFIG}\n[webhooks]\nsecret = \"hush\"\n");
    let server = server_with(&config, "127.0.0.1:0", Clock::System).await;
    let key = create_key(&server, 1).await;
    counts(&server, &key).await;
    let guesser = server.client.clone().with_header("x-forwarded-for", "203.0.113.9");
    let other = server.client.clone().with_header("x-forwarded-for", "203.0.113.10");
    assert_eq!(fail(&guesser, 20).await, 401);
    let slowed = with_key(&guesser, "wrong").get("/api/messages").await.expect(429);
    assert_eq!(code(&slowed), "too_many_failures");
    let retry_after: u64 = slowed.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&retry_after), "{retry_after}");
    submit(&guesser, "/login", "key=wrong").await.expect(429);
    let headers = [("content-type", "application/json"), ("authorization", "Bearer guess")];
    let guess = guesser.send(Method::POST, "/api/webhooks/sms", &headers, Bytes::from_static(b"{}")).await;
    assert_eq!(code(&guess.expect(429)), "too_many_failures");
    assert_eq!(server.count("webhook_deliveries").await, 0, "a slowed webhook takes no space");
    with_key(&guesser, &key).get("/api/messages").await.expect(200);
    let inbound = json!({"from": "+12025550199", "to": "+12025550100", "body": "Hi", "x_id": "1"});
    with_key(&guesser, "hush").post("/api/webhooks/sms", &inbound).await.expect(200);
    guesser.get("/api/messages").await.expect(401);
    with_key(&other, "wrong").get("/api/messages").await.expect(401);
    assert_eq!(fail(&server.client, 25).await, 401, "of the proxy itself");
}
