//! A database that keeps its connections and answers nothing: what the API answers, what readiness tells, and how it
//! recovers.

use bytes::Bytes;
use http::Method;
use serde_json::json;
use service::Clock;
use testkit::{Fault, FaultProxy, until};

use crate::server::{CONFIG, PUBLIC_URL, Server, code, start};
use crate::webhooks::{SID, TWILIO, inbound_sms, post_twilio};

/// A ready server whose database is behind a proxy.
async fn behind_proxy() -> (Server, FaultProxy) {
    let mut database = testkit::database().await;
    let proxy = FaultProxy::for_database(&database.url).await;
    database.pool = app_db::connect(&proxy.database_url(&database.url), 16).unwrap();
    let server = start(database, CONFIG, "127.0.0.1:0", Clock::System).await;
    until_readiness_is(&server, 200).await;
    (server, proxy)
}

async fn until_readiness_is(server: &Server, status: u16) {
    until("readiness changes", async || {
        (server.client.get("/readyz").await.status.as_u16() == status).then_some(())
    })
    .await;
}

async fn gauge(server: &Server, name: &str) -> f64 {
    let text = server.client.get("/metrics").await.text();
    let line =
        text.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap_or_else(|| panic!("{text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn in_a_black_hole_sends_are_503_and_not_ready_until_it_ends() {
    let (server, proxy) = behind_proxy().await;
    let request = json!({"from": "+12025550100", "to": "+12025550199", "body": "Hello"});
    server.client.post("/api/messages/sms", &request).await.expect(202);
    assert_eq!(gauge(&server, "app_database_reachable").await, 1.0);

    proxy.set(Fault::BlackHole);
    let answer = server.client.post("/api/messages/sms", &request).await.expect(503);
    assert_eq!(code(&answer), "database_unavailable");
    until_readiness_is(&server, 503).await;
    server.client.get("/healthz").await.expect(200);
    assert_eq!(gauge(&server, "app_database_reachable").await, 0.0);
    assert!(gauge(&server, "app_database_figures_age_seconds").await > 0.0);

    proxy.set(Fault::None);
    until_readiness_is(&server, 200).await;
    server.client.post("/api/messages/sms", &request).await.expect(202);
    assert_eq!(gauge(&server, "app_database_reachable").await, 1.0);
    assert_eq!(server.count("messages").await, 2, "what was answered 503 never reached the database");
}

#[tokio::test]
async fn a_commit_without_an_answer_is_503_and_its_repetition_finds_the_message() {
    let (server, proxy) = behind_proxy().await;
    let keyed = server.client.clone().with_header("idempotency-key", "once");
    let request = json!({"from": "+12025550100", "to": "+12025550199", "body": "Once"});
    // Statements are prepared by now: the next send is one round trip after another until its commit.
    server.send_sms("+12025550100", "+12025550199", "Before").await;
    proxy.set(Fault::SilentServer);
    keyed.post("/api/messages/sms", &request).await.expect(503);
    proxy.set(Fault::None);
    let first = until("the database serves again", async || {
        let answer = keyed.post("/api/messages/sms", &request).await;
        answer.status.is_success().then(|| answer.json())
    })
    .await;
    let again = keyed.post("/api/messages/sms", &request).await.expect(202).json();
    assert_eq!(first["id"], again["id"]);
    assert_eq!(server.count("messages").await, 2);
}

#[tokio::test]
async fn a_webhook_that_got_no_answer_is_one_message_after_its_repetition() {
    let (server, proxy) = behind_proxy().await;
    let url = format!("{PUBLIC_URL}{TWILIO}");
    let message = inbound_sms(SID);
    proxy.set(Fault::SilentServer);
    post_twilio(&server, TWILIO, &url, &message).await.expect(503);
    proxy.set(Fault::None);
    until("the database serves again", async || {
        post_twilio(&server, TWILIO, &url, &message).await.status.is_success().then_some(())
    })
    .await;
    post_twilio(&server, TWILIO, &url, &message).await.expect(200);
    assert_eq!(server.count("messages").await, 1);
}

#[tokio::test]
async fn a_server_whose_database_turned_read_only_is_not_ready_and_recovers() {
    let (server, _proxy) = behind_proxy().await;
    let name = server.value("select current_database()::text").await;
    let admin = testkit::database().await;
    let admin = admin.pool.get().await.unwrap();
    let request = json!({"from": "+12025550100", "to": "+12025550199", "body": "Hello"});
    admin
        .batch_execute(&format!("alter database {name} set default_transaction_read_only = on"))
        .await
        .unwrap();
    let terminate = "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1";
    admin.query(terminate, &[&name]).await.unwrap();
    until_readiness_is(&server, 503).await;
    let answer = server.client.post("/api/messages/sms", &request).await.expect(503);
    assert_eq!(code(&answer), "database_unavailable");
    admin.batch_execute(&format!("alter database {name} reset default_transaction_read_only")).await.unwrap();
    until_readiness_is(&server, 200).await;
    server.client.post("/api/messages/sms", &request).await.expect(202);
}

#[tokio::test]
async fn a_stop_during_a_black_hole_does_not_wait_for_it() {
    let (server, proxy) = behind_proxy().await;
    proxy.set(Fault::BlackHole);
    let client = server.client.clone();
    let asking = tokio::spawn(async move {
        client.send(Method::GET, "/api/messages", &[], Bytes::new()).await.expect(503);
    });
    until_readiness_is(&server, 503).await;
    let stopped = tokio::time::timeout(std::time::Duration::from_secs(25), server.stop()).await;
    stopped.expect("the end of the server").unwrap();
    asking.await.unwrap();
}
