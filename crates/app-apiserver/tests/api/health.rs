//! Readiness, shutdown, and what happens without a database.

use std::time::Duration;

use app_apiserver::RunError;
use app_db::migrate::MigrateError;
use jiff::SignedDuration;
use serde_json::json;
use service::Clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::server::{CONFIG, Server, another_on, code, server, server_with, start};

#[tokio::test]
async fn a_server_whose_clock_is_off_is_not_ready() {
    let clock = Clock::manual(Clock::System.now());
    let server = server_with(CONFIG, "127.0.0.1:0", clock.clone()).await;
    let ready = server.client.get("/readyz").await.expect(200).json();
    let all = json!({
        "ready": true, "database": "ok", "schema": "ok", "clock": "ok", "partitions": "ok", "writes": "ok",
        "dispatch": "ok",
    });
    assert_eq!(ready, all);
    clock.advance_ms(60_000);
    let answer = server.client.get("/readyz").await.expect(503).json();
    assert!(answer["clock"].as_str().unwrap().contains("off the database's"), "{answer}");
}

#[tokio::test]
async fn a_server_whose_clock_leaps_stores_messages_under_the_databases_time() {
    let clock = Clock::manual(Clock::System.now());
    let server = server_with(CONFIG, "127.0.0.1:0", clock.clone()).await;
    for leap_ms in [36 * 86_400_000, -72 * 86_400_000] {
        clock.advance_ms(leap_ms);
        let message = server.send_sms("+12025550100", "+12025550199", "Hello").await;
        let id: Uuid = message["id"].as_str().unwrap().parse().unwrap();
        let off = model::id::time_of(id).duration_since(Clock::System.now());
        assert!(off.abs() < SignedDuration::from_mins(10), "{leap_ms}: {off}");
    }
    server.client.get("/readyz").await.expect(503);
}

#[tokio::test]
async fn another_schema_is_refused_at_start() {
    let database = testkit::database().await;
    let client = database.pool.get().await.unwrap();
    client
        .batch_execute(
            "update refinery_schema_history set version = version + 1000;
             update schema_compat set oldest_binary = oldest_binary + 1000",
        )
        .await
        .unwrap();
    drop(client);
    let server = start(database, CONFIG, "127.0.0.1:0", Clock::System).await;
    let error = server.running.await.unwrap().unwrap_err();
    assert!(matches!(error, RunError::Schema(MigrateError::Newer { .. })), "{error}");
    let empty = testkit::database::empty_database().await;
    let server = start(empty, CONFIG, "127.0.0.1:0", Clock::System).await;
    let error = server.running.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("app migrate"), "{error}");
}

#[tokio::test]
async fn a_server_stays_ready_while_a_newer_version_migrates_the_schema() {
    let clock = Clock::manual(Clock::System.now());
    let server = server_with(CONFIG, "127.0.0.1:0", clock.clone()).await;
    let client = server.database.pool.get().await.unwrap();
    client
        .batch_execute(
            "insert into refinery_schema_history
             select 999, 'from_the_future', applied_on, checksum from refinery_schema_history limit 1",
        )
        .await
        .unwrap();
    // The last look counts for a second.
    clock.advance_ms(2_000);
    server.client.get("/readyz").await.expect(200);
    another_on(&server).await.get("/readyz").await.expect(200);
}

#[tokio::test]
async fn while_the_database_is_gone_requests_are_503_and_it_recovers_by_itself() {
    let server = server().await;
    let name = server.value("select current_database()::text").await;
    let admin = testkit::database().await;
    let admin = admin.pool.get().await.unwrap();
    admin.batch_execute(&format!("alter database {name} allow_connections false")).await.unwrap();
    let terminate = "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1";
    admin.query(terminate, &[&name]).await.unwrap();
    let request = json!({"from": "+12025550100", "to": "+12025550199", "body": "Hello"});
    for answer in
        [server.client.post("/api/messages/sms", &request).await, server.client.get("/api/messages").await]
    {
        let answer = answer.expect(503);
        assert_eq!(code(&answer), "database_unavailable");
        assert_eq!(answer.header("retry-after"), "1");
    }
    until_readiness_is(&server, 503).await;
    server.client.get("/healthz").await.expect(200);
    admin.batch_execute(&format!("alter database {name} allow_connections true")).await.unwrap();
    server.client.post("/api/messages/sms", &request).await.expect(202);
    until_readiness_is(&server, 200).await;
}

/// The last look counts for a second.
async fn until_readiness_is(server: &Server, status: u16) {
    testkit::until("readiness is looked at again", async || {
        (server.client.get("/readyz").await.status.as_u16() == status).then_some(())
    })
    .await;
}

