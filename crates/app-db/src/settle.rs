//! Settling: writes the outcomes of many messages in one statement, each only under the lease it was made for.

use std::borrow::Cow;
use std::collections::HashSet;

use model::{Bucket, Channel, Delivery, Next, Status, StatusPayload, Transition};
use tokio_postgres::types::Json;
use uuid::Uuid;

use crate::Error;
use crate::claim::Lease;
use crate::pool::GenericClient;
use crate::text::{storable, storable_payload};

/// A step of a message under a lease.
#[derive(Clone, Debug)]
pub struct Settlement {
    pub lease: Lease,
    pub transition: Transition,
    pub channel: Channel,
    /// The provider that was asked; nothing where the step is about no call. The message then keeps the provider that was
    /// asked before.
    pub provider_id: Option<String>,
    /// The event's id; it has the message's bucket.
    pub event_id: Uuid,
    /// `receive::key_hash` of the provider's id, for kinds whose receipts do not bring ours back.
    pub reference: Option<[u8; 32]>,
    /// Whether the provider accepted it, and its delivery is to be confirmed: the row stays, and remembers who did.
    pub accepts: bool,
    /// Whose the message is, where another provider than that of the step has accepted it.
    pub holder: Option<String>,
    /// Where the row waits for its next try, if that is another lane (`model::route`).
    pub lane: Option<String>,
}

/// What became of settlements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    pub written: HashSet<Uuid>,
    /// A receipt had settled them under this very lease; the late answer added the provider's id.
    pub by_receipt: HashSet<Uuid>,
}

/// What a batch needs beyond what every batch does: a part of the statement that has nothing to write costs as much as
/// dozens of rows.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Needs {
    /// Rows stay in the outbox: for another try, or held.
    pub later: bool,
    pub reference: bool,
    pub problem: bool,
    /// A provider accepted one of them, now or before, and its delivery is to be confirmed.
    pub confirming: bool,
}

impl Needs {
    fn of(settlements: &[&Settlement]) -> Self {
        let any = |is: fn(&Settlement) -> bool| settlements.iter().any(|s| is(s));
        Self {
            later: any(|s| s.transition.next != Next::Gone),
            reference: any(|s| s.reference.is_some()),
            confirming: any(|s| s.accepts || s.holder.is_some()),
            problem: any(|s| {
                let Transition { status, delivery, .. } = s.transition;
                status == Status::Failed || matches!(delivery, Delivery::Unknown | Delivery::Undelivered)
            }),
        }
    }
}

/// The outbox row is locked first, in the order of ids, and everything else hangs on that it is still ours. It is then
/// found by its key, not by its place: where a lease was extended while we waited for the lock, the row has moved, and
/// this statement's snapshot sees its old place alone.
const OURS: &str = "
    with s as (
        select * from unnest($1::uuid[], $2::smallint[], $3::integer[], $4::text[], $5::text[], $6::jsonb[],
                $7::integer[], $8::float8[], $9::boolean[], $10::text[], $11::text[], $12::uuid[], $13::text[],
                $15::bytea[], $16::text[], $17::boolean[], $18::text[])
            as s(message_id, bucket, lease_no, status_tag, delivery_tag, status_payload, attempt, next_s, gone,
                provider_id, provider_message_id, event_id, event_kind, reference, lane, accepts, holder)
    ), ours as materialized (
        select s.* from s cross join lateral (
            select from outbox
            where message_id = s.message_id and bucket = s.bucket and lease_no = s.lease_no and leased_by = $14
            for update
        ) as o
    ), gone as (
        delete from outbox o using ours
        where o.message_id = any(array[ours.message_id]) and o.bucket = ours.bucket and ours.gone
    ), changed as (
        update messages m set status_tag = ours.status_tag, delivery_tag = {DELIVERY},
            status_payload = ours.status_payload, attempt = ours.attempt, lease_no = ours.lease_no,
            provider_id = {PROVIDER},
            provider_message_id = coalesce(ours.provider_message_id, m.provider_message_id), updated_at = now()
        from ours where m.id = any(array[ours.message_id]) and m.bucket = ours.bucket
    ), event as (
        insert into message_events (bucket, message_id, id, kind, status_tag, delivery_tag, attempt, lease_no,
            provider_id, code, provider_code, detail)
        select bucket, message_id, event_id, event_kind, status_tag, delivery_tag, attempt, lease_no, provider_id,
            status_payload ->> 'code', status_payload ->> 'provider_code', status_payload ->> 'detail'
        from ours
    )";

