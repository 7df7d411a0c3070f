//! Tasks that must not end, and what is known before the first claim.

use std::time::Duration;

use service::supervision::Supervisor;
use tokio_util::sync::CancellationToken;

use super::provider::TestProvider;
use super::stage::{QUIET, Stage, config, provider};
use crate::duties::DUTIES;

/// Beyond all limits of a drain: a test that reaches it has failed.
const TOO_LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_task_that_panics_ends_the_processor_with_an_error_that_names_it() {
    let stage = Stage::new().await;
    let duties = DUTIES.iter().map(|duty| duty.name);
    let tasks = ["settler", "lease keeper", "provider state publisher", "listener for work"];
    for task in tasks.into_iter().chain(duties) {
        let parts = stage.parts(config(&provider("p", "http://127.0.0.1:1", "")));
        let supervisor = Supervisor::with_fault(task);
        let running = crate::run_supervised(parts, None, CancellationToken::new(), supervisor);
        let error = tokio::time::timeout(TOO_LONG, running).await.unwrap().unwrap_err().to_string();
        assert!(error.contains(task) && error.contains("panicked"), "{error}");
    }
}

#[tokio::test]
async fn a_provider_that_was_paused_before_the_start_is_not_called() {
    let (mut paused, mut working) = (TestProvider::start().await, TestProvider::start().await);
    let stage = Stage::new().await;
    let mut waiting = Vec::new();
    for to in 1..=5 {
        waiting.push(stage.accept_to(to).await.id);
    }
    let mail = stage.fixtures.email("app@example.com", "ann@example.net");
    stage.accept_on("email", mail).await;
    let client = stage.pool().get().await.unwrap();
    app_db::provider_pauses::pause(&client, "paused", None).await.unwrap();
    let text = format!(
        "{QUIET}{}[[providers]]\nid = \"working\"\nkind = \"sendgrid\"\nbase_url = \"{}\"\napi_key = \"SG.x\"\n",
        provider("paused", &paused.base_url, ""),
        working.base_url
    );
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(crate::run(stage.parts(config(&text)), None, shutdown.clone()));
    // The first round has come: it visits every lane.
    let call = working.call().await;
    call.answer(202, "x-message-id: x\r\n", "").await;
    shutdown.cancel();
    tokio::time::timeout(TOO_LONG, running).await.unwrap().unwrap().unwrap();
    assert!(paused.has_no_more_calls());
    for id in waiting {
        assert_eq!(stage.row(id).await.unwrap().lease_no, 0, "never claimed");
    }
}
