//! A webhook whose signature never expires is recognised for as long as its message may be there.

#![allow(clippy::unwrap_used, reason = "a test reports by panicking")]

use std::time::Duration;

use app_db::housekeeping::{KeysCleanedTo, delete_old_keys};

const DAY: Duration = Duration::from_secs(24 * 3600);

#[tokio::test]
async fn the_key_of_an_inbound_message_outlives_its_message() {
    let database = testkit::database().await;
    let client = database.pool.get().await.unwrap();
    client
        .batch_execute(
            "insert into inbound_keys (bucket, key_hash, message_id, created_at)
             select get_byte(hash, 0), hash, '019a2f7e-3c41-70a4-8000-3f1c52d0a7b1', now() - interval '400 days'
             from (select sha256('one') as hash) as key",
        )
        .await
        .unwrap();
    let deleted =
        async |retention| delete_old_keys(&client, retention, &mut KeysCleanedTo::default()).await.unwrap();
    // The last weeks of messages are dropped a week late.
    for retention in [None, Some(400 * DAY), Some(390 * DAY)] {
        assert_eq!(deleted(retention).await, 0, "{retention:?}");
    }
    assert_eq!(deleted(Some(380 * DAY)).await, 1);
}