#[tokio::test]
async fn probes_share_one_look_at_the_database() {
    let clock = Clock::manual(Clock::System.now());
    let server = server_with(CONFIG, "127.0.0.1:0", clock.clone()).await;
    let connections = || server.database.pool.status().size;
    let before = connections();
    // A look takes until it is given up.
    let mut client = server.database.pool.get().await.unwrap();
    let transaction = client.transaction().await.unwrap();
    transaction.batch_execute("lock table refinery_schema_history").await.unwrap();
    clock.advance_ms(2_000);
    let mut probes = JoinSet::new();
    for _ in 0..40 {
        let client = server.client.clone();
        probes.spawn(async move { client.get("/readyz").await });
    }
    for answer in probes.join_all().await {
        answer.expect(503);
    }
    // One for the lock, one for the look, one each for what runs in the background.
    assert!(connections() <= before + 5, "{} connections after {before}", connections());
}

#[tokio::test]
async fn a_server_waits_for_its_database_and_says_so() {
    let database = testkit::database().await;
    let client = database.pool.get().await.unwrap();
    let name: String = client.query_one("select current_database()::text", &[]).await.unwrap().get(0);
    drop(client);
    let admin = testkit::database().await;
    let admin = admin.pool.get().await.unwrap();
    admin.batch_execute(&format!("alter database {name} allow_connections false")).await.unwrap();
    let terminate = "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1";
    admin.query(terminate, &[&name]).await.unwrap();
    let server = start(database, CONFIG, "127.0.0.1:0", Clock::System).await;
    server.client.get("/healthz").await.expect(200);
    server.client.get("/readyz").await.expect(503);
    assert_eq!(code(&server.client.get("/api/messages").await.expect(503)), "database_unavailable");
    admin.batch_execute(&format!("alter database {name} allow_connections true")).await.unwrap();
    testkit::until("it is ready", async || {
        server.client.get("/readyz").await.status.is_success().then_some(())
    })
    .await;
    server.client.get("/api/messages").await.expect(200);
}

#[tokio::test]
async fn at_the_end_requests_under_way_are_finished_and_new_ones_refused() {
    let server = server().await;
    let body = json!({"from": "+12025550100", "to": "+12025550199", "body": "The last one"}).to_string();
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "POST /api/messages/sms HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         expect: 100-continue\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // The server asks for the body: the request is under way.
    let mut asked = [0; 25];
    stream.read_exact(&mut asked).await.unwrap();
    assert!(asked.starts_with(b"HTTP/1.1 100"));
    let address = server.address;
    server.shutdown.cancel();
    testkit::until("nobody listens any more", async || {
        TcpStream::connect(address).await.is_err().then_some(())
    })
    .await;
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    assert_eq!(server.count("messages").await, 1);
    tokio::time::timeout(Duration::from_secs(30), server.stop()).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_client_that_leaves_does_not_take_its_message_along() {
    let server = server().await;
    let body = json!({"from": "+12025550100", "to": "+12025550199", "body": "Gone"}).to_string();
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let request = format!(
        "POST /api/messages/sms HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    drop(stream);
    // It is stored or it never arrived; what follows is served either way.
    server.send_sms("+12025550100", "+12025550199", "Still here").await;
    server.stop().await.unwrap();
}

#[tokio::test]
async fn every_answer_has_a_request_id_and_keeps_a_plain_one() {
    let server = server().await;
    for path in ["/healthz", "/api/messages", "/nothing", "/openapi.json"] {
        assert!(!server.client.get(path).await.header("x-request-id").is_empty(), "{path}");
    }
    let given = server.client.clone().with_header("x-request-id", "abc-1");
    assert_eq!(given.get("/healthz").await.header("x-request-id"), "abc-1");
    let odd = server.client.clone().with_header("x-request-id", "a b");
    assert_ne!(odd.get("/healthz").await.header("x-request-id"), "a b");
}

#[tokio::test]
async fn the_front_page_and_the_docs_ask_no_other_server() {
    let server = server().await;
    let front = server.client.get("/").await.expect(200);
    assert!(front.header("content-security-policy").starts_with("default-src 'none'"));
    assert!(front.text().contains("/docs"));
    let docs = server.client.get("/docs/").await.expect(200);
    assert!(docs.header("content-security-policy").contains("connect-src 'self'"));
    for file in ["/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css", "/docs/swagger-initializer.js"] {
        assert!(!server.client.get(file).await.expect(200).body.is_empty(), "{file}");
    }
    let initializer = server.client.get("/docs/swagger-initializer.js").await.text();
    assert!(initializer.contains("/openapi.json") && initializer.contains("\"none\""), "{initializer}");
}
