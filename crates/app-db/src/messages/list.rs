//! Lists of messages: keyset pages by id, read from the index that fits the filter, in windows of bounded size.
//!
//! No index holds what settles change (they stay HOT for it), so a filter may match next to nothing of what it
//! walks. A page therefore looks at a bounded number of rows, and for a bounded time: it may come out short, or empty,
//! with a cursor that goes on. Only a page without a cursor is the last.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use model::{Channel, Delivery, Direction, Message, Status};
use tokio::time::Instant;
use uuid::Uuid;

use crate::transaction::with_bitmap_scans;
use crate::{Client, Error, conversations, messages};

/// What a list is narrowed to. Addresses are normalised.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub status: Option<Status>,
    pub delivery: Option<Delivery>,
    pub channel: Option<Channel>,
    pub direction: Option<Direction>,
    pub from: Option<String>,
    pub to: Option<String>,
    pub conversation_id: Option<Uuid>,
    pub provider_id: Option<String>,
    /// Why it is where it is: a reason's code, or the provider's.
    pub code: Option<String>,
    /// Stands somewhere in what it says, its addresses, its provider's id of it or what its provider said, in upper or
    /// lower case.
    pub text: Option<String>,
    /// Held, failed and undelivered messages only.
    pub problem: bool,
    /// Created at or after.
    pub since: Option<Timestamp>,
    /// Created before.
    pub until: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    #[default]
    NewestFirst,
    OldestFirst,
}

/// Which page of a list is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    pub order: Order,
    /// The page after this message; without it, the first.
    pub after: Option<Uuid>,
    pub limit: usize,
    /// Of each body, at most so many characters. Bodies have megabytes where strangers write them.
    pub body_chars: i32,
}

impl Wanted {
    /// With whole bodies.
    pub fn new(order: Order, after: Option<Uuid>, limit: usize) -> Self {
        Self { order, after, limit, body_chars: i32::MAX }
    }
}

/// A page, and where the next begins.
#[derive(Clone, Debug)]
pub struct Page {
    pub messages: Vec<Message>,
    pub next: Option<Uuid>,
}

/// The first window is as large as the page, each next one eight times the last, up to this many rows.
const WINDOW_ROWS_MAX: i64 = 10_000;
const WINDOW_GROWTH: i64 = 8;
const WINDOWS: usize = 8;
/// A page takes about so long at most: a window is no larger than what the one before lets expect of the rest.
const BUDGET: Duration = Duration::from_millis(60);
/// An id tells its server's time before the commit, `created_at` the database's at it: bounds on ids are wider by this.
const CLOCK_MARGIN: SignedDuration = SignedDuration::from_secs(120);
/// An address with more conversations than this is common enough to be met while walking everything.
const CONVERSATIONS_MAX: usize = 100;

/// Where the rows of a list come from. Each is walked in the order of ids.
pub(crate) enum Source {
    All,
    Conversations(Vec<Uuid>),
    Problems,
    Outbox,
}

/// A page of what the filter lets through.
///
/// # Errors
/// As the database gives them.
pub async fn list(client: &mut Client, filter: &Filter, wanted: Wanted) -> Result<Page, Error> {
    let Wanted { order, after, limit, body_chars } = wanted;
    let source = source(client, filter).await?;
    let mut found: Vec<Message> = Vec::with_capacity(limit);
    let mut start = after.unwrap_or(match order {
        Order::NewestFirst => Uuid::max(),
        Order::OldestFirst => Uuid::nil(),
    });
    let mut rows = i64::try_from(limit).unwrap_or(WINDOW_ROWS_MAX);
    let began = Instant::now();
    for number in 0..WINDOWS {
        let window_began = Instant::now();
        let missing = limit - found.len();
        let window = Window { start, rows, wanted: i64::try_from(missing).unwrap_or(i64::MAX), body_chars };
        let (matching, end) = look_through(client, &source, filter, order, window).await?;
        let page_is_full = matching.len() == missing;
        found.extend(matching);
        let Some(end) = end else {
            // The window was the last. A full page may still have left some of it unread.
            let last = found
                .last()
                .map(|message| message.id)
                .filter(|_| page_is_full && missing > 0 && rows > window.wanted);
            return Ok(Page { messages: found, next: last });
        };
        if page_is_full {
            return Ok(Page { next: found.last().map(|message| message.id), messages: found });
        }
        start = end;
        let affordable = affordable(rows, window_began.elapsed(), BUDGET.saturating_sub(began.elapsed()));
        rows = (rows * WINDOW_GROWTH).min(WINDOW_ROWS_MAX);
        // The first time a statement is used it is prepared: that says nothing about rows.
        if number > 0 {
            if affordable == 0 {
                break;
            }
            rows = rows.min(affordable);
        }
    }
    Ok(Page { messages: found, next: Some(start) })
}

