//! Which route and which provider has its turn.

use model::{Outcome, Status};
use tokio_util::sync::CancellationToken;

use super::provider::TestProvider;
use super::stage::{Stage, provider, settled, step, turns};
use crate::run_once::Visit;

#[tokio::test]
async fn routes_that_share_a_provider_take_turns_at_its_slots() {
    let mut test_provider = TestProvider::start().await;
    let stage = Stage::new().await;
    for number in [1, 3, 5, 7] {
        stage.accept_on("odd", stage.fixtures.sms(1000, number)).await;
        stage.accept_on("even", stage.fixtures.sms(1000, number + 1)).await;
    }
    let text = format!(
        "{}
         [[routes]]\nname = \"odd\"\nchannel = \"sms\"\nto_prefix = \"+44\"\nproviders = [\"p\"]
         [[routes]]\nname = \"even\"\nchannel = \"sms\"\nproviders = [\"p\"]\n",
        provider("p", &test_provider.base_url, "max_in_flight = 1")
    );
    let processor = stage.processor(&text);
    let mut order = turns(&processor);
    let mut sent = Vec::new();
    for _ in 0..8 {
        // The second round finds no free slot, and takes nobody's turn away.
        for _ in 0..2 {
            processor.run_once(&mut order, Visit::Everyone, &CancellationToken::new()).await.unwrap();
        }
        assert_eq!(processor.leases.count(), 1);
        let call = test_provider.call().await;
        sent.push(if [1, 3, 5, 7].into_iter().any(|number| call.is_to(number)) { "odd" } else { "even" });
        call.accept().await;
        settled(&processor).await;
    }
    assert_eq!(sent, ["odd", "even", "odd", "even", "odd", "even", "odd", "even"]);
}

#[tokio::test]
async fn a_route_whose_provider_is_paused_uses_the_next_candidate() {
    let (mut first, mut second) = (TestProvider::start().await, TestProvider::start().await);
    let stage = Stage::new().await;
    let (refused, next) = (stage.accept_to(1).await, stage.accept_to(2).await);
    stage
        .execute(&format!("update outbox set next_attempt_at = 'infinity' where message_id = '{}'", next.id))
        .await;
    let text = format!("{}{}", provider("a", &first.base_url, ""), provider("b", &second.base_url, ""));
    let processor = stage.processor(&text);
    step(&processor).await;
    // The account is closed: that pauses the provider for at least ten seconds, and costs no attempt.
    first.call().await.answer(401, "", r#"{"code":20003,"status":401}"#).await;
    settled(&processor).await;
    let halted = stage.find(refused.id).await;
    assert_eq!((halted.status, halted.attempt), (Status::Retry, 0));
    assert_eq!(stage.code(refused.id).await, "halted");

    for id in [refused.id, next.id] {
        stage.make_due(id).await;
    }
    step(&processor).await;
    for call in second.calls(2).await {
        call.accept().await;
    }
    settled(&processor).await;
    for id in [refused.id, next.id] {
        let sent = stage.find(id).await;
        assert_eq!((sent.status, sent.provider_id.as_deref()), (Status::Ok, Some("b")));
    }
    assert!(first.has_no_more_calls());
}

#[tokio::test]
async fn a_provider_that_is_paused_keeps_only_its_own_routes_waiting() {
    let mut other = TestProvider::start().await;
    let stage = Stage::new().await;
    let waits = stage.accept_on("first", stage.fixtures.sms(1000, 1)).await;
    let goes = stage.accept_on("second", stage.fixtures.sms(1000, 2)).await;
    let text = format!(
        "{}{}
         [[routes]]\nname = \"first\"\nchannel = \"sms\"\nto_prefix = \"+44\"\nproviders = [\"a\"]
         [[routes]]\nname = \"second\"\nchannel = \"sms\"\nproviders = [\"b\"]\n",
        provider("a", "http://127.0.0.1:1", ""),
        provider("b", &other.base_url, "")
    );
    let processor = stage.processor(&text);
    let (candidate, permits) = processor.candidates.choose(&processor.parts.config.routes.0[0]).unwrap();
    candidate.learn(&Outcome::Halted { provider_code: None, detail: String::new() });
    drop(permits);
    step(&processor).await;
    other.call().await.accept().await;
    settled(&processor).await;
    assert_eq!(stage.find(goes.id).await.status, Status::Ok);
    assert_eq!(stage.row(waits.id).await.unwrap().lease_no, 0, "nothing was claimed for it");
}
