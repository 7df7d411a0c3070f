//! What receipts change: messages, their outbox rows, problems and events.

use std::collections::BTreeMap;

use model::{Bucket, StatusPayload};
use tokio_postgres::types::Json;
use uuid::Uuid;

use super::{Event, Row, Step};
use crate::Error;

type Transaction<'a> = deadpool_postgres::Transaction<'a>;

pub(super) async fn write(transaction: &Transaction<'_>, rows: &BTreeMap<Uuid, Row>) -> Result<(), Error> {
    let with = |steps: &'static [Step]| -> Vec<(Uuid, &Row)> {
        let has = |row: &Row| row.step.is_some_and(|step| steps.contains(&step));
        rows.iter().filter(|(_, row)| has(row)).map(|(id, row)| (*id, row)).collect()
    };
    settle(transaction, &with(&[Step::Settle])).await?;
    note(transaction, &with(&[Step::Note, Step::HandOver])).await?;
    hand_over(transaction, &with(&[Step::HandOver])).await
}

fn keys(rows: &[(Uuid, &Row)]) -> (Vec<Uuid>, Vec<i16>) {
    rows.iter().map(|(id, _)| (*id, Bucket::of(*id).as_i16())).unzip()
}

pub(crate) const NOTE: &str = "update messages m set delivery_tag = k.delivery_tag, status_payload = k.status_payload, updated_at = now()
             from unnest($1::uuid[], $2::smallint[], $3::text[], $4::jsonb[])
                 as k(id, bucket, delivery_tag, status_payload)
             where m.id = any(array[k.id]) and m.bucket = k.bucket";

/// Messages that go on waiting to be confirmed: the rest of them is their next settle's.
async fn note(transaction: &Transaction<'_>, noted: &[(Uuid, &Row)]) -> Result<(), Error> {
    if noted.is_empty() {
        return Ok(());
    }
    let (ids, buckets) = keys(noted);
    let deliveries: Vec<&str> = noted.iter().map(|(_, row)| row.delivery.as_str()).collect();
    let payloads: Vec<Option<Json<&StatusPayload>>> =
        noted.iter().map(|(_, row)| row.payload.as_ref().map(Json)).collect();
    let statement = transaction.prepare_cached(NOTE).await?;
    transaction.execute(&statement, &[&ids, &buckets, &deliveries, &payloads]).await?;
    Ok(())
}

pub(crate) const HAND_OVER: &str = "update outbox o set next_attempt_at = least(o.next_attempt_at, now()),
                 refused_by = array(select jsonb_array_elements_text(k.refused_by))
             from unnest($1::uuid[], $2::smallint[], $3::jsonb[]) as k(id, bucket, refused_by)
             where o.message_id = any(array[k.id]) and o.bucket = k.bucket and o.accepted_by is not null";

/// Nobody need wait for the time that was given for a confirmation.
async fn hand_over(transaction: &Transaction<'_>, rows: &[(Uuid, &Row)]) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let (ids, buckets) = keys(rows);
    let refused_by: Vec<Json<&[String]>> =
        rows.iter().map(|(_, row)| Json(row.refused_by.as_slice())).collect();
    let statement = transaction.prepare_cached(HAND_OVER).await?;
    transaction.execute(&statement, &[&ids, &buckets, &refused_by]).await?;
    Ok(())
}

pub(crate) const DELETE_WORK: &str =
    "delete from outbox o using unnest($1::uuid[], $2::smallint[]) as k(id, bucket)
             where o.message_id = any(array[k.id]) and o.bucket = k.bucket";

pub(crate) const SETTLE: &str = "update messages m set status_tag = 'ok', delivery_tag = k.delivery_tag,
                 status_payload = k.status_payload, attempt = k.attempt, lease_no = k.lease_no,
                 provider_id = k.provider_id, provider_message_id = k.provider_message_id, updated_at = now()
             from unnest($1::uuid[], $2::smallint[], $3::text[], $4::jsonb[], $5::integer[], $6::integer[],
                     $7::text[], $8::text[])
                 as k(id, bucket, delivery_tag, status_payload, attempt, lease_no, provider_id, provider_message_id)
             where m.id = any(array[k.id]) and m.bucket = k.bucket";

