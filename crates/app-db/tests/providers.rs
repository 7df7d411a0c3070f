//! What processors publish of providers, and operators' pauses, on a real PostgreSQL.

#![allow(clippy::unwrap_used, reason = "a test reports by panicking")]

use std::sync::Arc;
use std::time::Duration;

use app_db::provider_states::{self, ProviderState};
use app_db::{Client, provider_pauses};
use jiff::Timestamp;
use model::ProviderHealth;
use tokio::sync::Notify;
use uuid::Uuid;

const AT: Timestamp = Timestamp::UNIX_EPOCH;

fn state(provider_id: &str, health: ProviderHealth) -> ProviderState {
    ProviderState {
        provider_id: provider_id.to_owned(),
        state: health,
        reason: (health != ProviderHealth::Closed).then(|| "unreachable".to_owned()),
        since: AT,
        until: (health == ProviderHealth::Open).then(|| AT + Duration::from_secs(30)),
        in_flight: 3,
        slots: 64,
        failures: 5,
        latency_ms: Some(12.5),
        latency_p95_ms: Some(80.0),
        calls_per_s: Some(7.5),
    }
}

async fn client() -> (testkit::TestDatabase, Client) {
    let database = testkit::database().await;
    let client = database.pool.get().await.unwrap();
    (database, client)
}

#[tokio::test]
async fn each_processor_publishes_in_place_of_what_it_said_before() {
    let (_database, client) = client().await;
    let (first, second) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let all = ProviderHealth::ALL.iter().map(|&health| state(health.as_str(), health)).collect::<Vec<_>>();
    provider_states::publish(&client, first, &all).await.unwrap();
    provider_states::publish(&client, second, &[state("open", ProviderHealth::Closed)]).await.unwrap();
    provider_states::publish(&client, first, &[state("closed", ProviderHealth::Halted)]).await.unwrap();
    let found = provider_states::all(&client).await.unwrap();
    let health = |id: &str| -> Vec<ProviderHealth> {
        found.iter().filter(|found| found.provider_id == id).map(|found| found.state).collect()
    };
    assert_eq!(found.len(), ProviderHealth::ALL.len() + 1);
    assert_eq!(health("closed"), [ProviderHealth::Halted]);
    assert_eq!(health("open"), [ProviderHealth::Open, ProviderHealth::Closed]);
    assert!(found.contains(&state("paused", ProviderHealth::Paused)));
}

#[tokio::test]
async fn a_processor_that_says_nothing_for_a_minute_is_gone() {
    let (_database, client) = client().await;
    for processor in [1, 2] {
        let states = [state("p", ProviderHealth::Closed)];
        provider_states::publish(&client, Uuid::from_u128(processor), &states).await.unwrap();
    }
    let sql = "update provider_states set updated_at = now() - interval '61 seconds' where processor = $1";
    client.execute(sql, &[&Uuid::from_u128(1)]).await.unwrap();
    assert_eq!(provider_states::all(&client).await.unwrap().len(), 1);
    assert_eq!(provider_states::delete_gone(&client).await.unwrap(), 1);
    assert_eq!(provider_states::delete_gone(&client).await.unwrap(), 0);
    assert_eq!(provider_states::all(&client).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_pause_keeps_its_beginning_until_it_is_lifted() {
    let (_database, client) = client().await;
    assert!(provider_pauses::pause(&client, "p", None).await.unwrap());
    let begun = provider_pauses::all(&client).await.unwrap();
    assert!(!provider_pauses::pause(&client, "p", Some("invoice\0 disputed")).await.unwrap());
    assert!(!provider_pauses::pause(&client, "p", None).await.unwrap(), "which keeps the note");
    let [pause] = <[_; 1]>::try_from(provider_pauses::all(&client).await.unwrap()).unwrap();
    assert_eq!(pause.paused_at, begun[0].paused_at);
    assert_eq!(pause.note.as_deref(), Some("invoice\u{FFFD} disputed"));
    assert!(provider_pauses::resume(&client, "p").await.unwrap());
    assert!(!provider_pauses::resume(&client, "p").await.unwrap());
    assert!(provider_pauses::all(&client).await.unwrap().is_empty());
}

#[tokio::test]
async fn lifting_a_pause_wakes_processors() {
    let (database, client) = client().await;
    let wake = Arc::new(Notify::new());
    let (url, woken) = (database.url.clone(), Arc::clone(&wake));
    let listening = tokio::spawn(async move { app_db::wake::listen(&url, &woken).await });
    let limit = Duration::from_secs(30);
    tokio::time::timeout(limit, wake.notified()).await.expect("it listens");
    provider_pauses::resume(&client, "p").await.unwrap();
    tokio::time::timeout(limit, wake.notified()).await.expect("it is woken");
    listening.abort();
}
