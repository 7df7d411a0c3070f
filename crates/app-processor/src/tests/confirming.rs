//! Routes whose messages must be delivered within a time, or another provider has them too.

use app_db::receipts::NewReceipt;
use model::{Delivery, Message, Status};

use super::provider::TestProvider;
use super::stage::{Stage, provider, settled, step};
use crate::Processor;

struct Confirming {
    stage: Stage,
    first: TestProvider,
    second: TestProvider,
    processor: std::sync::Arc<Processor>,
    message: Message,
}

impl Confirming {
    /// A message that the first of two providers has accepted.
    async fn new() -> Self {
        let (mut first, second) = (TestProvider::start().await, TestProvider::start().await);
        let stage = Stage::new().await;
        let message = stage.accept_to(1).await;
        let text = format!(
            "{}{}[[routes]]\nchannel = \"sms\"\nproviders = [\"a\", \"b\"]\nconfirm_within_s = 600\n",
            provider("a", &first.base_url, ""),
            provider("b", &second.base_url, "")
        );
        let processor = stage.processor(&text);
        step(&processor).await;
        first.call().await.accept().await;
        settled(&processor).await;
        Self { stage, first, second, processor, message }
    }

    async fn axes(&self) -> (Status, Delivery) {
        let message = self.stage.find(self.message.id).await;
        (message.status, message.delivery)
    }

    async fn receipt(&self, provider_id: &str, attempt: u32, delivery: Delivery) {
        let receipt = NewReceipt {
            message_id: Some(self.message.id),
            attempt: Some(attempt),
            provider_id: provider_id.to_owned(),
            provider_message_id: None,
            delivery,
            provider_code: None,
            detail: None,
            temporary: false,
        };
        let Processor { ids, parts, .. } = &*self.processor;
        let mut applied =
            app_db::receipts::apply(self.stage.pool(), ids, parts.clock.now(), &[receipt]).await;
        applied.pop().unwrap().unwrap();
    }

    async fn is_due(&self) -> bool {
        self.stage.row(self.message.id).await.unwrap().is_due
    }
}

#[tokio::test]
async fn an_accepted_message_waits_to_be_delivered_and_then_is_settled() {
    let this = Confirming::new().await;
    assert_eq!(this.axes().await, (Status::Retry, Delivery::Pending));
    assert_eq!(this.stage.code(this.message.id).await, "awaiting_delivery");
    assert!(!this.is_due().await);
    let client = this.stage.pool().get().await.unwrap();
    let event_id = this.stage.event_id(this.message.id);
    assert!(!app_db::cancel::cancel(&client, this.message.id, event_id).await.unwrap(), "a provider has it");
    this.receipt("a", 1, Delivery::Sent).await;
    assert_eq!(this.axes().await, (Status::Retry, Delivery::Sent));
    this.receipt("a", 1, Delivery::Delivered).await;
    assert_eq!(this.axes().await, (Status::Ok, Delivery::Delivered));
    assert!(this.stage.row(this.message.id).await.is_none());
    assert_eq!(this.stage.event_kinds(this.message.id).await, ["sent", "receipt", "receipt"]);
}

#[tokio::test]
async fn what_is_not_delivered_in_time_goes_to_the_next_provider_and_either_may_deliver() {
    let mut this = Confirming::new().await;
    this.receipt("a", 1, Delivery::Sent).await;
    this.stage.make_due(this.message.id).await;
    step(&this.processor).await;
    this.second.call().await.accept().await;
    settled(&this.processor).await;
    assert_eq!(this.axes().await, (Status::Ok, Delivery::Sent), "nobody else is left, and sent stays sent");
    let message = this.stage.find(this.message.id).await;
    assert_eq!((message.attempt, message.provider_id.as_deref()), (2, Some("b")));
    this.receipt("a", 1, Delivery::Delivered).await;
    assert_eq!(this.axes().await, (Status::Ok, Delivery::Delivered));
    assert!(this.first.has_no_more_calls());
}