async fn settle(transaction: &Transaction<'_>, changed: &[(Uuid, &Row)]) -> Result<(), Error> {
    if changed.is_empty() {
        return Ok(());
    }
    let (ids, buckets) = keys(changed);
    // Also of those that had no outbox row when it was looked for: somebody may have asked for another try since.
    let statement = transaction.prepare_cached(DELETE_WORK).await?;
    transaction.execute(&statement, &[&ids, &buckets]).await?;
    let statement = transaction.prepare_cached(SETTLE).await?;
    let deliveries: Vec<&str> = changed.iter().map(|(_, row)| row.delivery.as_str()).collect();
    let payloads: Vec<Option<Json<&StatusPayload>>> =
        changed.iter().map(|(_, row)| row.payload.as_ref().map(Json)).collect();
    let attempts: Vec<i32> =
        changed.iter().map(|(_, row)| i32::try_from(row.attempt).unwrap_or(i32::MAX)).collect();
    let lease_nos: Vec<i32> = changed.iter().map(|(_, row)| row.lease_no).collect();
    let provider_ids: Vec<Option<&str>> = changed.iter().map(|(_, row)| row.provider_id.as_deref()).collect();
    let provider_message_ids: Vec<Option<&str>> =
        changed.iter().map(|(_, row)| row.provider_message_id.as_deref()).collect();
    transaction
        .execute(
            &statement,
            &[
                &ids,
                &buckets,
                &deliveries,
                &payloads,
                &attempts,
                &lease_nos,
                &provider_ids,
                &provider_message_ids,
            ],
        )
        .await?;
    write_problems(transaction, &ids, &buckets, &deliveries).await
}

pub(crate) const PROBLEMS: &str =
    "with k as (select * from unnest($1::uuid[], $2::smallint[], $3::text[]) as k(id, bucket, delivery_tag)),
             solved as (
                 delete from problems p using k
                 where p.message_id = any(array[k.id]) and p.bucket = k.bucket
                     and k.delivery_tag <> 'undelivered'
             )
             insert into problems (bucket, message_id, kind)
             select bucket, id, 'undelivered' from k where delivery_tag = 'undelivered'
             on conflict (message_id, bucket) do update set kind = excluded.kind";

/// An undelivered message is a problem; any other that a receipt settled no longer is.
async fn write_problems(
    transaction: &Transaction<'_>,
    ids: &[Uuid],
    buckets: &[i16],
    deliveries: &[&str],
) -> Result<(), Error> {
    let statement = transaction.prepare_cached(PROBLEMS).await?;
    transaction.execute(&statement, &[&ids, &buckets, &deliveries]).await?;
    Ok(())
}

pub(crate) const EVENTS: &str = "insert into message_events (bucket, message_id, id, kind, status_tag, delivery_tag, attempt,
                 provider_id, provider_code, detail)
             select bucket, message_id, id, kind, status_tag, delivery_tag, attempt, provider_id, provider_code, detail
             from unnest($1::smallint[], $2::uuid[], $3::uuid[], $4::text[], $5::integer[], $6::text[], $7::text[],
                     $8::text[], $9::text[], $10::text[])
                 as k(bucket, message_id, id, delivery_tag, attempt, provider_id, provider_code, detail, status_tag,
                     kind)";

pub(super) async fn write_events(transaction: &Transaction<'_>, events: &[Event]) -> Result<(), Error> {
    if events.is_empty() {
        return Ok(());
    }
    let statement = transaction.prepare_cached(EVENTS).await?;
    let buckets: Vec<i16> = events.iter().map(|event| Bucket::of(event.message_id).as_i16()).collect();
    let message_ids: Vec<Uuid> = events.iter().map(|event| event.message_id).collect();
    let ids: Vec<Uuid> = events.iter().map(|event| event.id).collect();
    let deliveries: Vec<&str> = events.iter().map(|event| event.delivery.as_str()).collect();
    let attempts: Vec<i32> =
        events.iter().map(|event| i32::try_from(event.attempt).unwrap_or(i32::MAX)).collect();
    let provider_ids: Vec<&str> = events.iter().map(|event| event.provider_id.as_str()).collect();
    let provider_codes: Vec<Option<&str>> =
        events.iter().map(|event| event.provider_code.as_deref()).collect();
    let kinds: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
    let statuses: Vec<&str> = events.iter().map(|event| event.status.as_str()).collect();
    let details: Vec<Option<&str>> = events.iter().map(|event| event.detail.as_deref()).collect();
    transaction
        .execute(
            &statement,
            &[
                &buckets,
                &message_ids,
                &ids,
                &deliveries,
                &attempts,
                &provider_ids,
                &provider_codes,
                &details,
                &statuses,
                &kinds,
            ],
        )
        .await?;
    Ok(())
}
