//! The mails before a mail: what it answers, and what it refers to. Must not know how a mail's `Message-ID` is made.

use std::collections::HashMap;

use model::{Bucket, Channel, Direction, Endpoint};
use uuid::Uuid;

use crate::claim::Claimed;
use crate::{Client, Error};

/// An earlier mail of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mail {
    /// One that came in, by the id that its provider's adapter gave it.
    Inbound { provider_message_id: String },
    /// One that a provider took from us.
    Outbound { message_id: Uuid, source: Endpoint },
}

/// So many of a conversation's messages are looked at: an answer to what is further back begins a thread of its own.
const MESSAGES_MAX: i64 = 50;

/// The newest messages of each one's conversation that are older than itself: what came later it does not answer, and
/// each attempt says the same. What was refused or is still under way is left out after they were counted, so that a
/// row costs no more for that.
pub(crate) const BEFORE: &str = "
    select k.id, m.id, m.inbound_or_outbound, m.endpoint_source, m.provider_message_id
    from unnest($1::uuid[], $2::smallint[]) as k(id, bucket)
    join messages own on own.id = any(array[k.id]) and own.bucket = k.bucket
    cross join lateral (
        select m.id, m.inbound_or_outbound, m.endpoint_source, m.provider_message_id, m.channel, m.status_tag
        from messages m
        where (m.conversation_id, m.id) >= (own.conversation_id, '00000000-0000-0000-0000-000000000000')
          and (m.conversation_id, m.id) < (own.conversation_id, k.id) and m.bucket = k.bucket
        order by m.conversation_id desc, m.id desc limit $3
    ) as m
    where m.channel = 'email' and m.status_tag = 'ok'";

/// Fills in what came before each mail, oldest first. Asks nothing where there is none.
///
/// # Errors
/// As the database gives them.
pub async fn fill(client: &Client, claimed: &mut [Claimed]) -> Result<(), Error> {
    let ids: Vec<Uuid> =
        claimed.iter().filter(|row| row.channel == Channel::Email).map(|row| row.message_id).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let buckets: Vec<i16> = ids.iter().map(|&id| Bucket::of(id).as_i16()).collect();
    let statement = client.prepare_cached(BEFORE).await?;
    let mut before: HashMap<Uuid, Vec<(Uuid, Mail)>> = HashMap::new();
    for row in client.query(&statement, &[&ids, &buckets, &MESSAGES_MAX]).await? {
        let message_id = row.get(1);
        let mail = match row.get::<_, &str>(2).parse::<Direction>()? {
            Direction::Inbound => {
                Mail::Inbound { provider_message_id: row.get::<_, Option<String>>(4).unwrap_or_default() }
            }
            Direction::Outbound => Mail::Outbound { message_id, source: Endpoint::stored(row.get(3)) },
        };
        before.entry(row.get(0)).or_default().push((message_id, mail));
    }
    for row in claimed {
        let mut mails = before.remove(&row.message_id).unwrap_or_default();
        mails.sort_by_key(|(id, _)| *id);
        row.before = mails.into_iter().map(|(_, mail)| mail).collect();
    }
    Ok(())
}
