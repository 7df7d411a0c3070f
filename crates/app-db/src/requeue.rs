//! Another try, asked for by a person: failed and held messages go back into the outbox.

use jiff::Timestamp;
use model::{Bucket, Reason, StatusPayload};
use tokio_postgres::types::Json;
use uuid::Uuid;

use crate::{Client, Error, Transaction};

/// Whether the message was failed or held; it is due now. The attempt count goes on, and so does the fence: the
/// lease number continues above the last one, so that a worker that slept through the failure cannot settle it. A
/// message past the maximum age gets one more attempt. With `as_of`, only if nothing has happened to it since: who asked
/// had seen another state.
///
/// # Errors
/// As the database gives them.
pub async fn requeue(
    client: &mut Client,
    message_id: Uuid,
    route: &str,
    event_id: Uuid,
    as_of: Option<Timestamp>,
) -> Result<bool, Error> {
    let transaction = client.transaction().await?;
    let is_done = requeue_within(&transaction, message_id, route, event_id, as_of).await?;
    if is_done {
        transaction.commit().await?;
    } else {
        transaction.rollback().await?;
    }
    Ok(is_done)
}

pub(crate) const FREE: &str = "update outbox set next_attempt_at = now(), reconciling = false
             where message_id = $1 and bucket = $2 and leased_by is null
               and (next_attempt_at = 'infinity' or reconciling)";

pub(crate) const QUEUE_AGAIN: &str = "insert into outbox (bucket, message_id, conversation_id, channel, route, priority, next_attempt_at,
                 lease_no, attempt, expires_at)
             select m.bucket, m.id, m.conversation_id, m.channel, $3, m.priority, now(), m.lease_no, m.attempt,
                 m.expires_at
             from (
                 select * from messages where id = $1 and bucket = $2 and status_tag = 'failed' for no key update
             ) as m
             on conflict (message_id, bucket) do nothing";

pub(crate) const NOTE: &str = "with changed as (
                 update messages set status_tag = 'retry', delivery_tag = 'none', status_payload = $3,
                     updated_at = now()
                 where id = $1 and bucket = $2 and status_tag in ('failed', 'retry', 'outbox')
                   and ($5::timestamptz is null or updated_at <= $5)
                 returning id, bucket, attempt
             ), problem as (
                 delete from problems where message_id = $1 and bucket = $2
             ), deadline as (
                 insert into receipt_deadlines (bucket, message_id, examine_at) select bucket, id, now() from changed
                 on conflict (message_id, bucket) do update set examine_at = excluded.examine_at
             )
             insert into message_events (bucket, message_id, id, kind, status_tag, delivery_tag, attempt, code)
             select bucket, id, $4, 'requeued', 'retry', 'none', attempt, 'retry_requested' from changed";

/// As [`requeue`], in a transaction of the caller's, which must roll it back where the answer is false.
///
/// # Errors
/// As the database gives them.
pub async fn requeue_within(
    transaction: &Transaction<'_>,
    message_id: Uuid,
    route: &str,
    event_id: Uuid,
    as_of: Option<Timestamp>,
) -> Result<bool, Error> {
    let bucket = Bucket::of(message_id).as_i16();
    let freed = transaction.execute(FREE, &[&message_id, &bucket]).await?;
    let inserted = transaction.execute(QUEUE_AGAIN, &[&message_id, &bucket, &route]).await?;
    if freed + inserted == 0 {
        return Ok(false);
    }
    let payload = StatusPayload::new(Reason::RetryRequested);
    // A receipt may have settled it while we waited for its row.
    let changed =
        transaction.execute(NOTE, &[&message_id, &bucket, &Json(&payload), &event_id, &as_of]).await?;
    Ok(changed > 0)
}
