//! Why a message is where it is, asked of a server.

use app_db::provider_states::{self, ProviderState};
use model::ProviderHealth;
use serde_json::{Value, json};
use service::Clock;
use uuid::Uuid;

use crate::server::{CONFIG, Server, code, server, server_with};

async fn explained(server: &Server, message: &Value) -> Value {
    let path = format!("/api/messages/{}/explain", message["id"].as_str().unwrap());
    server.client.get(&path).await.expect(200).json()
}

async fn publish(server: &Server, health: ProviderHealth) {
    let client = server.database.pool.get().await.unwrap();
    let now = Clock::System.now();
    let state = ProviderState {
        provider_id: "twilio-main".to_owned(),
        state: health,
        reason: Some("unreachable".to_owned()),
        since: now,
        until: Some(now + std::time::Duration::from_secs(30)),
        in_flight: 0,
        slots: 64,
        failures: 5,
        latency_ms: None,
        latency_p95_ms: None,
        calls_per_s: None,
    };
    provider_states::publish(&client, Uuid::from_u128(1), &[state]).await.unwrap();
}

#[tokio::test]
async fn a_due_message_is_explained_by_what_processors_publish_and_operators_pause() {
    let server = server().await;
    let message = server.send_sms("+12025550100", "+12025550199", "Why").await;
    let state = async || {
        let explained = explained(&server, &message).await;
        assert!(explained["summary"].as_str().unwrap().ends_with('.'), "{explained}");
        explained["state"]["code"].as_str().unwrap().to_owned()
    };
    assert_eq!(state().await, "no_processor");
    publish(&server, ProviderHealth::Closed).await;
    assert_eq!(state().await, "due");
    publish(&server, ProviderHealth::Open).await;
    assert_eq!(state().await, "provider_down");
    {
        let client = server.database.pool.get().await.unwrap();
        app_db::provider_pauses::pause(&client, "twilio-main", None).await.unwrap();
    }
    assert_eq!(state().await, "paused_by_operator");
    server
        .execute(
            "update outbox set lease_no = 1, leased_by = '0190f3a2-7b1c-70a7-8123-456789abcdef',
                 leased_provider = 'twilio-main', leased_until = now() + interval '1 minute'",
        )
        .await;
    let explained = explained(&server, &message).await;
    assert_eq!(explained["state"]["code"], "sending");
    assert_eq!(explained["state"]["processor"], "0190f3a2-7b1c-70a7-8123-456789abcdef");
    assert_eq!(explained["message_id"], message["id"]);
    assert_eq!(explained["candidates"][0]["code"], "paused_by_operator");
    assert_eq!(
        explained["route"]["rules"][0],
        json!({
            "name": "sms", "result": "matched", "key": null, "detail": null
        })
    );
}

#[tokio::test]
async fn what_happened_to_a_message_is_in_its_explanation() {
    let server = server().await;
    let message = server.send_sms("+12025550100", "+12025550199", "Why").await;
    let id = message["id"].as_str().unwrap();
    let bucket = u8::from_str_radix(&id[16..18], 16).unwrap();
    server
        .execute(&format!(
            "insert into message_events (bucket, message_id, id, kind, status_tag, delivery_tag, attempt, provider_id,
                 code, provider_code, detail)
             select {bucket}, '{id}', ('019a2f7e-3c41-70a4-8000-' || lpad(n::text, 12, '0'))::uuid, 'retrying', 'retry',
                 'none', n, 'twilio-main', 'unavailable', '20500', 'HTTP 500'
             from generate_series(1, 201) n;
             update messages set status_tag = 'failed', provider_id = 'twilio-main', attempt = 201,
                 status_payload = '{{\"code\": \"exhausted\"}}';
             delete from outbox",
        ))
        .await;
    let explained = explained(&server, &message).await;
    assert_eq!(explained["state"]["code"], "failed");
    assert_eq!(
        (&explained["state"]["reason"], &explained["next_attempt_at"]),
        (&json!("exhausted"), &Value::Null)
    );
    let attempts = explained["attempts"].as_array().unwrap();
    assert_eq!((attempts.len(), &explained["has_older_events"]), (200, &json!(true)));
    assert_eq!((&attempts[0]["number"], &attempts[199]["number"]), (&json!(2), &json!(201)));
    assert_eq!(
        (&attempts[0]["outcome"], &attempts[0]["provider_code"]),
        (&json!("unavailable"), &json!("20500"))
    );
}

#[tokio::test]
async fn a_received_message_is_explained_too_and_an_unknown_one_is_not_found() {
    let server = server().await;
    let inbound = json!({"from": "+12025550199", "to": "+12025550100", "body": "Hi", "x_id": "1"});
    let received = server.client.post("/api/webhooks/sms", &inbound).await.expect(200).json();
    let explained = explained(&server, &received).await;
    assert_eq!((&explained["state"]["code"], &explained["route"]), (&json!("received"), &Value::Null));
    for id in ["019a2f7e-3c41-70a4-8000-3f1c52d0a7b1", "not-an-id"] {
        let answer = server.client.get(&format!("/api/messages/{id}/explain")).await.expect(404);
        assert_eq!(code(&answer), "message_not_found");
    }
}

#[tokio::test]
async fn what_no_rule_takes_is_told_with_every_rule() {
    let config = format!(
        "{CONFIG}\n[[routes]]\nname = \"berlin\"\nchannel = \"sms\"\nto_prefix = \"+4930\"\n\
         providers = [\"twilio-main\"]\n"
    );
    let server = server_with(&config, "127.0.0.1:0", Clock::System).await;
    let message = server.send_sms("+12025550100", "+12025550199", "Why").await;
    let explained = explained(&server, &message).await;
    assert_eq!(explained["state"]["code"], "no_route");
    assert_eq!((&explained["route"]["name"], &explained["candidates"]), (&Value::Null, &json!([])));
    assert_eq!(
        explained["route"]["rules"][0],
        json!({
            "name": "berlin", "result": "does_not_match", "key": "to_prefix",
            "detail": "the recipient's address does not begin with +4930"
        })
    );
}