const LATER: &str = ", later as (
        update outbox o set leased_by = null, leased_provider = null, leased_until = null, attempt = ours.attempt,
            route = coalesce(ours.lane, o.route), accepted_by = case when ours.accepts then array_append(o.accepted_by, ours.provider_id)
                else o.accepted_by end,
            reconciling = ours.delivery_tag = 'unknown' and ours.next_s is not null,
            next_attempt_at = case when ours.next_s is null then 'infinity'
                else now() + ours.next_s * interval '1 second' end
        from ours
        where o.message_id = any(array[ours.message_id]) and o.bucket = ours.bucket and not ours.gone
    )";

const REFERENCE: &str = ", reference as (
        insert into provider_refs (bucket, key_hash, message_id, attempt)
        select get_byte(reference, 0), reference, message_id, attempt from ours where reference is not null
        on conflict (bucket, key_hash) do nothing
    )";

const PROBLEM: &str = ", problem as (
        insert into problems (bucket, message_id, kind)
        select bucket, message_id, case when status_tag = 'failed' then 'failed'
            when delivery_tag = 'undelivered' then 'undelivered' else 'held' end
        from ours where status_tag = 'failed' or delivery_tag in ('unknown', 'undelivered')
        on conflict (message_id, bucket) do update set kind = excluded.kind
    )";

pub(crate) fn settle_sql(needs: Needs) -> String {
    let part = |needed: bool, part: &'static str| if needed { part } else { "" };
    let later = part(needs.later, LATER);
    let reference = part(needs.reference, REFERENCE);
    let problem = part(needs.problem, PROBLEM);
    // A receipt may have come meanwhile: that it was sent is not taken back.
    let delivery = if needs.confirming {
        "case when m.delivery_tag = 'sent' and ours.delivery_tag in ('none', 'pending') then 'sent'
            else ours.delivery_tag end"
    } else {
        "ours.delivery_tag"
    };
    let provider = if needs.confirming {
        "coalesce(ours.holder, ours.provider_id, m.provider_id)"
    } else {
        "coalesce(ours.provider_id, m.provider_id)"
    };
    let ours = OURS.replace("{DELIVERY}", delivery).replace("{PROVIDER}", provider);
    format!("{ours}{later}{reference}{problem} select message_id from ours")
}

