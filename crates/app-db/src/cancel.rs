//! Canceling: only what nobody holds and nobody sent can be stopped. It is failed then, and listed with what failed.

use model::{Bucket, Reason, StatusPayload};
use tokio_postgres::types::Json;
use uuid::Uuid;

use crate::Error;
use crate::pool::GenericClient;

pub(crate) const CANCEL: &str = "with stopped as (
                 delete from outbox where message_id = $1 and bucket = $2 and leased_by is null and accepted_by is null
                 returning message_id, bucket, lease_no, attempt
             ), changed as (
                 update messages m set status_tag = 'failed', delivery_tag = 'none', status_payload = $3,
                     lease_no = s.lease_no, updated_at = now()
                 from stopped s where m.id = s.message_id and m.bucket = s.bucket
             ), event as (
                 insert into message_events (bucket, message_id, id, kind, status_tag, delivery_tag, attempt, code)
                 select bucket, message_id, $4, 'canceled', 'failed', 'none', attempt, 'canceled' from stopped
             ), problem as (
                 insert into problems (bucket, message_id, kind) select bucket, message_id, 'failed' from stopped
                 on conflict (message_id, bucket) do update set kind = excluded.kind
             )
             select from stopped";

/// Whether the message was still ours to stop. It is not once it is leased or settled.
///
/// # Errors
/// As the database gives them.
pub async fn cancel(client: &impl GenericClient, message_id: Uuid, event_id: Uuid) -> Result<bool, Error> {
    let payload = StatusPayload::new(Reason::Canceled);
    let statement = client.prepare_cached(CANCEL).await?;
    let bucket = Bucket::of(message_id).as_i16();
    let stopped = client.query_opt(&statement, &[&message_id, &bucket, &Json(&payload), &event_id]).await?;
    Ok(stopped.is_some())
}
