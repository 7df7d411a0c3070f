//! A database that keeps its connections and answers nothing: what the processor's own server tells, and that the
//! processor goes on by itself.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use model::Status;
use secrecy::SecretString;
use testkit::{Fault, FaultProxy, HttpClient, until};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::provider::TestProvider;
use super::stage::{Stage, config, provider};
use crate::{CONNECTIONS, Parts};

async fn listener() -> (TcpListener, HttpClient) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = HttpClient::new(format!("http://{}", listener.local_addr().unwrap()));
    (listener, client)
}

/// Parts whose database is behind a proxy.
async fn behind_proxy(stage: &Stage, test_provider: &TestProvider) -> (Parts, FaultProxy) {
    let proxy = FaultProxy::for_database(&stage.database.url).await;
    let url = proxy.database_url(&stage.database.url);
    let mut parts = stage.parts(config(&provider("p", &test_provider.base_url, "timeout_s = 1")));
    parts.pool = app_db::connect(&url, CONNECTIONS).unwrap();
    parts.database_url = SecretString::from(url);
    (parts, proxy)
}

async fn until_readiness_is(client: &HttpClient, status: StatusCode) {
    until("readiness changes", async || (client.get("/readyz").await.status == status).then_some(())).await;
}

#[tokio::test]
async fn a_processor_lives_before_its_database_answers_and_is_ready_after() {
    let stage = Stage::new().await;
    let test_provider = TestProvider::start().await;
    let (parts, proxy) = behind_proxy(&stage, &test_provider).await;
    proxy.set(Fault::BlackHole);
    let (listener, client) = listener().await;
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(crate::run(parts, Some(listener), shutdown.clone()));
    client.get("/healthz").await.expect(200);
    let readiness = client.get("/readyz").await.expect(503).json();
    assert!(readiness["database"].as_str().unwrap().contains("starting"), "{readiness}");
    proxy.set(Fault::None);
    until_readiness_is(&client, StatusCode::OK).await;
    shutdown.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_processor_in_a_black_hole_is_not_ready_and_sends_when_it_ends() {
    let stage = Stage::new().await;
    let mut test_provider = TestProvider::start().await;
    let (parts, proxy) = behind_proxy(&stage, &test_provider).await;
    let wake = Arc::clone(&parts.wake);
    let (listener, client) = listener().await;
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(crate::run(parts, Some(listener), shutdown.clone()));
    until_readiness_is(&client, StatusCode::OK).await;
    assert!(client.get("/metrics").await.text().contains("app_database_reachable 1"));

    proxy.set(Fault::BlackHole);
    let message = stage.accept_to(1).await;
    wake.notify_one();
    until_readiness_is(&client, StatusCode::SERVICE_UNAVAILABLE).await;
    client.get("/healthz").await.expect(200);
    until("the gauge tells", async || {
        client.get("/metrics").await.text().contains("app_database_reachable 0").then_some(())
    })
    .await;

    proxy.set(Fault::None);
    test_provider.call().await.accept().await;
    until("it is settled", async || (stage.find(message.id).await.status == Status::Ok).then_some(())).await;
    until_readiness_is(&client, StatusCode::OK).await;
    assert!(test_provider.has_no_more_calls());
    shutdown.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_stop_during_a_black_hole_does_not_wait_for_it() {
    let stage = Stage::new().await;
    let test_provider = TestProvider::start().await;
    let (parts, proxy) = behind_proxy(&stage, &test_provider).await;
    let (listener, client) = listener().await;
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(crate::run(parts, Some(listener), shutdown.clone()));
    until_readiness_is(&client, StatusCode::OK).await;
    proxy.set(Fault::BlackHole);
    until_readiness_is(&client, StatusCode::SERVICE_UNAVAILABLE).await;
    shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(25), running).await.expect("its end").unwrap().unwrap();
}

#[tokio::test]
async fn an_address_that_is_taken_is_a_warning_also_where_it_is_configured() {
    let (taken, _) = listener().await;
    let address = taken.local_addr().unwrap();
    let config = config(&format!("[processor]\nlisten = \"{address}\"\n"));
    assert!(config.processor.listen_configured);
    assert!(crate::listen_for_metrics(&config).await.is_none());
}
