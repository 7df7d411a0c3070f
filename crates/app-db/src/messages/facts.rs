//! All that is stored about one message, as of one moment: the message, its row in the outbox, what happened to it.

use jiff::Timestamp;
use model::{Bucket, Message};
use tokio_postgres::IsolationLevel;
use uuid::Uuid;

use super::events::{self, Event};
use crate::{Client, Error};

/// What is stored about a message.
#[derive(Clone, Debug)]
pub struct Facts {
    pub message: Message,
    /// While it is not settled.
    pub work: Option<Work>,
    /// Oldest first; of very many, the newest.
    pub events: Vec<Event>,
    /// There are older events than these.
    pub has_older_events: bool,
    /// The database's clock.
    pub now: Timestamp,
}

/// A row of the outbox.
#[derive(Clone, Debug)]
pub struct Work {
    /// The route that it waits on, with whom to avoid or prefer.
    pub route: String,
    /// Nothing: held, never due.
    pub next_attempt_at: Option<Timestamp>,
    pub lease: Option<Leased>,
    /// It waits for a receipt; when it is due none came.
    pub reconciling: bool,
}

/// Who has it in hand.
#[derive(Clone, Debug)]
pub struct Leased {
    pub processor: Uuid,
    /// Empty where it is only being failed.
    pub provider_id: String,
    pub until: Timestamp,
}

const EVENTS_MAX: usize = 200;

pub(crate) fn message_sql() -> String {
    format!(
        "select {}, o.message_id is not null as is_waiting, o.route, o.leased_by, o.leased_provider,
             o.leased_until, o.reconciling, now() as now
         from messages m left join outbox o on o.message_id = m.id and o.bucket = m.bucket
         where m.id = $1 and m.bucket = $2",
        super::COLUMNS
    )
}

pub(crate) fn events_sql() -> String {
    format!(
        "select {} from message_events where message_id = $1 and bucket = $2 order by id desc limit $3",
        events::COLUMNS
    )
}

/// The facts of a message, if there is one of that id.
///
/// # Errors
/// As the database gives them.
pub async fn find(client: &mut Client, id: Uuid) -> Result<Option<Facts>, Error> {
    let transaction = client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await?;
    let statement = transaction.prepare_cached(&message_sql()).await?;
    let Some(row) = transaction.query_opt(&statement, &[&id, &Bucket::of(id).as_i16()]).await? else {
        return Ok(None);
    };
    let statement = transaction.prepare_cached(&events_sql()).await?;
    let limit = i64::try_from(EVENTS_MAX + 1).unwrap_or(i64::MAX);
    let rows = transaction.query(&statement, &[&id, &Bucket::of(id).as_i16(), &limit]).await?;
    transaction.commit().await?;
    let message = super::from_row(&row)?;
    let lease = row.get::<_, Option<Uuid>>("leased_by").map(|processor| Leased {
        processor,
        provider_id: row.get::<_, Option<String>>("leased_provider").unwrap_or_default(),
        until: row.get::<_, Option<Timestamp>>("leased_until").unwrap_or(Timestamp::UNIX_EPOCH),
    });
    let work = row.get::<_, bool>("is_waiting").then(|| Work {
        route: row.get("route"),
        next_attempt_at: message.next_attempt_at,
        lease,
        reconciling: row.get("reconciling"),
    });
    Ok(Some(Facts {
        work,
        events: rows.iter().take(EVENTS_MAX).rev().map(events::from_row).collect(),
        has_older_events: rows.len() > EVENTS_MAX,
        now: row.get("now"),
        message,
    }))
}
