//! Conversations as people read them: the newest activity first, each with its newest message and how much nobody has
//! read yet.

use jiff::Timestamp;
use model::{Bucket, Channel, Delivery, Direction, Endpoint, Status};
use uuid::Uuid;

use crate::conversations::{self, Conversation};
use crate::transaction::with_bitmap_scans;
use crate::{Client, Error};

/// Unread messages are counted so far and no further.
pub const UNREAD_MAX: i64 = 20;
/// Of a body, what a list shows.
const EXCERPT_CHARS: i32 = 120;
/// HTML begins with much that is no text.
const EMAIL_CHARS: i32 = 8_000;

/// A conversation in the list.
#[derive(Clone, Debug)]
pub struct Entry {
    pub conversation: Conversation,
    /// Nothing where its messages were removed.
    pub newest: Option<Newest>,
    /// Inbound messages that nobody was shown, among the newest [`UNREAD_MAX`].
    pub unread: i64,
}

/// The newest message of a conversation.
#[derive(Clone, Debug)]
pub struct Newest {
    pub id: Uuid,
    pub direction: Direction,
    pub channel: Channel,
    pub source: Endpoint,
    pub target: Endpoint,
    pub subject: Option<String>,
    /// The beginning of its body.
    pub excerpt: String,
    pub status: Status,
    pub delivery: Delivery,
    pub created_at: Timestamp,
}

impl Newest {
    /// Who is on the other side.
    pub fn other_end(&self) -> &Endpoint {
        match self.direction {
            Direction::Inbound => &self.source,
            Direction::Outbound => &self.target,
        }
    }

    pub fn our_end(&self) -> &Endpoint {
        match self.direction {
            Direction::Inbound => &self.target,
            Direction::Outbound => &self.source,
        }
    }
}

pub(crate) fn list_sql() -> String {
    format!(
        "select c.*, n.id as newest_id, n.inbound_or_outbound, n.channel, n.endpoint_source, n.endpoint_target, n.subject,
             n.excerpt, n.status_tag, n.delivery_tag, n.created_at as newest_at, u.unread
         from ({list}) as c
         cross join lateral (
             select coalesce((
                 select read_to from conversation_reads where bucket = c.bucket and conversation_id = c.id
             ), '00000000-0000-0000-0000-000000000000') as read_to
         ) as r
         left join lateral (
             select id, inbound_or_outbound, channel, endpoint_source, endpoint_target, subject,
                 left(body, case when channel = 'email' then {EMAIL_CHARS} else {EXCERPT_CHARS} end) as excerpt, status_tag, delivery_tag, created_at
             from messages
             where (conversation_id, id) >= (c.id, '00000000-0000-0000-0000-000000000000')
               and (conversation_id, id) <= (c.id, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
             order by conversation_id desc, id desc limit 1
         ) as n on true
         cross join lateral (
             select count(*) filter (where inbound_or_outbound = 'inbound') as unread from (
                 select inbound_or_outbound from messages
                 where (conversation_id, id) > (c.id, r.read_to)
                   and (conversation_id, id) <= (c.id, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
                 order by conversation_id desc, id desc limit {UNREAD_MAX}
             ) as newest
         ) as u
         order by c.last_message_at desc, c.id desc",
        list = conversations::list_sql()
    )
}

/// Conversations after `after` (its activity and id), the newest activity first.
///
/// # Errors
/// As the database gives them.
pub async fn list(
    client: &Client,
    after: Option<(Timestamp, Uuid)>,
    limit: i64,
) -> Result<Vec<Entry>, Error> {
    let statement = client.prepare_cached(&list_sql()).await?;
    let (activity, id) = after.unwrap_or((Timestamp::MAX, Uuid::max()));
    client.query(&statement, &[&activity, &id, &limit]).await?.iter().map(entry).collect()
}

fn entry(row: &tokio_postgres::Row) -> Result<Entry, Error> {
    let newest = match row.get::<_, Option<Uuid>>("newest_id") {
        None => None,
        Some(id) => Some(Newest {
            id,
            direction: row.get::<_, &str>("inbound_or_outbound").parse()?,
            channel: row.get::<_, &str>("channel").parse()?,
            source: Endpoint::stored(row.get("endpoint_source")),
            target: Endpoint::stored(row.get("endpoint_target")),
            subject: row.get("subject"),
            excerpt: row.get("excerpt"),
            status: row.get::<_, &str>("status_tag").parse()?,
            delivery: row.get::<_, &str>("delivery_tag").parse()?,
            created_at: row.get("newest_at"),
        }),
    };
    Ok(Entry { conversation: conversations::from_row(row), newest, unread: row.get("unread") })
}

/// A conflict locks the row, also where nothing changes: a message that is read already causes none.
pub(crate) const MARK_READ: &str = "insert into conversation_reads as r (bucket, conversation_id, read_to)
             select $1, $2, $3 where not exists (
                 select from conversation_reads where bucket = $1 and conversation_id = $2 and read_to >= $3
             )
             on conflict (bucket, conversation_id) do update set read_to = excluded.read_to
             where r.read_to < excluded.read_to";

/// People were shown the conversation up to this message. It never goes back.
///
/// # Errors
/// As the database gives them.
pub async fn mark_read(client: &Client, conversation_id: Uuid, read_to: Uuid) -> Result<(), Error> {
    let statement = client.prepare_cached(MARK_READ).await?;
    client.execute(&statement, &[&Bucket::of(conversation_id).as_i16(), &conversation_id, &read_to]).await?;
    Ok(())
}

/// An address that takes part in more conversations than this is common: the newest conversations have some of its own.
const CONVERSATIONS_MAX: i64 = 1_000;
/// So many of the newest conversations are looked through for those of a common address.
const NEWEST_MAX: i64 = 5_000;

/// A condition finds the conversations of a common address too, but all of them before the first.
pub(crate) fn of_address_sql() -> String {
    format!(
        "with found as materialized (
             select id, medium, participants, created_at, last_message_at from conversations
             where participants @> array[$1] limit {CONVERSATIONS_MAX} + 1
         )
         select found.*, (select count(*) from found) > {CONVERSATIONS_MAX} as is_common from found
         order by last_message_at desc, id desc limit $2"
    )
}

pub(crate) fn of_common_address_sql() -> String {
    format!(
        "select id, medium, participants, created_at, last_message_at from (
             select * from conversations order by last_message_at desc, id desc limit {NEWEST_MAX}
         ) as newest
         where participants @> array[$1] order by last_message_at desc, id desc limit $2"
    )
}

/// The conversations that an address takes part in, the newest activity first. Of an address with very many, those
/// among the newest conversations of all.
///
/// # Errors
/// As the database gives them.
pub async fn of_address(client: &mut Client, address: &str, limit: i64) -> Result<Vec<Conversation>, Error> {
    let key = model::Endpoint::stored(address).grouping_key();
    if !conversations::is_common(client, &key).await? {
        let transaction = with_bitmap_scans(client).await?;
        let statement = transaction.prepare_cached(&of_address_sql()).await?;
        let rows = transaction.query(&statement, &[&key, &limit]).await?;
        transaction.commit().await?;
        if !rows.first().is_some_and(|row| row.get("is_common")) {
            return Ok(rows.iter().map(conversations::from_row).collect());
        }
    }
    let statement = client.prepare_cached(&of_common_address_sql()).await?;
    Ok(client.query(&statement, &[&key, &limit]).await?.iter().map(conversations::from_row).collect())
}
