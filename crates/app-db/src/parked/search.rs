//! The search for the messages of parked receipts, by the provider's message id. No index names that id, because settles
//! write it; so all parked receipts are looked up at once in pieces of the messages, which ids find. A piece is bounded,
//! the newest messages are searched each time, and a pass goes over all others, from the newest to the oldest. Which
//! receipts are searched for and what follows is the processor's matter.

use std::time::Duration;

use jiff::Timestamp;
use model::id::first_id_at;
use uuid::Uuid;

use super::Parked;
use crate::pool::LONG_LIMIT;
use crate::{Client, Error};

/// Receipts that are searched for at once, at most: as many as are kept.
const PARKED_MAX: i64 = 10_000;
/// Messages of one piece: of the newest ones, and of the pass.
const RECENT_ROWS: i64 = 50_000;
const PASS_ROWS: i64 = 25_000;
/// The newest messages: those of this time.
const RECENT: Duration = Duration::from_secs(3600);
/// Ids are made by the clocks of several machines.
const AHEAD: Duration = Duration::from_secs(300);

/// A search that has its turn.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// The database's clock.
    pub now: Timestamp,
    pass_below: Option<Uuid>,
    pass_at: Timestamp,
}

/// A message that has one of the provider's ids that were searched for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub message_id: Uuid,
    pub provider_id: String,
    pub provider_message_id: String,
}

/// What a search brought.
#[derive(Clone, Debug, Default)]
pub struct Searched {
    pub found: Vec<Found>,
    /// The pass is over that began then: every message has been searched since.
    pub completed: Option<Timestamp>,
}

pub(crate) const BEGIN: &str = "
    update parked_receipt_search set begun_at = now()
    where singleton and begun_at <= now() - $1 * interval '1 second'
    returning now(), pass_below, pass_at";

/// Takes the turn, unless a search of any processor began within this time.
///
/// # Errors
/// As the database gives them.
pub async fn begin(client: &Client, pause: Duration) -> Result<Option<Turn>, Error> {
    let statement = client.prepare_cached(BEGIN).await?;
    let row = client.query_opt(&statement, &[&pause.as_secs_f64()]).await?;
    Ok(row.map(|row| {
        let pass_below: Option<Uuid> = row.get(1);
        let now = row.get(0);
        // Minus infinity is no time, and never read: no pass is under way then.
        let pass_at = if pass_below.is_some() { row.get(2) } else { now };
        Turn { now, pass_below, pass_at }
    }))
}

pub(crate) const ALL: &str =
    "select id, body, received_at from webhook_deliveries where reason = 'unmatched' limit $1";

/// All that is parked, in no order.
///
/// # Errors
/// As the database gives them.
pub async fn all(client: &Client) -> Result<Vec<Parked>, Error> {
    let statement = client.prepare_cached(ALL).await?;
    Ok(client.query(&statement, &[&PARKED_MAX]).await?.iter().filter_map(super::parked).collect())
}

/// The row number tells where a piece ended that was full.
pub(crate) const PIECE: &str = "
    select id, provider_id, provider_message_id, number = $3, provider_message_id = any($4)
    from (
        select id, provider_id, provider_message_id, row_number() over (order by id desc) as number
        from (
            select id, provider_id, provider_message_id from messages
            where id < $1 and id >= $2 order by id desc limit $3
        ) as newest
    ) as piece
    where provider_message_id = any($4) or number = $3";

pub(crate) const END: &str = "
    update parked_receipt_search set pass_below = $1, pass_at = coalesce($2, pass_at) where singleton";