/// How many rows can be looked at in the time that is left, if so many took so long.
fn affordable(rows: i64, took: Duration, left: Duration) -> i64 {
    let rows = rows as f64 * left.as_secs_f64() / took.as_secs_f64().max(1e-6);
    rows.min(WINDOW_ROWS_MAX as f64) as i64
}

async fn source(client: &mut Client, filter: &Filter) -> Result<Source, Error> {
    let unsettled = matches!(filter.status, Some(Status::Outbox | Status::Retry));
    let failed = filter.status == Some(Status::Failed) || filter.delivery == Some(Delivery::Undelivered);
    if let Some(id) = filter.conversation_id {
        Ok(Source::Conversations(vec![id]))
    } else if filter.problem || failed {
        Ok(Source::Problems)
    } else if unsettled {
        Ok(Source::Outbox)
    } else if let Some(address) = filter.from.as_ref().or(filter.to.as_ref()) {
        let key = model::Endpoint::stored(address).grouping_key();
        if conversations::is_common(client, &key).await? {
            return Ok(Source::All);
        }
        let conversations = conversations_of(client, &key).await?;
        Ok(if conversations.len() > CONVERSATIONS_MAX {
            Source::All
        } else {
            Source::Conversations(conversations)
        })
    } else {
        Ok(Source::All)
    }
}

pub(crate) const CONVERSATIONS_OF: &str =
    "select id from conversations where participants @> array[$1] limit $2";

async fn conversations_of(client: &mut Client, key: &str) -> Result<Vec<Uuid>, Error> {
    let transaction = with_bitmap_scans(client).await?;
    let statement = transaction.prepare_cached(CONVERSATIONS_OF).await?;
    let limit = i64::try_from(CONVERSATIONS_MAX + 1).unwrap_or(i64::MAX);
    let rows = transaction.query(&statement, &[&key, &limit]).await?;
    transaction.commit().await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// The ids of a window, walked in order from an index: at most $2 of them past $1, within [$4, $5); $3 are
/// conversations, where the source has some.
fn walk_sql(source: &Source, order: Order) -> String {
    let (past, direction) = match order {
        Order::NewestFirst => ("<", "desc"),
        Order::OldestFirst => (">", "asc"),
    };
    let bounds =
        |id: &str| format!("{id} {past} $1 and {id} >= $4 and {id} < $5 order by {id} {direction} limit $2");
    match source {
        Source::All => {
            format!("select id, bucket from messages where $3::uuid[] is null and {}", bounds("id"))
        }
        // Compared as rows, so that no other index than the conversation's fits.
        Source::Conversations(_) => format!(
            "select w.id, w.bucket from unnest($3::uuid[]) as c(id) cross join lateral (
                 select id, bucket from messages
                 where (conversation_id, id) {past} (c.id, $1) and (conversation_id, id) >= (c.id, $4)
                   and (conversation_id, id) < (c.id, $5)
                 order by conversation_id {direction}, id {direction} limit $2
             ) as w order by w.id {direction} limit $2",
        ),
        Source::Problems | Source::Outbox => {
            let table = if matches!(source, Source::Problems) { "problems" } else { "outbox" };
            format!(
                "select message_id as id, bucket from {table} where $3::uuid[] is null and {}",
                bounds("message_id")
            )
        }
    }
}

