//! Whole rounds: what is due is sent and settled, once.

use std::collections::HashSet;
use std::net::Ipv4Addr;

use model::{Delivery, Status};
use provider_simulator::{Options, Receipts, Simulator};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::provider::TestProvider;
use super::stage::{Stage, provider, settled, step};

#[tokio::test]
async fn what_is_due_is_sent_and_settled_and_nothing_is_sent_twice() {
    let receipts = Receipts { enabled: false, ..Receipts::default() };
    let simulator = Simulator::new(Options { receipts, ..Options::default() }).unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let base_url = format!("http://{}", listener.local_addr().unwrap());
    let end = CancellationToken::new();
    let _ends = end.clone().drop_guard();
    let serving = simulator.clone();
    tokio::spawn(async move { serving.serve(listener, end).await });
    let stage = Stage::new().await;
    let mut ids = HashSet::new();
    for to in 0..30 {
        ids.insert(stage.accept_to(to).await.id);
    }

    let one = stage.processor(&provider("p", &base_url, "max_in_flight = 8"));
    let other = stage.processor(&provider("p", &base_url, "max_in_flight = 8"));
    while simulator.summary().count < ids.len() {
        tokio::join!(step(&one), step(&other));
        settled(&one).await;
        settled(&other).await;
    }
    step(&one).await;
    assert_eq!(one.leases.count(), 0, "nothing is left to send");

    let sent: HashSet<Uuid> = simulator.messages().iter().filter_map(|sent| sent.message_id).collect();
    assert_eq!(sent, ids);
    assert_eq!((simulator.summary().calls, simulator.summary().duplicates), (30, 0));
    for sent in simulator.messages() {
        let message = stage.find(sent.message_id.unwrap()).await;
        assert_eq!((message.status, message.delivery, message.attempt), (Status::Ok, Delivery::Pending, 1));
        assert_eq!(message.provider_id.as_deref(), Some("p"));
        assert_eq!(message.provider_message_id.as_deref(), Some(&*sent.provider_message_id));
        assert_eq!(stage.event_kinds(message.id).await, ["sent"]);
        assert!(stage.row(message.id).await.is_none());
    }
}

#[tokio::test]
async fn a_message_under_way_is_not_claimed_again() {
    let mut test_provider = TestProvider::start().await;
    let stage = Stage::new().await;
    let message = stage.accept_to(2).await;
    let (one, other) = (stage.processor_for(&test_provider, ""), stage.processor_for(&test_provider, ""));
    step(&one).await;
    let call = test_provider.call().await;
    step(&one).await;
    step(&other).await;
    assert_eq!((one.leases.count(), other.leases.count()), (1, 0));
    assert_eq!(stage.row(message.id).await.unwrap().lease_no, 1);
    call.accept().await;
    settled(&one).await;
    assert_eq!(stage.find(message.id).await.status, Status::Ok);
    assert!(test_provider.has_no_more_calls());
}

#[tokio::test]
async fn no_more_calls_are_under_way_than_a_provider_has_slots() {
    let mut test_provider = TestProvider::start().await;
    let stage = Stage::new().await;
    for to in 0..5 {
        stage.accept_to(to).await;
    }
    let processor = stage.processor_for(&test_provider, "max_in_flight = 2");
    step(&processor).await;
    step(&processor).await;
    assert_eq!(processor.leases.count(), 2);
    for call in test_provider.calls(2).await {
        call.accept().await;
    }
    settled(&processor).await;
    step(&processor).await;
    assert_eq!(processor.leases.count(), 2, "freed slots are used again");
}
