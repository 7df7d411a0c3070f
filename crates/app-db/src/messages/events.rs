//! What happened to a message, oldest first.

use jiff::Timestamp;
use model::transition::EventKind;
use model::{Bucket, Direction, Message};
use uuid::Uuid;

use crate::{Client, Error};

/// A row of `message_events`.
#[derive(Clone, Debug)]
pub struct Event {
    pub id: Uuid,
    pub kind: String,
    pub status: String,
    pub delivery: String,
    pub attempt: i32,
    pub provider_id: Option<String>,
    pub code: Option<String>,
    pub provider_code: Option<String>,
    pub detail: Option<String>,
    pub created_at: Timestamp,
}

/// The first event of every message is its own row: accepting writes none.
pub fn first_of(message: &Message) -> Event {
    let kind = match message.direction {
        Direction::Inbound => EventKind::Received,
        Direction::Outbound => EventKind::Accepted,
    };
    let (status, delivery) = super::initial(message.direction);
    Event {
        id: message.id,
        kind: kind.as_str().to_owned(),
        status: status.as_str().to_owned(),
        delivery: delivery.as_str().to_owned(),
        attempt: 0,
        provider_id: message.provider_id.clone().filter(|_| message.direction == Direction::Inbound),
        code: None,
        provider_code: None,
        detail: None,
        created_at: message.created_at,
    }
}

pub(crate) fn list_sql() -> String {
    format!(
        "select {COLUMNS} from message_events
         where message_id = $1 and bucket = $2 and id > $3 order by id limit $4"
    )
}

/// The events of a message after the event `after`.
///
/// # Errors
/// As the database gives them.
pub async fn list(client: &Client, message_id: Uuid, after: Uuid, limit: i64) -> Result<Vec<Event>, Error> {
    let statement = client.prepare_cached(&list_sql()).await?;
    let rows =
        client.query(&statement, &[&message_id, &Bucket::of(message_id).as_i16(), &after, &limit]).await?;
    Ok(rows.iter().map(from_row).collect())
}

/// What [`from_row`] reads.
pub(super) const COLUMNS: &str =
    "id, kind, status_tag, delivery_tag, attempt, provider_id, code, provider_code, detail, created_at";

pub(super) fn from_row(row: &tokio_postgres::Row) -> Event {
    Event {
        id: row.get(0),
        kind: row.get(1),
        status: row.get(2),
        delivery: row.get(3),
        attempt: row.get(4),
        provider_id: row.get(5),
        code: row.get(6),
        provider_code: row.get(7),
        detail: row.get(8),
        created_at: row.get(9),
    }
}