/// The rows of a window that pass the filter, each with the id at the window's end; without any, one row of that alone.
pub(crate) fn window_sql(source: &Source, order: Order) -> String {
    let direction = match order {
        Order::NewestFirst => "desc",
        Order::OldestFirst => "asc",
    };
    format!(
        "with walked as materialized ({walk}), found as (
         select {columns} from walked w
         join messages m on m.id = any(array[w.id]) and m.bucket = w.bucket
         left join outbox o on o.message_id = any(array[m.id]) and o.bucket = m.bucket
         where ($6::text is null or m.status_tag = $6) and ($7::text is null or m.delivery_tag = $7)
           and ($8::text is null or m.channel = $8) and ($9::text is null or m.inbound_or_outbound = $9)
           and ($10::text is null or m.endpoint_source = $10) and ($11::text is null or m.endpoint_target = $11)
           and ($13::timestamptz is null or m.created_at >= $13) and ($14::timestamptz is null or m.created_at < $14)
           and ($15::text is null or m.body ilike $15 or m.subject ilike $15 or m.endpoint_source ilike $15
               or m.endpoint_target ilike $15 or m.provider_message_id ilike $15 or m.status_payload::text ilike $15)
           and ($17::text is null or $17 in (m.status_payload ->> 'code', m.status_payload ->> 'provider_code'))
           and ($18::text is null or m.provider_id = $18)
           and (not $19 or exists (select from problems p where p.message_id = m.id and p.bucket = m.bucket))
         order by w.id {direction} limit $12
         )
         select found.*, last.id as last_id
         from (select (select id from walked order by id {direction} offset $2 - 1 limit 1) as id) as last
         left join found on true
         order by found.id {direction}",
        walk = walk_sql(source, order),
        columns = messages::COLUMNS.replace("m.body", "left(m.body, $16) as body")
    )
}

/// Where a window begins, how many rows it looks at, and how many of them are wanted.
#[derive(Clone, Copy)]
struct Window {
    start: Uuid,
    rows: i64,
    wanted: i64,
    body_chars: i32,
}

/// The matching rows of one window, and the id at its end where there may be more beyond.
async fn look_through(
    client: &Client,
    source: &Source,
    filter: &Filter,
    order: Order,
    window: Window,
) -> Result<(Vec<Message>, Option<Uuid>), Error> {
    let conversations = match source {
        Source::Conversations(ids) => Some(ids.as_slice()),
        Source::All | Source::Problems | Source::Outbox => None,
    };
    let around = |time: Timestamp, offset: SignedDuration| {
        model::id::first_id_at(time.checked_add(offset).unwrap_or(time))
    };
    let since = filter.since.map_or(Uuid::nil(), |since| around(since, -CLOCK_MARGIN));
    let until = filter.until.map_or(Uuid::max(), |until| around(until, CLOCK_MARGIN));
    let statement = client.prepare_cached(&window_sql(source, order)).await?;
    let rows = client
        .query(
            &statement,
            &[
                &window.start,
                &window.rows,
                &conversations,
                &since,
                &until,
                &filter.status.map(Status::as_str),
                &filter.delivery.map(Delivery::as_str),
                &filter.channel.map(Channel::as_str),
                &filter.direction.map(Direction::as_str),
                &filter.from,
                &filter.to,
                &window.wanted,
                &filter.since,
                &filter.until,
                &filter.text.as_deref().map(anywhere),
                &window.body_chars,
                &filter.code,
                &filter.provider_id,
                // That list has nothing else.
                &(filter.problem && !matches!(source, Source::Problems)),
            ],
        )
        .await?;
    let end = rows.first().and_then(|row| row.get("last_id"));
    let matching = rows.iter().filter(|row| row.get::<_, Option<Uuid>>("id").is_some());
    let found: Vec<Message> = matching.map(messages::from_row).collect::<Result<_, _>>()?;
    Ok((found, end))
}

/// A pattern of LIKE: this text, as it stands there, anywhere.
fn anywhere(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for character in text.chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_looked_for_as_it_stands() {
        assert_eq!(anywhere("50 %_off\\"), "%50 \\%\\_off\\\\%");
    }

    #[test]
    fn a_window_is_no_larger_than_the_time_that_is_left() {
        let ms = Duration::from_millis;
        assert_eq!(affordable(400, ms(10), ms(50)), 2_000);
        assert_eq!(affordable(400, ms(10), Duration::ZERO), 0);
        assert_eq!(affordable(50, Duration::ZERO, ms(60)), WINDOW_ROWS_MAX);
    }
}
