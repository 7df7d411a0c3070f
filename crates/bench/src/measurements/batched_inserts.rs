//! The same rows by UNNEST, 200 messages a commit, two connections, conversations known: what grouping could be.

use std::sync::Arc;

use model::{Bucket, IdGenerator};
use service::Clock;
use tokio::task::JoinSet;
use tokio::time::Instant;
use uuid::Uuid;

use crate::bench::{Bench, checkpoint};
use crate::people::{self, BODY, SENDER};
use crate::rig::ROUTE;

const BATCH: usize = 200;
const CONNECTIONS: usize = 2;

pub(super) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let installation = bench.installation().await?;
    people::store_known(&installation).await?;
    checkpoint(&installation).await?;
    let pool = installation.connect(CONNECTIONS)?;
    let rows =
        pool.get().await?.query("select bucket, id, participants_hash from conversations", &[]).await?;
    let known: Arc<Vec<(i16, Uuid, Vec<u8>)>> =
        Arc::new(rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect());
    let outbox = format!(
        "insert into outbox (bucket, message_id, conversation_id, channel, route, priority, next_attempt_at)
         select bucket, id, conversation_id, 'sms', '{ROUTE}', 1, now()
         from unnest($1::smallint[], $2::uuid[], $3::uuid[]) as k(bucket, id, conversation_id)"
    );
    let messages = format!(
        "insert into messages (bucket, id, conversation_id, inbound_or_outbound, channel, endpoint_source,
             endpoint_target, body, status_tag, delivery_tag)
         select bucket, id, conversation_id, 'outbound', 'sms', '{SENDER}', '+12022000000', '{BODY}', 'outbox', 'none'
         from unnest($1::smallint[], $2::uuid[], $3::uuid[]) as k(bucket, id, conversation_id)"
    );
    let conversations = "select c.id from unnest($1::smallint[], $2::bytea[]) as k(bucket, hash)
        join conversations c on c.bucket = k.bucket and c.participants_hash = k.hash";
    let ids = Arc::new(IdGenerator::from_entropy()?);
    let time = bench.plan.time;
    let began = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (pool, known, ids) = (pool.clone(), Arc::clone(&known), Arc::clone(&ids));
        let (outbox, messages) = (outbox.clone(), messages.clone());
        clients.spawn(async move {
            let mut client = pool.get().await?;
            let mut count = 0;
            while began.elapsed() < time {
                let now = Clock::System.now();
                let chosen: Vec<_> = (0..BATCH).map(|_| &known[fastrand::usize(..known.len())]).collect();
                let buckets: Vec<i16> = chosen.iter().map(|(bucket, ..)| *bucket).collect();
                let conversation_ids: Vec<Uuid> = chosen.iter().map(|(_, id, _)| *id).collect();
                let hashes: Vec<&[u8]> = chosen.iter().map(|(.., hash)| hash.as_slice()).collect();
                let new: Vec<Uuid> = buckets
                    .iter()
                    .map(|bucket| Ok(ids.next(now, Bucket(u8::try_from(*bucket)?))))
                    .collect::<anyhow::Result<_>>()?;
                let transaction = client.transaction().await?;
                let select = transaction.prepare_cached(conversations).await?;
                let (to_outbox, to_messages) = (
                    transaction.prepare_cached(&outbox).await?,
                    transaction.prepare_cached(&messages).await?,
                );
                transaction.query(&select, &[&buckets, &hashes]).await?;
                transaction.execute(&to_outbox, &[&buckets, &new, &conversation_ids]).await?;
                transaction.execute(&to_messages, &[&buckets, &new, &conversation_ids]).await?;
                transaction.commit().await?;
                count += BATCH;
            }
            anyhow::Ok(count)
        });
    }
    let mut count = 0;
    while let Some(inserted) = clients.join_next().await {
        count += inserted??;
    }
    bench.samples.add("batched inserts/s", count as f64 / began.elapsed().as_secs_f64());
    Ok(())
}
