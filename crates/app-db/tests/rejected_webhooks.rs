//! Rejected webhooks on a real PostgreSQL: repeated ones are counted, and no flood removes what is not its own.

#![allow(clippy::unwrap_used, reason = "a test reports by panicking")]

use app_db::Client;
use app_db::quarantine::{self, Delivery, Reason, Which};
use serde_json::json;
use uuid::Uuid;

fn delivery(number: u128, body: &str) -> Delivery {
    Delivery {
        id: Uuid::from_u128(number),
        provider_id: "twilio-main".to_owned(),
        reason: Reason::Unverified,
        detail: "the signature does not match".to_owned(),
        method: "POST".to_owned(),
        target: "/api/webhooks/twilio-main".to_owned(),
        headers: json!({}),
        body: body.as_bytes().to_vec(),
        is_cut: false,
        key_hash: None,
    }
}

#[tokio::test]
async fn the_same_webhook_is_one_row_that_counts_its_deliveries() {
    let database = testkit::database().await;
    let client = database.pool.get().await.unwrap();
    let keep = async |delivery: &Delivery| {
        quarantine::keep_rejected(&client, delivery, "203.0.113.1").await.unwrap();
    };
    for number in 1..=3 {
        keep(&delivery(number, "x")).await;
    }
    // Repeated because the answer of the database was lost.
    keep(&delivery(1, "x")).await;
    keep(&delivery(4, "y")).await;
    keep(&Delivery { reason: Reason::Unparsable, ..delivery(5, "x") }).await;
    keep(&Delivery { provider_id: "other".to_owned(), ..delivery(6, "x") }).await;
    let listed = async || -> Vec<(u128, i64)> {
        let kept = quarantine::list(&client, &Which::default(), None, 10).await.unwrap();
        kept.iter().map(|kept| (kept.id.as_u128(), kept.reception.deliveries)).collect()
    };
    assert_eq!(listed().await, [(6, 1), (5, 1), (4, 1), (1, 3)]);
    let (_, reception) = quarantine::find(&client, Uuid::from_u128(1)).await.unwrap().unwrap();
    assert_eq!((reception.deliveries, reception.peer.as_deref()), (3, Some("203.0.113.1")));
    assert!(reception.last_received_at >= reception.received_at);

    quarantine::note(&client, Uuid::from_u128(1), Reason::Unparsable, "not a message").await.unwrap();
    keep(&delivery(7, "x")).await;
    assert_eq!(listed().await, [(7, 1), (6, 1), (5, 1), (4, 1), (1, 3)]);
}

/// Rows of one peer, from the id `first` on.
async fn flood(client: &Client, [provider_id, reason, peer]: [&str; 3], first: i64, count: i64, bytes: i32) {
    let sql = "insert into webhook_deliveries
            (id, provider_id, reason, detail, method, target, headers, body, peer)
        select lpad(to_hex($4::int8 + n), 32, '0')::uuid, $1, $2, '', 'POST', '/', '{}',
            convert_to(repeat('x', $6::int4), 'UTF8'), $3
        from generate_series(0, $5::int8 - 1) n";
    client.execute(sql, &[&provider_id, &reason, &peer, &first, &count, &bytes]).await.unwrap();
}

async fn count(client: &Client, condition: &str) -> i64 {
    let sql = format!("select count(*) from webhook_deliveries where {condition}");
    client.query_one(&sql, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_flood_removes_nothing_of_other_providers_reasons_and_peers() {
    let database = testkit::database().await;
    let client = database.pool.get().await.unwrap();
    let genuine = [
        ["twilio-main", "unverified", "203.0.113.1"],
        ["twilio-main", "unparsable", "203.0.113.66"],
        ["generic", "unverified", "203.0.113.66"],
    ];
    for (number, row) in (1..).zip(genuine) {
        flood(&client, row, number, 1, 1).await;
    }
    flood(&client, ["twilio-main", "unverified", "203.0.113.66"], 1000, 10_400, 1).await;
    let removed = quarantine::trim(&client).await.unwrap();
    assert_eq!(count(&client, "id < lpad(to_hex(1000), 32, '0')::uuid").await, 3);
    assert_eq!((removed, count(&client, "true").await), (5401, 5002));
    // The newest of the flood stay.
    assert_eq!(count(&client, "id = lpad(to_hex(11399), 32, '0')::uuid").await, 1);
}

#[tokio::test]
async fn a_flood_of_large_webhooks_removes_only_its_own() {
    let database = testkit::database().await;
    let client = database.pool.get().await.unwrap();
    flood(&client, ["twilio-main", "unverified", "203.0.113.1"], 1, 1, 1).await;
    flood(&client, ["twilio-main", "unverified", "203.0.113.66"], 1000, 300, 256 << 10).await;
    quarantine::trim(&client).await.unwrap();
    assert_eq!(count(&client, "peer = '203.0.113.1'").await, 1);
    assert_eq!(count(&client, "peer = '203.0.113.66'").await, 255);
}
