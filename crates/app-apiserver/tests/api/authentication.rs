//! API keys and the secret of the generic webhooks.

use app_apiserver::RunError;
use app_db::keys::Role;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::Method;
use model::IdGenerator;
use serde_json::json;
use service::Clock;
use testkit::{HttpClient, TestDatabase};

use crate::server::{
    CONFIG, PUBLIC_URL, Server, code, field_codes, server, server_with, start, start_as_it_is,
};

/// An operator's key.
pub(crate) async fn create_key(server: &Server, seed: u8) -> String {
    create_key_of(&server.database, seed, Role::Operator).await
}

pub(crate) async fn create_key_of(database: &TestDatabase, seed: u8, role: Role) -> String {
    let client = database.pool.get().await.unwrap();
    let mut state = seed;
    let mut random = || {
        state = state.wrapping_mul(73).wrapping_add(41);
        state
    };
    let (ids, now) = (IdGenerator::seeded(seed.into()), Clock::System.now());
    app_db::keys::create(&client, &ids, now, "test", role, &mut random).await.unwrap().0
}

pub(crate) fn with_key(client: &HttpClient, key: &str) -> HttpClient {
    client.clone().with_header("authorization", &format!("Bearer {key}"))
}

#[tokio::test]
async fn without_keys_the_server_is_open_and_the_first_key_closes_it() {
    let server = server().await;
    with_key(&server.client, "whatever").get("/api/messages").await.expect(200);
    let key = create_key(&server, 1).await;
    let refused = testkit::until("a key is needed", async || {
        let answer = server.client.get("/api/messages").await;
        (answer.status == 401).then_some(answer)
    })
    .await;
    assert_eq!(code(&refused), "unauthorized");
    assert_eq!(refused.header("www-authenticate"), "Bearer realm=\"app\"");
    with_key(&server.client, &key).get("/api/messages").await.expect(200);
    let mut mistyped = key.clone();
    mistyped.pop();
    for (key, says) in [(mistyped.as_str(), "mistyped"), ("", "needed")] {
        let answer = with_key(&server.client, key).get("/api/messages").await.expect(401);
        assert!(answer.json()["detail"].as_str().unwrap().contains(says), "{}", answer.text());
    }
    for path in ["/healthz", "/readyz", "/openapi.json", "/login", "/docs/", "/metrics"] {
        server.client.get(path).await.expect(200);
    }
    let posts = [
        "/api/messages/sms",
        "/api/messages/email",
        "/api/messages/x/cancel",
        "/api/conversations/x/messages",
    ];
    for path in posts {
        server.client.post(path, &json!({})).await.expect(401);
    }
    server.client.get("/api/messages/x/explain").await.expect(401);
    let inbound = json!({"from": "+12025550199", "to": "+12025550100", "body": "Hi", "x_id": "1"});
    let refused = server.client.post("/api/webhooks/sms", &inbound).await.expect(403);
    assert_eq!(code(&refused), "webhook_secret_not_configured");

    server.execute("update api_keys set revoked_at = now()").await;
    let other = create_key(&server, 2).await;
    testkit::until("the revoked key is refused", async || {
        (with_key(&server.client, &key).get("/api/messages").await.status == 401).then_some(())
    })
    .await;
    with_key(&server.client, &other).get("/api/messages").await.expect(200);
}

