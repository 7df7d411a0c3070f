//! What a plain application would do: each message in a transaction of its own, by prepared statements, as pgbench
//! would run them. The yardstick of a run.

use std::sync::Arc;
use std::time::Duration;

use model::{Bucket, IdGenerator};
use service::Clock;
use tokio::task::JoinSet;
use tokio::time::Instant;
use uuid::Uuid;

use crate::backlog::{Backlog, MESSAGES_PER_CONVERSATION};
use crate::installation::Installation;

const CONVERSATIONS: usize = 100;

const MESSAGE: &str = "
    insert into messages (bucket, id, conversation_id, inbound_or_outbound, channel, endpoint_source,
        endpoint_target, body, status_tag, delivery_tag)
    values ($1, $2, $3, 'outbound', 'sms', '+12025550100', '+12022000000', 'message', 'outbox', 'none')";

const OUTBOX: &str = "
    insert into outbox (bucket, message_id, conversation_id, channel, route, priority, next_attempt_at)
    values ($1, $2, $3, 'sms', 'sms', 1, now())";

/// Messages a second, over so many connections. Their conversations are there already.
pub(super) async fn rate(
    installation: &Installation,
    connections: usize,
    time: Duration,
) -> anyhow::Result<f64> {
    let count = CONVERSATIONS * usize::try_from(MESSAGES_PER_CONVERSATION)?;
    installation.store(Backlog { route: "sms", first_number: 12_022_000_000, count }).await?;
    let client = installation.pool.get().await?;
    let rows = client.query("select bucket, id from conversations", &[]).await?;
    let conversations: Arc<Vec<(i16, Uuid)>> =
        Arc::new(rows.iter().map(|row| (row.get(0), row.get(1))).collect());
    drop(client);

    let pool = installation.connect(connections)?;
    let ids = Arc::new(IdGenerator::from_entropy()?);
    let began = Instant::now();
    let mut inserting = JoinSet::new();
    for _ in 0..connections {
        let (pool, conversations, ids) = (pool.clone(), Arc::clone(&conversations), Arc::clone(&ids));
        inserting.spawn(async move {
            let mut client = pool.get().await?;
            let message = client.prepare(MESSAGE).await?;
            let outbox = client.prepare(OUTBOX).await?;
            let mut count = 0_usize;
            while began.elapsed() < time {
                let (bucket, conversation_id) = conversations[fastrand::usize(..conversations.len())];
                let id = ids.next(Clock::System.now(), Bucket(u8::try_from(bucket)?));
                let transaction = client.transaction().await?;
                transaction.execute(&outbox, &[&bucket, &id, &conversation_id]).await?;
                transaction.execute(&message, &[&bucket, &id, &conversation_id]).await?;
                transaction.commit().await?;
                count += 1;
            }
            anyhow::Ok(count)
        });
    }
    let mut count = 0;
    while let Some(inserted) = inserting.join_next().await {
        count += inserted??;
    }
    Ok(count as f64 / began.elapsed().as_secs_f64())
}
