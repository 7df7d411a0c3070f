//! Parked receipts: matched by the provider's message id, whatever the kind, and forgotten only when that is done.

use std::sync::Arc;
use std::time::Duration;

use app_db::parked;
use app_db::receipts::NewReceipt;
use app_db::receive::key_hash;
use model::{Delivery, OnUnknown};
use service::metrics::ProviderResult;
use testkit::outbox::accepted;
use uuid::Uuid;

use super::stage::{Stage, provider};
use crate::Processor;

/// Its receipts are matched by the provider's id alone.
const HTTP: &str = "[[providers]]\nid = \"h\"\nkind = \"http\"\nchannels = [\"sms\"]\n\
                    base_url = \"http://127.0.0.1:9\"\nmethod = \"GET\"\n\
                    url = \"/send?to={to_digits}&text={body}\"\nmessage_id = \"ID: {id}\"\n";

struct Searching {
    stage: Stage,
    processor: Arc<Processor>,
}

impl Searching {
    async fn new() -> Self {
        let stage = Stage::new().await;
        let processor = stage.processor(&provider("p", "http://127.0.0.1:9", ""));
        Self { stage, processor }
    }

    /// A message that provider `p` accepted under the id `SM1`.
    async fn sent(&self) -> Uuid {
        let id = self.stage.accept_to(2).await.id;
        let claimed = self.stage.claim(1).await.pop().unwrap();
        self.stage.settle(&claimed, &accepted()).await;
        id
    }

    async fn park(&self, provider_id: &str, provider_message_id: &str) {
        let receipt = NewReceipt {
            message_id: None,
            attempt: None,
            provider_id: provider_id.to_owned(),
            provider_message_id: Some(provider_message_id.to_owned()),
            delivery: Delivery::Delivered,
            provider_code: None,
            detail: None,
            temporary: false,
        };
        let client = self.stage.pool().get().await.unwrap();
        let id = self.stage.event_id(Uuid::nil());
        parked::park(&client, &[(id, receipt)]).await.unwrap();
    }

    async fn search(&self) {
        self.processor.search_parked(Duration::ZERO).await.unwrap();
    }

    async fn parked(&self) -> i64 {
        let client = self.stage.pool().get().await.unwrap();
        client.query_one("select count(*) from webhook_deliveries", &[]).await.unwrap().get(0)
    }

    fn counted(&self, result: &str) -> u64 {
        let labels = ProviderResult::new("p", result);
        self.processor.parts.metrics.receipts_not_applied.get_or_create(&labels).get()
    }
}

#[tokio::test]
async fn a_receipt_without_our_id_is_matched_by_the_providers_also_before_the_settle() {
    let searching = Searching::new().await;
    searching.park("p", "SM1").await;
    searching.search().await;
    assert_eq!(searching.parked().await, 1, "nothing has its id yet");
    let id = searching.sent().await;
    searching.search().await;
    assert_eq!(searching.stage.find(id).await.delivery, Delivery::Delivered);
    assert_eq!(searching.parked().await, 0);
}

#[tokio::test]
async fn one_provider_never_settles_a_message_of_another_by_its_id() {
    let searching = Searching::new().await;
    let id = searching.sent().await;
    for (provider_id, provider_message_id) in [("q", "SM1"), ("p", "SM2")] {
        searching.park(provider_id, provider_message_id).await;
    }
    searching.search().await;
    assert_eq!(searching.stage.find(id).await.delivery, Delivery::Pending);
    assert_eq!(searching.parked().await, 2);
}

#[tokio::test]
async fn what_a_processor_left_parked_that_was_killed_after_its_settle_is_found_by_the_next() {
    let stage = Stage::new().await;
    let processor = stage.processor(HTTP);
    let id = stage.accept_to(2).await.id;
    let claimed = stage.claim(1).await.pop().unwrap();
    let mut settlement = stage.settlement(&claimed, &accepted(), OnUnknown::Hold);
    settlement.provider_id = Some("h".to_owned());
    settlement.reference = Some(key_hash("h", "SM1"));
    stage.write(&[settlement]).await;
    let searching = Searching { stage, processor };
    searching.park("h", "SM1").await;
    searching.search().await;
    assert_eq!(searching.stage.find(id).await.delivery, Delivery::Delivered);
    assert_eq!(searching.parked().await, 0);
}

#[tokio::test]
async fn what_no_message_has_after_a_search_of_all_is_dropped_and_counted() {
    let searching = Searching::new().await;
    searching.sent().await;
    searching.park("p", "SM2").await;
    searching.search().await;
    assert_eq!(searching.parked().await, 1, "its message may still be waiting for its settle");
    searching.stage.execute("update webhook_deliveries set received_at = now() - interval '1 hour'").await;
    searching.search().await;
    assert_eq!((searching.parked().await, searching.counted("unknown_message")), (0, 1));
}

#[tokio::test]
async fn one_processor_at_a_time_searches() {
    let searching = Searching::new().await;
    let id = searching.sent().await;
    searching.search().await;
    searching.park("p", "SM1").await;
    searching.processor.search_parked(Duration::from_secs(60)).await.unwrap();
    assert_eq!(searching.stage.find(id).await.delivery, Delivery::Pending, "a search has just begun");
    searching.search().await;
    assert_eq!(searching.stage.find(id).await.delivery, Delivery::Delivered);
}
