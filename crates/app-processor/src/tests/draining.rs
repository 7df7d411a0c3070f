//! The end of a processor, as SIGTERM asks for it.

use std::sync::Arc;
use std::time::Duration;

use model::{Delivery, Status};
use testkit::until;
use tokio_util::sync::CancellationToken;

use super::provider::TestProvider;
use super::stage::{QUIET, Stage, config, provider};

/// Beyond all of a drain's own limits: a test that reaches it has failed.
const TOO_LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn what_is_under_way_is_finished_and_settled_and_nothing_new_is_claimed() {
    let mut test_provider = TestProvider::start().await;
    let stage = Stage::new().await;
    let under_way = stage.accept_to(1).await;
    let parts = stage.parts(config(&format!("{QUIET}{}", provider("p", &test_provider.base_url, ""))));
    let (wake, shutdown) = (Arc::clone(&parts.wake), CancellationToken::new());
    let running = tokio::spawn(crate::run(parts, None, shutdown.clone()));
    let call = test_provider.call().await;
    shutdown.cancel();
    let late = stage.accept_to(2).await;
    wake.notify_one();
    assert!(!running.is_finished(), "it waits for the answer");
    call.accept().await;
    tokio::time::timeout(TOO_LONG, running).await.unwrap().unwrap().unwrap();

    assert_eq!(stage.find(under_way.id).await.status, Status::Ok);
    let row = stage.row(late.id).await.unwrap();
    assert_eq!((row.lease_no, row.leased_by), (0, None));
    assert!(test_provider.has_no_more_calls());
}

#[tokio::test]
async fn a_call_that_is_never_answered_is_settled_by_its_time_out_before_the_end() {
    let mut test_provider = TestProvider::start().await;
    let stage = Stage::new().await;
    let message = stage.accept_to(1).await;
    let more = "timeout_s = 0.5\non_unknown = \"hold\"";
    let parts = stage.parts(config(&format!("{QUIET}{}", provider("p", &test_provider.base_url, more))));
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(crate::run(parts, None, shutdown.clone()));
    let _unanswered = test_provider.call().await;
    shutdown.cancel();
    tokio::time::timeout(TOO_LONG, running).await.unwrap().unwrap().unwrap();
    assert_eq!(stage.event_kinds(message.id).await, ["outcome_unknown"]);
}

#[tokio::test]
async fn it_ends_also_while_the_database_is_away_and_leaves_the_outcome_to_the_lease() {
    let mut test_provider = TestProvider::start().await;
    let stage = Stage::new().await;
    let message = stage.accept_to(1).await;
    let more = "timeout_s = 0.5";
    let parts = stage.parts(config(&format!("{QUIET}{}", provider("p", &test_provider.base_url, more))));
    let attempts = parts.metrics.attempts.clone();
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(crate::run(parts, None, shutdown.clone()));
    let call = test_provider.call().await;
    stage.database.go_away().await;
    call.answer(400, "", "{}").await;
    until("the call has ended", async || {
        let ended = ["rejected", "uncertain"].map(|outcome| {
            attempts.get_or_create(&service::metrics::ProviderOutcome::new("p", outcome)).get()
        });
        (ended != [0, 0]).then_some(())
    })
    .await;
    shutdown.cancel();
    tokio::time::timeout(TOO_LONG, running).await.unwrap().unwrap().unwrap();

    stage.database.come_back().await;
    assert_eq!(stage.row(message.id).await.unwrap().lease_no, 1);
}

#[tokio::test]
async fn a_file_that_is_being_fetched_is_given_up_and_its_message_is_due_again() {
    let mut test_provider = TestProvider::start().await;
    let stage = Stage::new().await;
    // It accepts connections and never answers.
    let host = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/file.pdf", host.local_addr().unwrap());
    let mail = stage.fixtures.email("app@example.com", "ann@example.net");
    let message = stage.accept_on("email", model::NewMessage { attachments: vec![url], ..mail }).await;
    let sendgrid = format!(
        "[[providers]]\nid = \"p\"\nkind = \"sendgrid\"\nbase_url = \"{}\"\napi_key = \"SG.x\"\n",
        test_provider.base_url
    );
    let text = format!("{QUIET}[attachments]\nallow_private = true\ntimeout_s = 300\n{sendgrid}");
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(crate::run(stage.parts(config(&text)), None, shutdown.clone()));
    let _unanswered = host.accept().await.unwrap();
    shutdown.cancel();
    tokio::time::timeout(TOO_LONG, running).await.unwrap().unwrap().unwrap();

    let row = stage.row(message.id).await.unwrap();
    assert_eq!((row.lease_no, row.leased_by), (1, None), "given back, not left to lapse");
    let stored = stage.find(message.id).await;
    assert_eq!((stored.status, stored.delivery, stored.attempt), (Status::Retry, Delivery::None, 0));
    assert!(test_provider.has_no_more_calls());
}

#[tokio::test]
async fn one_that_is_idle_ends_at_once_also_while_the_database_is_away() {
    let stage = Stage::new().await;
    let parts = stage.parts(config(&provider("p", "http://127.0.0.1:1", "")));
    stage.database.go_away().await;
    let shutdown = CancellationToken::new();
    shutdown.cancel();
    let running = crate::run(parts, None, shutdown);
    tokio::time::timeout(TOO_LONG, running).await.unwrap().unwrap();
}