#[tokio::test]
async fn a_carriers_refusal_hands_over_once_and_where_all_refuse_it_is_undelivered() {
    let mut this = Confirming::new().await;
    this.receipt("a", 1, Delivery::Undelivered).await;
    assert_eq!(this.axes().await, (Status::Retry, Delivery::Pending));
    assert!(this.is_due().await);
    step(&this.processor).await;
    this.second.call().await.answer(429, "Retry-After: 600\r\n", "{}").await;
    settled(&this.processor).await;
    assert!(!this.is_due().await);
    this.receipt("a", 1, Delivery::Undelivered).await;
    assert!(!this.is_due().await, "the same receipt once more hurries nobody");
    this.stage.make_due(this.message.id).await;
    step(&this.processor).await;
    this.second.call().await.answer(400, "", r#"{"code":21211,"status":400}"#).await;
    settled(&this.processor).await;
    assert_eq!(this.axes().await, (Status::Ok, Delivery::Undelivered));
    let problems =
        this.stage.pool().get().await.unwrap().query("select kind from problems", &[]).await.unwrap();
    assert_eq!(problems[0].get::<_, &str>(0), "undelivered");
    assert!(this.first.has_no_more_calls());
}

#[tokio::test]
async fn who_accepted_it_is_not_asked_again_whatever_the_other_says() {
    for answer in [(429, "{}"), (503, "{}"), (201, "nonsense"), (400, r#"{"code":21211,"status":400}"#)] {
        let mut this = Confirming::new().await;
        this.receipt("a", 1, Delivery::Sent).await;
        this.stage.make_due(this.message.id).await;
        step(&this.processor).await;
        this.second.call().await.answer(answer.0, "", answer.1).await;
        settled(&this.processor).await;
        if this.stage.row(this.message.id).await.is_some() {
            this.stage.make_due(this.message.id).await;
            step(&this.processor).await;
            this.second.call().await.accept().await;
            settled(&this.processor).await;
        }
        assert_eq!(this.axes().await, (Status::Ok, Delivery::Sent), "{answer:?}");
        assert!(this.first.has_no_more_calls(), "{answer:?}");
        this.receipt("a", 1, Delivery::Delivered).await;
        assert_eq!(this.axes().await, (Status::Ok, Delivery::Delivered), "{answer:?}");
    }
}

#[tokio::test]
async fn a_refusal_of_the_provider_whose_the_message_is_counts_although_another_was_asked_after_it() {
    let mut this = Confirming::new().await;
    this.stage.make_due(this.message.id).await;
    step(&this.processor).await;
    this.second.call().await.answer(400, "", r#"{"code":21211,"status":400}"#).await;
    settled(&this.processor).await;
    let message = this.stage.find(this.message.id).await;
    assert_eq!((message.status, message.provider_id.as_deref()), (Status::Ok, Some("a")));
    this.receipt("a", 1, Delivery::Undelivered).await;
    assert_eq!(this.axes().await, (Status::Ok, Delivery::Undelivered));
}

#[tokio::test]
async fn a_lapse_beside_an_accepted_attempt_takes_nothing_back() {
    let this = Confirming::new().await;
    this.receipt("a", 1, Delivery::Sent).await;
    this.stage.make_due(this.message.id).await;
    this.stage.lapse(this.message.id, "b").await;
    step(&this.processor).await;
    settled(&this.processor).await;
    assert_eq!(this.axes().await, (Status::Retry, Delivery::Sent));
    let label = service::metrics::ProviderResolution::new("b", "retry");
    assert_eq!(this.processor.parts.metrics.outcomes_unknown.get_or_create(&label).get(), 1, "counted");
}

#[tokio::test]
async fn with_three_candidates_each_has_it_once() {
    let mut providers =
        [TestProvider::start().await, TestProvider::start().await, TestProvider::start().await];
    let stage = Stage::new().await;
    let message = stage.accept_to(1).await;
    let configured: String =
        ["a", "b", "c"].iter().zip(&providers).map(|(id, known)| provider(id, &known.base_url, "")).collect();
    let rule = "[[routes]]\nchannel = \"sms\"\nproviders = [\"a\", \"b\", \"c\"]\nconfirm_within_s = 600\n";
    let processor = stage.processor(&format!("{configured}{rule}"));
    for provider in &mut providers {
        step(&processor).await;
        provider.call().await.accept().await;
        settled(&processor).await;
        if stage.row(message.id).await.is_some() {
            stage.make_due(message.id).await;
        }
    }
    let message = stage.find(message.id).await;
    assert_eq!((message.status, message.delivery, message.attempt), (Status::Ok, Delivery::Pending, 3));
    for provider in &mut providers {
        assert!(provider.has_no_more_calls());
    }
}

#[tokio::test]
async fn where_only_the_same_provider_is_left_it_is_not_sent_again() {
    let mut this = Confirming::new().await;
    this.processor
        .candidates
        .get("b")
        .unwrap()
        .learn(&model::Outcome::Halted { provider_code: None, detail: String::new() });
    this.stage.make_due(this.message.id).await;
    step(&this.processor).await;
    settled(&this.processor).await;
    assert_eq!(this.axes().await, (Status::Ok, Delivery::Pending));
    assert!(this.first.has_no_more_calls() && this.second.has_no_more_calls());
}
