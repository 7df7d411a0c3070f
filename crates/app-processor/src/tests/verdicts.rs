//! What a call, or an attempt without a call, says about the provider beyond its message.

use std::sync::Arc;

use model::{NewMessage, Outcome, ProviderHealth, Status};
use testkit::until;
use tokio::time::Instant;

use super::provider::{Call, TestProvider};
use super::stage::{Stage, provider, settled, step};
use crate::Processor;

const FORBIDDEN: &str = r#"{"code":20403,"message":"Forbidden","status":403}"#;

async fn forbid(call: Call) {
    call.answer(403, "", FORBIDDEN).await;
}

fn health(processor: &Processor) -> ProviderHealth {
    let candidate = processor.candidates.get("p").unwrap();
    candidate.state(Instant::now(), processor.parts.clock.now()).state
}

/// Calls that its provider's breaker allows at once.
fn allowed(processor: &Processor) -> usize {
    let (candidate, permits) = processor.lanes.0[0].choose(Instant::now()).unwrap();
    candidate.give_back(permits.num_permits());
    permits.num_permits()
}

/// A provider that is down, and whose probes may begin.
async fn probed(processor: &Arc<Processor>) {
    processor.candidates.get("p").unwrap().learn(&Outcome::Unreachable { detail: String::new() });
    until("its pause is over", async || (health(processor) == ProviderHealth::HalfOpen).then_some(())).await;
}

#[tokio::test]
async fn one_recipient_in_ten_that_is_forbidden_delays_no_other() {
    let mut test_provider = TestProvider::start().await;
    let stage = Stage::new().await;
    let mut ids = Vec::new();
    for number in 0..40 {
        ids.push(stage.accept_to(number).await.id);
    }
    let processor = stage.processor_for(&test_provider, "");
    step(&processor).await;
    let (bad, good): (Vec<Call>, Vec<Call>) =
        test_provider.calls(40).await.into_iter().partition(|call| (0..4).any(|number| call.is_to(number)));
    assert_eq!(bad.len(), 4);
    // Refusals are faster.
    for call in bad {
        forbid(call).await;
    }
    until("they are settled", async || (processor.leases.count() == 36).then_some(())).await;
    assert_eq!(health(&processor), ProviderHealth::Closed);
    for call in good {
        call.accept().await;
    }
    settled(&processor).await;
    for (number, id) in ids.into_iter().enumerate() {
        let message = stage.find(id).await;
        if number < 4 {
            assert_eq!((message.status, message.attempt), (Status::Retry, 1));
            assert_eq!(stage.code(id).await, "forbidden");
        } else {
            assert_eq!(message.status, Status::Ok);
        }
    }
    assert_eq!(allowed(&processor), 64);
}

#[tokio::test]
async fn a_message_that_alone_is_forbidden_fails_by_its_count() {
    let mut test_provider = TestProvider::start().await;
    let stage = Stage::new().await;
    let id = stage.accept_to(1).await.id;
    let text = format!("[processor]\nmax_attempts = 3\n{}", provider("p", &test_provider.base_url, ""));
    let processor = stage.processor(&text);
    for _ in 0..3 {
        stage.make_due(id).await;
        step(&processor).await;
        forbid(test_provider.call().await).await;
        settled(&processor).await;
        assert_eq!(health(&processor), ProviderHealth::Closed);
    }
    let message = stage.find(id).await;
    assert_eq!((message.status, message.attempt), (Status::Failed, 3));
    assert_eq!(stage.code(id).await, "exhausted");
}

#[tokio::test]
async fn an_account_that_is_forbidden_everything_is_halted_and_then_costs_nothing() {
    let mut test_provider = TestProvider::start().await;
    let stage = Stage::new().await;
    let mut ids = Vec::new();
    for number in 0..40 {
        ids.push(stage.accept_to(number).await.id);
    }
    let processor = stage.processor_for(&test_provider, "");
    step(&processor).await;
    for call in test_provider.calls(40).await {
        forbid(call).await;
    }
    settled(&processor).await;
    assert_eq!(health(&processor), ProviderHealth::Halted);
    let mut counted = 0;
    for id in ids {
        let message = stage.find(id).await;
        assert_eq!(message.status, Status::Retry);
        counted += message.attempt;
    }
    assert!((1..=39).contains(&counted), "{counted} attempts were counted before it was halted");
}

#[tokio::test]
async fn our_own_refusals_are_no_word_of_the_provider() {
    let mut test_provider = TestProvider::start().await;
    let stage = Stage::new().await;
    let processor = stage.processor_for(&test_provider, "");
    probed(&processor).await;
    let mut ids = Vec::new();
    for number in 0..3 {
        let message = NewMessage { body: "x".repeat(10_000), ..stage.fixtures.sms(1, number) };
        ids.push(stage.accept(message).await.id);
    }
    step(&processor).await;
    settled(&processor).await;
    assert!(test_provider.has_no_more_calls());
    for id in ids {
        let message = stage.find(id).await;
        assert_eq!((message.status, message.provider_id), (Status::Failed, None), "no provider was asked");
    }
    assert_eq!(health(&processor), ProviderHealth::HalfOpen, "two of them do not close the breaker");
    assert_eq!(allowed(&processor), 3, "its probes are free at once");
}

#[tokio::test]
async fn a_file_that_cannot_be_fetched_frees_its_probe_at_once() {
    let test_provider = TestProvider::start().await;
    let stage = Stage::new().await;
    let base_url = &test_provider.base_url;
    let processor = stage.processor(&format!(
        "[attachments]\nallow_private = true\non_failure = \"fail\"\n\
         [[providers]]\nid = \"p\"\nkind = \"sendgrid\"\nbase_url = \"{base_url}\"\napi_key = \"SG.x\"\n"
    ));
    probed(&processor).await;
    for _ in 0..3 {
        let mail = stage.fixtures.email("app@example.com", "ann@example.net");
        let attachments = vec!["http://127.0.0.1:1/a".to_owned()];
        stage.accept_on("email", NewMessage { attachments, ..mail }).await;
    }
    step(&processor).await;
    settled(&processor).await;
    assert_eq!(health(&processor), ProviderHealth::HalfOpen);
    assert_eq!(allowed(&processor), 3);
}
