//! What processors know of providers, for whoever explains a message or lists providers. Each publishes rows of its
//! own; nothing is decided by them.

use jiff::Timestamp;
use model::ProviderHealth;
use uuid::Uuid;

use crate::{Client, Error};

/// A row of a processor that has said nothing for so long counts as gone.
const GONE_AFTER_S: f64 = 15.0;

/// What one processor knows of one provider.
#[derive(Clone, Debug, PartialEq)]
pub struct ProviderState {
    pub provider_id: String,
    pub state: ProviderHealth,
    /// A stable word for why it is not closed.
    pub reason: Option<String>,
    pub since: Timestamp,
    /// When it changes by itself.
    pub until: Option<Timestamp>,
    pub in_flight: i32,
    pub slots: i32,
    /// In a row.
    pub failures: i32,
    /// What a call took, in the middle of the latest; nothing before the first.
    pub latency_ms: Option<f32>,
    /// What all but one in twenty of the latest took at most.
    pub latency_p95_ms: Option<f32>,
    /// Calls that ended, over the last minute, or as long as the processor runs.
    pub calls_per_s: Option<f32>,
}

pub(crate) const PUBLISH: &str = "insert into provider_states (provider_id, processor, state, reason, since, until, in_flight, slots,
                 failures, latency_ms, latency_p95_ms, calls_per_s)
             select provider_id, $1, state, reason, since, until, in_flight, slots, failures, latency_ms,
                 latency_p95_ms, calls_per_s
             from unnest($2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[], $7::integer[],
                     $8::integer[], $9::integer[], $10::real[], $11::real[], $12::real[])
                 as k(provider_id, state, reason, since, until, in_flight, slots, failures, latency_ms,
                     latency_p95_ms, calls_per_s)
             on conflict (provider_id, processor) do update set state = excluded.state, reason = excluded.reason,
                 since = excluded.since, until = excluded.until, in_flight = excluded.in_flight,
                 slots = excluded.slots, failures = excluded.failures, latency_ms = excluded.latency_ms,
                 latency_p95_ms = excluded.latency_p95_ms, calls_per_s = excluded.calls_per_s,
                 updated_at = excluded.updated_at";

/// Writes what the processor knows now, in place of what it knew before.
///
/// # Errors
/// As the database gives them; the next time writes it again.
pub async fn publish(client: &Client, processor: Uuid, states: &[ProviderState]) -> Result<(), Error> {
    let statement = client.prepare_cached(PUBLISH).await?;
    let provider_ids: Vec<&str> = states.iter().map(|state| state.provider_id.as_str()).collect();
    let healths: Vec<&str> = states.iter().map(|state| state.state.as_str()).collect();
    let reasons: Vec<Option<&str>> = states.iter().map(|state| state.reason.as_deref()).collect();
    let since: Vec<Timestamp> = states.iter().map(|state| state.since).collect();
    let until: Vec<Option<Timestamp>> = states.iter().map(|state| state.until).collect();
    let in_flight: Vec<i32> = states.iter().map(|state| state.in_flight).collect();
    let slots: Vec<i32> = states.iter().map(|state| state.slots).collect();
    let failures: Vec<i32> = states.iter().map(|state| state.failures).collect();
    let latencies: Vec<Option<f32>> = states.iter().map(|state| state.latency_ms).collect();
    let latencies_p95: Vec<Option<f32>> = states.iter().map(|state| state.latency_p95_ms).collect();
    let calls_per_s: Vec<Option<f32>> = states.iter().map(|state| state.calls_per_s).collect();
    client
        .execute(
            &statement,
            &[
                &processor,
                &provider_ids,
                &healths,
                &reasons,
                &since,
                &until,
                &in_flight,
                &slots,
                &failures,
                &latencies,
                &latencies_p95,
                &calls_per_s,
            ],
        )
        .await?;
    Ok(())
}

pub(crate) const ALL: &str =
    "select provider_id, state, reason, since, until, in_flight, slots, failures, latency_ms,
                 latency_p95_ms, calls_per_s
             from provider_states where updated_at > now() - $1 * interval '1 second'
             order by provider_id, processor";

/// What all processors know, of each provider a row for each of them.
///
/// # Errors
/// As the database gives them.
pub async fn all(client: &Client) -> Result<Vec<ProviderState>, Error> {
    let statement = client.prepare_cached(ALL).await?;
    let state = |row: &tokio_postgres::Row| {
        Ok(ProviderState {
            provider_id: row.get(0),
            state: row.get::<_, &str>(1).parse()?,
            reason: row.get(2),
            since: row.get(3),
            until: row.get(4),
            in_flight: row.get(5),
            slots: row.get(6),
            failures: row.get(7),
            latency_ms: row.get(8),
            latency_p95_ms: row.get(9),
            calls_per_s: row.get(10),
        })
    };
    client.query(&statement, &[&GONE_AFTER_S]).await?.iter().map(state).collect()
}

pub(crate) const WITHDRAW: &str = "delete from provider_states where processor = $1";

/// A processor ends: what it said of providers no longer counts.
///
/// # Errors
/// As the database gives them.
pub async fn withdraw(client: &Client, processor: Uuid) -> Result<(), Error> {
    client.execute(WITHDRAW, &[&processor]).await?;
    Ok(())
}

pub(crate) const DELETE_GONE: &str =
    "delete from provider_states where updated_at <= now() - $1 * interval '1 second'";

/// Deletes the rows of vanished processors. Returns how many.
///
/// # Errors
/// As the database gives them.
pub async fn delete_gone(client: &Client) -> Result<u64, Error> {
    Ok(client.execute(DELETE_GONE, &[&GONE_AFTER_S]).await?)
}