#[tokio::test]
async fn without_keys_the_server_answers_only_to_its_own_names_and_pages() {
    let server = server().await;
    let message = json!({"from": "+12025550100", "to": "+12025550199", "body": "x"});
    for (name, value, expected) in [
        ("host", "evil.example", "forbidden_host"),
        ("origin", "http://evil.example", "cross_site"),
        ("origin", "null", "cross_site"),
        ("sec-fetch-site", "cross-site", "cross_site"),
    ] {
        let page = server.client.clone().with_header(name, value);
        let refused = page.post("/api/messages/sms", &message).await.expect(403);
        assert_eq!(code(&refused), expected, "{name}: {value}");
        assert_eq!(code(&page.get("/api/messages").await.expect(403)), expected, "{name}: {value}");
        for path in ["/healthz", "/readyz"] {
            page.get(path).await.expect(200);
        }
        let is_host = name == "host";
        for path in ["/metrics", "/openapi.json", "/docs/"] {
            page.get(path).await.expect(if is_host { 403 } else { 200 });
        }
        let inbound = json!({"from": "+12025550199", "to": "+12025550100", "body": "Hi", "x_id": value});
        assert_eq!(code(&page.post("/api/webhooks/sms", &inbound).await.expect(403)), expected);
    }
    assert_eq!(server.count("webhook_deliveries").await, 0);
    assert_eq!(server.count("outbox").await, 0);
    for (name, value) in [("host", "msg.localhost"), ("origin", "http://localhost:3000")] {
        server.client.clone().with_header(name, value).get("/api/messages").await.expect(200);
    }
    let key = create_key(&server, 1).await;
    let elsewhere = with_key(&server.client, &key).with_header("host", "evil.example");
    testkit::until("the key counts", async || {
        (elsewhere.get("/api/messages").await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn idempotency_keys_of_two_api_keys_do_not_meet() {
    let server = server().await;
    let (first, second) = (create_key(&server, 1).await, create_key(&server, 2).await);
    testkit::until("both keys are known", async || {
        let statuses = [&first, &second].map(|key| with_key(&server.client, key));
        let mut known = server.client.get("/api/messages").await.status == 401;
        for client in statuses {
            known &= client.get("/api/messages").await.status == 200;
        }
        known.then_some(())
    })
    .await;
    for (key, to) in [(&first, "+12025550111"), (&second, "+12025550122")] {
        let request = json!({"from": "+12025550100", "to": to, "body": "x"}).to_string();
        let headers = [("content-type", "application/json"), ("idempotency-key", "same")];
        let client = with_key(&server.client, key);
        client.send(Method::POST, "/api/messages/sms", &headers, Bytes::from(request)).await.expect(202);
    }
    assert_eq!(server.count("messages").await, 2);
}

#[tokio::test]
async fn off_loopback_the_server_refuses_to_start_without_keys() {
    let server = start(testkit::database().await, CONFIG, "0.0.0.0:0", Clock::System).await;
    let error = server.running.await.unwrap().unwrap_err();
    assert!(matches!(error, RunError::NoApiKeys(_)), "{error}");
    assert!(error.to_string().contains("app keys create NAME"), "{error}");
}

#[tokio::test]
async fn off_loopback_everything_but_health_and_docs_needs_a_key_or_the_secret() {
    let database = testkit::database().await;
    // An application's too: what it may do does not depend on where the server listens.
    let key = create_key_of(&database, 9, Role::Application).await;
    let server = start(database, CONFIG, "0.0.0.0:0", Clock::System).await;
    testkit::until("the server is ready", async || {
        server.client.get("/readyz").await.status.is_success().then_some(())
    })
    .await;
    server.client.get("/api/messages").await.expect(401);
    server.client.get("/metrics").await.expect(401);
    with_key(&server.client, &key).get("/api/messages").await.expect(200);
    with_key(&server.client, &key).get("/metrics").await.expect(200);
    server.client.get("/healthz").await.expect(200);
    let inbound = json!({"from": "+12025550199", "to": "+12025550100", "body": "Hi", "x_id": "1"});
    let refused = server.client.post("/api/webhooks/sms", &inbound).await.expect(403);
    assert_eq!(code(&refused), "webhook_secret_not_configured");
    assert_eq!(server.count("webhook_deliveries where reason = 'unverified'").await, 1);
    assert_eq!(server.count("messages").await, 0);
}

#[tokio::test]
async fn a_configured_secret_is_asked_for_on_loopback_too() {
    let config = format!("{CONFIG}\n[webhooks]\nsecret = \"hush\"\n");
    let server = server_with(&config, "127.0.0.1:0", Clock::System).await;
    let inbound = json!({"from": "+12025550199", "to": "+12025550100", "body": "Hi", "x_id": "1"});
    for (client, id) in [(server.client.clone(), "1"), (with_key(&server.client, "wrong"), "2")] {
        let inbound = json!({"from": "+12025550199", "to": "+12025550100", "body": "Hi", "x_id": id});
        let refused = client.post("/api/webhooks/sms", &inbound).await.expect(401);
        assert_eq!(code(&refused), "unauthorized");
    }
    assert_eq!(server.count("messages").await, 0);
    assert_eq!(server.count("webhook_deliveries where reason = 'unverified'").await, 2);
    let kept = "webhook_deliveries where headers ->> 'authorization' = '[\"…(12)\"]'";
    assert_eq!(server.count(kept).await, 1, "the value is masked");
    with_key(&server.client, "hush").post("/api/webhooks/sms", &inbound).await.expect(200);
}

#[tokio::test]
async fn of_a_strangers_webhook_only_the_beginning_is_kept() {
    let config = format!("{CONFIG}\n[webhooks]\nsecret = \"hush\"\n");
    let server = server_with(&config, "127.0.0.1:0", Clock::System).await;
    let headers = [("content-type", "application/json"), ("authorization", "Bearer guess")];
    let long = Bytes::from(vec![b'x'; 3 << 20]);
    let refused = server.client.send(Method::POST, "/api/webhooks/sms", &headers, long).await;
    assert_eq!(code(&refused.expect(401)), "unauthorized");
    assert_eq!(server.value("select length(body)::text from webhook_deliveries").await, "16384");
    assert_eq!(server.count("webhook_deliveries where is_cut").await, 1);
}

#[tokio::test]
async fn with_a_real_provider_or_a_public_url_a_server_without_keys_does_not_start() {
    let simulated = "[[providers]]\nid = \"sim\"\nkind = \"twilio\"\nbase_url = \"http://127.0.0.1:9\"\n\
                     account_sid = \"AC1\"\nauth_token = \"t\"\n";
    for (config, public_url, why) in [
        (CONFIG, PUBLIC_URL, "the provider twilio-main is not simulated"),
        (simulated, "https://msg.example.com", "APP_PUBLIC_URL, https://msg.example.com"),
    ] {
        let server = start_as_it_is(testkit::database().await, config, public_url).await;
        let error = server.running.await.unwrap().unwrap_err();
        assert!(matches!(error, RunError::NoApiKeys(_)), "{error}");
        let said = error.to_string();
        assert!(said.contains(why) && said.contains("app keys create NAME"), "{said}");
    }
    let server = start_as_it_is(testkit::database().await, simulated, PUBLIC_URL).await;
    testkit::until("it is open", async || {
        (server.client.get("/api/messages").await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn with_a_real_provider_every_request_needs_a_key_or_a_secret() {
    let database = testkit::database().await;
    let key = create_key_of(&database, 9, Role::Operator).await;
    let server = start_as_it_is(database, CONFIG, "https://msg.example.com").await;
    testkit::until("the server is ready", async || {
        server.client.get("/readyz").await.status.is_success().then_some(())
    })
    .await;
    let proxied = server.client.clone().with_header("host", "msg.example.com");
    for client in [&server.client, &proxied] {
        client.get("/api/messages").await.expect(401);
        client.get("/keys").await.expect(303);
        let inbound = json!({"from": "+12025550199", "to": "+12025550100", "body": "Hi", "x_id": "1"});
        let refused = client.post("/api/webhooks/sms", &inbound).await.expect(403);
        assert_eq!(code(&refused), "webhook_secret_not_configured");
        with_key(client, &key).get("/api/messages").await.expect(200);
    }
    assert_eq!(server.count("messages").await, 0);
}

#[tokio::test]
async fn revoking_the_last_key_closes_the_server_for_good() {
    let server = server().await;
    let key = create_key(&server, 1).await;
    testkit::until("a key is needed", async || {
        (server.client.get("/api/messages").await.status == 401).then_some(())
    })
    .await;
    server.execute("update api_keys set revoked_at = now()").await;
    testkit::until("the key is refused", async || {
        (with_key(&server.client, &key).get("/api/messages").await.status == 401).then_some(())
    })
    .await;
    server.client.get("/api/messages").await.expect(401);
    server.client.get("/keys").await.expect(303);
    let Server { database, shutdown, running, .. } = server;
    shutdown.cancel();
    running.await.unwrap().unwrap();
    let again = start(database, CONFIG, "127.0.0.1:0", Clock::System).await;
    let error = again.running.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("every key of this installation was revoked"), "{error}");
}

#[tokio::test]
async fn a_key_is_taken_as_user_or_password_of_basic_authentication() {
    let server = server().await;
    let key = create_key(&server, 1).await;
    let basic = |text: &str| {
        server.client.clone().with_header("authorization", &format!("Basic {}", BASE64.encode(text)))
    };
    crate::keys::counts(&server, &key).await;
    basic(&format!("api:{key}")).get("/api/messages").await.expect(200);
    basic(&format!("{key}:")).get("/api/messages").await.expect(200);
    basic(&format!("{key}:x")).get("/api/webhook_deliveries").await.expect(200);
    for wrong in ["api:wrong", "wrong:", ":"] {
        basic(wrong).get("/api/messages").await.expect(401);
    }
}

#[tokio::test]
async fn a_generic_webhook_cannot_claim_a_configured_provider() {
    let server = server().await;
    for name in ["twilio-main_id", "TWILIO-Main_id", " twilio-main_id", "sendgrid-main_id"] {
        let inbound = json!({"from": "+12025550199", "to": "+12025550100", "body": "Hi", name: "1"});
        let refused = server.client.post("/api/webhooks/sms", &inbound).await.expect(400);
        assert_eq!(field_codes(&refused), ["<provider>_id: provider_configured"], "{name}");
    }
    assert_eq!(server.count("messages").await, 0);
    let inbound = json!({"from": "+12025550199", "to": "+12025550100", "body": "Hi", "twilio_id": "1"});
    server.client.post("/api/webhooks/sms", &inbound).await.expect(200);
}

#[tokio::test]
async fn further_hosts_are_configured_and_a_key_makes_the_host_irrelevant() {
    let config = format!("[server]\nhosts = [\"console.internal\"]\n{CONFIG}");
    let server = server_with(&config, "127.0.0.1:0", Clock::System).await;
    let named = |host: &str| server.client.clone().with_header("host", host);
    for path in ["/api/messages", "/metrics", "/openapi.json", "/docs/", "/"] {
        named("console.internal:8080").get(path).await.expect(200);
        named("evil.example").get(path).await.expect(403);
    }
    let key = create_key(&server, 1).await;
    testkit::until("a key is needed", async || {
        (server.client.get("/api/messages").await.status == 401).then_some(())
    })
    .await;
    for path in ["/metrics", "/openapi.json", "/docs/"] {
        assert_eq!(code(&named("evil.example").get(path).await.expect(403)), "forbidden_host");
        with_key(&named("evil.example"), "wrong").get(path).await.expect(403);
        with_key(&named("evil.example"), &key).get(path).await.expect(200);
    }
    named("evil.example").get("/login").await.expect(403);
    named("console.internal").get("/login").await.expect(200);
}

#[tokio::test]
async fn an_unverified_webhook_is_taken_only_under_a_name_of_this_server() {
    let config = "[[providers]]\nid = \"wa\"\nkind = \"whatsapp\"\naccess_token = \"t\"\n\
                  phone_numbers = \"+12025550100=1\"\napp_secret = \"s\"\nverify_token = \"v\"\nverify = false\n";
    let server = server_with(config, "127.0.0.1:0", Clock::System).await;
    let target = "/api/webhooks/wa?hub.mode=subscribe&hub.challenge=1&hub.verify_token=v";
    server.client.get(target).await.expect(200);
    let foreign = server.client.clone().with_header("host", "evil.example");
    assert_eq!(code(&foreign.get(target).await.expect(403)), "forbidden_host");
}