/// Writes what is still ours to write, in one statement. What is missing from the result lost its lease.
///
/// # Errors
/// As the database gives them; whether anything was written is then unknown, unless it refused the statement.
pub async fn settle(
    client: &impl GenericClient,
    owner: Uuid,
    settlements: &[Settlement],
) -> Result<Settled, Error> {
    if settlements.is_empty() {
        return Ok(Settled::default());
    }
    let mut sorted: Vec<&Settlement> = settlements.iter().collect();
    sorted.sort_by_key(|settlement| settlement.lease.message_id);
    let ids: Vec<Uuid> = sorted.iter().map(|s| s.lease.message_id).collect();
    let buckets: Vec<i16> = ids.iter().map(|&id| Bucket::of(id).as_i16()).collect();
    let lease_nos: Vec<i32> = sorted.iter().map(|s| s.lease.lease_no).collect();
    let statuses: Vec<&str> = sorted.iter().map(|s| s.transition.status.as_str()).collect();
    let deliveries: Vec<&str> = sorted.iter().map(|s| s.transition.delivery.as_str()).collect();
    let payloads: Vec<Option<Json<StatusPayload>>> =
        sorted.iter().map(|s| s.transition.payload.as_ref().map(storable_payload).map(Json)).collect();
    let attempts: Vec<i32> =
        sorted.iter().map(|s| i32::try_from(s.transition.attempt).unwrap_or(i32::MAX)).collect();
    let next_s: Vec<Option<f64>> = sorted
        .iter()
        .map(|s| match s.transition.next {
            Next::After(wait) => Some(wait.as_secs_f64()),
            Next::Gone | Next::Never => None,
        })
        .collect();
    let gone: Vec<bool> = sorted.iter().map(|s| s.transition.next == Next::Gone).collect();
    let provider_ids: Vec<Option<&str>> = sorted.iter().map(|s| s.provider_id.as_deref()).collect();
    let provider_message_ids: Vec<Option<Cow<'_, str>>> =
        sorted.iter().map(|s| s.transition.provider_message_id.as_deref().map(storable)).collect();
    let event_ids: Vec<Uuid> = sorted.iter().map(|s| s.event_id).collect();
    let references: Vec<Option<&[u8]>> =
        sorted.iter().map(|s| s.reference.as_ref().map(<[u8; 32]>::as_slice)).collect();
    let lanes: Vec<Option<&str>> = sorted.iter().map(|s| s.lane.as_deref()).collect();
    let accepts: Vec<bool> = sorted.iter().map(|s| s.accepts).collect();
    let holders: Vec<Option<&str>> = sorted.iter().map(|s| s.holder.as_deref()).collect();
    let kinds: Vec<&str> = sorted.iter().map(|s| s.transition.event.as_str()).collect();
    let statement = client.prepare_cached(&settle_sql(Needs::of(&sorted))).await?;
    let rows = client
        .query(
            &statement,
            &[
                &ids,
                &buckets,
                &lease_nos,
                &statuses,
                &deliveries,
                &payloads,
                &attempts,
                &next_s,
                &gone,
                &provider_ids,
                &provider_message_ids,
                &event_ids,
                &kinds,
                &owner,
                &references,
                &lanes,
                &accepts,
                &holders,
            ],
        )
        .await?;
    let written: HashSet<Uuid> = rows.iter().map(|row| row.get(0)).collect();
    let lost: Vec<&Settlement> =
        sorted.into_iter().filter(|s| !written.contains(&s.lease.message_id)).collect();
    let by_receipt = if lost.is_empty() { HashSet::new() } else { add_provider_ids(client, &lost).await? };
    Ok(Settled { written, by_receipt })
}

pub(crate) const ADD_PROVIDER_IDS: &str = "update messages m set provider_id = coalesce(m.provider_id, k.provider_id),
                 provider_message_id = coalesce(m.provider_message_id, k.provider_message_id)
             from unnest($1::uuid[], $2::smallint[], $3::text[], $4::text[], $5::integer[])
                 as k(id, bucket, provider_id, provider_message_id, lease_no)
             where m.id = any(array[k.id]) and m.bucket = k.bucket and m.status_tag = 'ok' and m.lease_no = k.lease_no
             returning m.id";

/// The answers that came after a receipt had settled their message.
async fn add_provider_ids(client: &impl GenericClient, lost: &[&Settlement]) -> Result<HashSet<Uuid>, Error> {
    let accepted = |s: &&&Settlement| s.transition.status == Status::Ok;
    let ids: Vec<Uuid> = lost.iter().filter(accepted).map(|s| s.lease.message_id).collect();
    let buckets: Vec<i16> = ids.iter().map(|&id| Bucket::of(id).as_i16()).collect();
    let lease_nos: Vec<i32> = lost.iter().filter(accepted).map(|s| s.lease.lease_no).collect();
    let provider_ids: Vec<Option<&str>> =
        lost.iter().filter(accepted).map(|s| s.provider_id.as_deref()).collect();
    let provider_message_ids: Vec<Option<Cow<'_, str>>> = lost
        .iter()
        .filter(accepted)
        .map(|s| s.transition.provider_message_id.as_deref().map(storable))
        .collect();
    let statement = client.prepare_cached(ADD_PROVIDER_IDS).await?;
    let rows =
        client.query(&statement, &[&ids, &buckets, &provider_ids, &provider_message_ids, &lease_nos]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