/// Searches the newest messages and the next piece of the pass for these provider's ids, and notes how far it came.
///
/// # Errors
/// As the database gives them; the pass then goes on where it was.
pub async fn search(client: &Client, turn: &Turn, provider_message_ids: &[&str]) -> Result<Searched, Error> {
    client.allow(LONG_LIMIT);
    let newest = turn.now.checked_add(AHEAD).unwrap_or(turn.now);
    let recent = turn.now.checked_sub(RECENT).unwrap_or(Timestamp::UNIX_EPOCH);
    let recent = (first_id_at(newest), first_id_at(recent));
    let (mut found, reached) = piece(client, recent, RECENT_ROWS, provider_message_ids).await?;
    // A pass begins where the newest messages end.
    let (below, pass_at) = match turn.pass_below {
        Some(below) => (below, turn.pass_at),
        None => (reached.unwrap_or(recent.1), turn.now),
    };
    let (more, reached) = piece(client, (below, Uuid::nil()), PASS_ROWS, provider_message_ids).await?;
    found.extend(more);
    let statement = client.prepare_cached(END).await?;
    client.execute(&statement, &[&reached, &reached.map(|_| pass_at)]).await?;
    Ok(Searched { found, completed: reached.is_none().then_some(pass_at) })
}

/// What is found between these ids, the newest first; and the last id that was searched, where there are more.
async fn piece(
    client: &Client,
    (below, from): (Uuid, Uuid),
    rows_max: i64,
    provider_message_ids: &[&str],
) -> Result<(Vec<Found>, Option<Uuid>), Error> {
    let statement = client.prepare_cached(PIECE).await?;
    let mut reached = None;
    let mut found = Vec::new();
    for row in client.query(&statement, &[&below, &from, &rows_max, &provider_message_ids]).await? {
        let message_id = row.get(0);
        if row.get(3) {
            reached = Some(message_id);
        }
        if let (Some(provider_id), Some(provider_message_id), Some(true)) =
            (row.get(1), row.get(2), row.get::<_, Option<bool>>(4))
        {
            found.push(Found { message_id, provider_id, provider_message_id });
        }
    }
    Ok((found, reached))
}

pub(crate) const DROP: &str = "
    with dropped as (
        delete from webhook_deliveries
        where reason = 'unmatched' and id = any($1) returning provider_id
    )
    select provider_id, count(*) from dropped group by provider_id";

/// Forgets those of which the search has shown that they are about no message of ours. How many, by provider.
///
/// # Errors
/// As the database gives them.
pub async fn drop_unknown(client: &Client, ids: &[Uuid]) -> Result<Vec<(String, i64)>, Error> {
    let statement = client.prepare_cached(DROP).await?;
    Ok(client.query(&statement, &[&ids]).await?.iter().map(|row| (row.get(0), row.get(1))).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test reports by panicking")]

    use super::*;

    /// Ten messages of provider `p`, whose ids there are `SM0` to `SM9`, the newest last.
    const TEN: &str = "
        insert into conversations (bucket, id, participants_hash, medium, participants)
        values (0, '01000000-0000-7000-8000-000000000000', decode(repeat('00', 32), 'hex'), 'phone', '{+12025550100}');
        insert into messages (bucket, id, conversation_id, inbound_or_outbound, channel, endpoint_source,
            endpoint_target, body, status_tag, delivery_tag, provider_id, provider_message_id)
        select 0, (lpad(to_hex(extract(epoch from now())::bigint * 1000 + n), 12, '0') || '7000800000000000000' || n)::uuid,
            '01000000-0000-7000-8000-000000000000', 'outbound', 'sms', '+12025550100', '+12025550199', 'Hello', 'ok',
            'pending', 'p', 'SM' || n
        from generate_series(0, 9) n;";

    #[tokio::test]
    async fn pieces_of_any_size_search_every_message_once_from_the_newest() {
        let database = testkit::database().await;
        let pool = crate::connect(&database.url, 1).unwrap();
        let client = crate::pool::get(&pool).await.unwrap();
        client.batch_execute(TEN).await.unwrap();
        let wanted = ["SM1", "SM5", "SM9", "SM20"];
        for rows_max in [1, 2, 3, 5, 9, 10, 11] {
            let (mut all, mut below, mut pieces) = (Vec::new(), Uuid::max(), 0);
            loop {
                let (found, reached) = piece(&client, (below, Uuid::nil()), rows_max, &wanted).await.unwrap();
                all.extend(found.into_iter().map(|found| found.provider_message_id));
                pieces += 1;
                let Some(reached) = reached else { break };
                below = reached;
            }
            assert_eq!(all, ["SM9", "SM5", "SM1"], "{rows_max} at a time");
            assert_eq!(pieces, 10 / rows_max + 1, "{rows_max} at a time");
        }
    }
}
