//! What must hold of a database after every scenario, whatever was done to it. Counted, never changed.

use app_db::Pool;

use crate::figure::Figure;

/// A count that must be 0, and what it counts.
const BROKEN: &[(&str, &str)] = &[
    (
        "waiting messages without an outbox row",
        "select count(*) from messages m where m.status_tag in ('outbox', 'retry')
             and not exists (select 1 from outbox o where o.message_id = m.id)",
    ),
    (
        "outbox rows of settled or missing messages",
        "select count(*) from outbox o where not exists (
             select 1 from messages m where m.id = o.message_id and m.status_tag in ('outbox', 'retry'))",
    ),
    (
        "messages whose last event says another status",
        "select count(*) from messages m cross join lateral (
             select array_agg(e.status_tag) as said from message_events e
             where e.message_id = m.id and e.created_at = (
                 select max(created_at) from message_events where message_id = m.id)) e
         where e.said is not null and m.status_tag <> all(e.said)",
    ),
    (
        "settled messages without an event",
        "select count(*) from messages m where m.inbound_or_outbound = 'outbound'
             and m.status_tag in ('ok', 'failed')
             and not exists (select 1 from message_events e where e.message_id = m.id)",
    ),
    (
        "leases that two owners could hold: numbers below the message's",
        "select count(*) from outbox o join messages m on m.id = o.message_id where o.lease_no < m.lease_no",
    ),
];

const STATES: &str = "select count(*) || ' = ' || count(*) filter (where m.inbound_or_outbound = 'inbound')
    || ' received + ' || count(*) filter (where m.inbound_or_outbound = 'outbound' and m.status_tag = 'ok')
    || ' ok + ' || count(*) filter (where m.status_tag = 'failed') || ' failed + '
    || count(o.message_id) filter (where o.next_attempt_at = 'infinity') || ' held + '
    || count(o.message_id) filter (where o.next_attempt_at < 'infinity') || ' waiting'
    from messages m left join outbox o on o.message_id = m.id";

/// The figures of one database.
///
/// # Errors
/// As the database gives them.
pub async fn check(pool: &Pool) -> anyhow::Result<Vec<Figure>> {
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    // Our sessions forbid what counting everything needs.
    transaction
        .batch_execute(
            "set local statement_timeout = 0; set local enable_hashjoin = on; set local enable_seqscan = on;
             set local enable_bitmapscan = on",
        )
        .await?;
    let states: String = transaction.query_one(STATES, &[]).await?.get(0);
    let mut figures = vec![Figure::told("invariants: messages", states)];
    for (what, query) in BROKEN {
        let count: i64 = transaction.query_one(*query, &[]).await?.get(0);
        figures.push(Figure::exactly(format!("invariants: {what}"), count, 0));
    }
    Ok(figures)
}

/// Leases that are held although no processor is left that could hold them.
///
/// # Errors
/// As the database gives them.
pub async fn leases_left(pool: &Pool) -> anyhow::Result<Figure> {
    let query = "select count(*) from outbox where leased_by is not null";
    let count: i64 = pool.get().await?.query_one(query, &[]).await?.get(0);
    Ok(Figure::exactly("leases left after the drain", count, 0))
}
