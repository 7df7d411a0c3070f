//! Which route and which provider has its turn.

use model::{Outcome, Status};
use tokio::time::Instant;
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
    let (candidate, permits) = processor.lanes.0[0].choose(Instant::now()).unwrap();
    candidate.learn(&Outcome::Halted { provider_code: None, detail: String::new() });
    drop(permits);
    step(&processor).await;
    other.call().await.accept().await;
    settled(&processor).await;
    assert_eq!(stage.find(goes.id).await.status, Status::Ok);
    assert_eq!(stage.row(waits.id).await.unwrap().lease_no, 0, "nothing was claimed for it");
}

#[tokio::test]
async fn what_one_provider_does_not_serve_goes_to_the_next_at_once_and_the_one_after_that_waits() {
    let (mut first, mut second) = (TestProvider::start().await, TestProvider::start().await);
    let stage = Stage::new().await;
    let message = stage.accept_to(1).await;
    let text = format!("{}{}", provider("a", &first.base_url, ""), provider("b", &second.base_url, ""));
    let processor = stage.processor(&text);
    step(&processor).await;
    first.call().await.answer(503, "", "{}").await;
    settled(&processor).await;
    let row = stage.row(message.id).await.unwrap();
    assert_eq!((row.route.as_str(), row.is_due), ("sms!a", true));
    step(&processor).await;
    second.call().await.answer(503, "", "{}").await;
    settled(&processor).await;
    let row = stage.row(message.id).await.unwrap();
    assert_eq!((row.route.as_str(), row.is_due), ("sms!b", false), "two in a row: it waits");
    stage.make_due(message.id).await;
    step(&processor).await;
    first.call().await.accept().await;
    settled(&processor).await;
    let sent = stage.find(message.id).await;
    assert_eq!((sent.status, sent.attempt, sent.provider_id.as_deref()), (Status::Ok, 3, Some("a")));
    assert!(second.has_no_more_calls());
}

#[tokio::test]
async fn an_account_that_may_not_send_this_leaves_it_to_another() {
    let (mut first, mut second) = (TestProvider::start().await, TestProvider::start().await);
    let stage = Stage::new().await;
    let message = stage.accept_to(1).await;
    let text = format!("{}{}", provider("a", &first.base_url, ""), provider("b", &second.base_url, ""));
    let processor = stage.processor(&text);
    step(&processor).await;
    first.call().await.answer(400, "", r#"{"code":21606,"status":400}"#).await;
    settled(&processor).await;
    step(&processor).await;
    second.call().await.answer(400, "", r#"{"code":21606,"status":400}"#).await;
    settled(&processor).await;
    let failed = stage.find(message.id).await;
    assert_eq!((failed.status, failed.attempt), (Status::Failed, 2));
    assert_eq!(stage.code(message.id).await, "configuration");
}

#[tokio::test]
async fn a_reply_goes_through_the_provider_that_the_conversation_uses() {
    let (mut first, mut second) = (TestProvider::start().await, TestProvider::start().await);
    let stage = Stage::new().await;
    let text = format!("{}{}", provider("a", &first.base_url, ""), provider("b", &second.base_url, ""));
    let processor = stage.processor(&text);
    let sticky = processor.parts.config.routes.0[0].sticky_providers();
    let inbound = app_db::receive::Inbound {
        message: stage.fixtures.inbound_sms(2, 1),
        provider_id: "b".to_owned(),
        provider_message_id: "SM1".to_owned(),
        files: Vec::new(),
    };
    let (pool, fixtures) = (stage.pool(), &stage.fixtures);
    app_db::receive::receive(pool, &fixtures.ids, fixtures.now, &[inbound]).await.pop().unwrap().unwrap();
    let reply = stage.accept_sticking(&sticky, stage.fixtures.sms(1, 2)).await;
    let other = stage.accept_sticking(&sticky, stage.fixtures.sms(1, 3)).await;
    assert_eq!(stage.row(reply.id).await.unwrap().route, "sms>b");
    assert_eq!(stage.row(other.id).await.unwrap().route, "sms");
    step(&processor).await;
    second.call().await.accept().await;
    first.call().await.accept().await;
    settled(&processor).await;
    assert_eq!(stage.find(reply.id).await.provider_id.as_deref(), Some("b"));
}

#[tokio::test]
async fn a_rate_is_one_for_all_processors() {
    let test_provider = TestProvider::start().await;
    let stage = Stage::new().await;
    for to in 0..40 {
        stage.accept_to(to).await;
    }
    // Of a budget of 100 a second a tenth may be taken at once, less its safe share.
    let text = provider("p", &test_provider.base_url, "rate_per_s = 100");
    let (one, other) = (stage.processor(&text), stage.processor(&text));
    tokio::join!(step(&one), step(&other));
    let begun = one.leases.count() + other.leases.count();
    assert!((1..20).contains(&begun), "{begun} calls at once, of 40 that are due");
}

#[tokio::test]
async fn a_lane_that_the_configuration_no_longer_makes_is_matched_again() {
    let mut first = TestProvider::start().await;
    let stage = Stage::new().await;
    let mut ids = Vec::new();
    for (number, lane) in [(1, "sms!a"), (2, "sms>a"), (3, "sms!gone"), (4, "sms>gone")] {
        ids.push(stage.accept_on(lane, stage.fixtures.sms(1, number)).await.id);
    }
    // One provider: there is nothing to avoid or to prefer any more.
    let processor = stage.processor(&provider("a", &first.base_url, ""));
    processor.reroute_stranded(&mut std::collections::HashMap::new()).await.unwrap();
    step(&processor).await;
    for call in first.calls(4).await {
        call.accept().await;
    }
    settled(&processor).await;
    for id in ids {
        assert_eq!(stage.find(id).await.status, Status::Ok);
    }
}

#[tokio::test]
async fn lanes_with_nothing_due_take_no_rate_from_one_that_has() {
    let test_provider = TestProvider::start().await;
    let stage = Stage::new().await;
    // A call a fortnight: what is taken and lost does not come back within the test.
    let text = format!(
        "{}
         [[routes]]\nname = \"first\"\nchannel = \"sms\"\nto_prefix = \"+44\"\nproviders = [\"p\"]
         [[routes]]\nname = \"second\"\nchannel = \"sms\"\nproviders = [\"p\"]\n",
        provider("p", &test_provider.base_url, "rate_per_s = 0.001")
    );
    let processor = stage.processor(&text);
    let (mut turns, end) = (turns(&processor), CancellationToken::new());
    for _ in 0..3 {
        let round = processor.run_once(&mut turns, Visit::Everyone, &end).await.unwrap();
        assert!(round.unserved.is_empty(), "nothing is due, so nobody waits");
    }
    stage.accept_on("second", stage.fixtures.sms(1000, 2)).await;
    step(&processor).await;
    assert_eq!(processor.leases.count(), 1);
}
