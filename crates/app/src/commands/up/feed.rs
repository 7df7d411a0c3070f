//! One line per message, when it is known what became of it. No addresses, no bodies.

use std::collections::{HashSet, VecDeque};
use std::convert::Infallible;
use std::time::Duration;

use app_db::messages::list::{self, Filter, Order, Wanted};
use app_db::{Client, Pool, messages};
use model::{Delivery, Direction, Message, Status};
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

use crate::output::{self, Output};

const INTERVAL: Duration = Duration::from_millis(200);
/// Messages looked up again in a tick, lines printed in a tick, and messages waited for: under load the feed is a
/// sample, and must not be the load.
const LOOKED_UP_MAX: usize = 50;
const LINES_MAX: usize = 20;
const WAITED_FOR_MAX: usize = 1000;
const PAGE: usize = 200;
/// Pages read in a tick. What they do not hold is left out.
const PAGES_MAX: usize = 5;
/// A message is given its id before its transaction commits, so a later id may be seen before it.
const OVERLAP: Duration = Duration::from_secs(2);

/// Never ends, so that nobody takes its end for the end of the work.
pub(super) async fn run(pool: Pool, output: Output, is_demo: bool) -> Infallible {
    let mut feed: Option<Feed> = None;
    let mut tick = interval(INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        // A database that is away for a moment is other parts' to report.
        let Ok(told) = step(&pool, &mut feed).await else { continue };
        let more = told.len().saturating_sub(LINES_MAX);
        for message in told.iter().take(LINES_MAX) {
            let state = json!({
                "id": message.id, "type": message.channel, "status": message.status,
                "delivery": message.delivery, "provider_id": message.provider_id, "elapsed_ms": elapsed_ms(message),
            });
            if output.record(&state, |_| line(message, is_demo)).is_err() {
                // Nobody reads any more.
                return std::future::pending().await;
            }
        }
        if more > 0 && !output.json {
            // The next record finds out whether somebody reads.
            let _ = output::print(&format!("… and {more} more\n"));
        }
    }
}

#[derive(Debug)]
struct Feed {
    newest: Uuid,
    /// Seen, within the overlap.
    seen: HashSet<Uuid>,
    /// Not finished when they were last seen.
    waited_for: VecDeque<Uuid>,
}

/// The messages that finished since the last step.
async fn step(pool: &Pool, feed: &mut Option<Feed>) -> Result<Vec<Message>, app_db::Error> {
    let mut client = app_db::pool::get(pool).await?;
    let Some(feed) = feed else {
        // What was there before is not told.
        let newest = newest(&mut client).await?;
        *feed = Some(Feed { newest, seen: HashSet::from([newest]), waited_for: VecDeque::new() });
        return Ok(Vec::new());
    };
    let mut finished = Vec::new();
    for _ in 0..feed.waited_for.len().min(LOOKED_UP_MAX) {
        let Some(id) = feed.waited_for.pop_front() else { break };
        match messages::find(&client, id).await? {
            Some(message) if is_finished(&message) => finished.push(message),
            Some(_) => feed.waited_for.push_back(id),
            None => {}
        }
    }
    let mut after = Some(feed.overlap());
    for _ in 0..PAGES_MAX {
        let Some(from) = after else { break };
        let wanted = Wanted::new(Order::OldestFirst, Some(from), PAGE);
        let page = list::list(&mut client, &Filter::default(), wanted).await?;
        after = page.next;
        for message in page.messages {
            if !feed.seen.insert(message.id) {
                continue;
            }
            feed.newest = feed.newest.max(message.id);
            if is_finished(&message) {
                finished.push(message);
            } else {
                // The oldest make room: what is scheduled may wait for days.
                if feed.waited_for.len() >= WAITED_FOR_MAX {
                    feed.waited_for.pop_front();
                }
                feed.waited_for.push_back(message.id);
            }
        }
    }
    if after.is_some() {
        // More came than is told: the next look begins at the newest.
        feed.newest = newest(&mut client).await?;
    }
    let overlap = feed.overlap();
    feed.seen.retain(|id| *id >= overlap);
    Ok(finished)
}

impl Feed {
    /// Where the next look begins.
    fn overlap(&self) -> Uuid {
        let overlap = model::id::time_of(self.newest).checked_sub(OVERLAP).map(model::id::first_id_at);
        overlap.unwrap_or(Uuid::nil())
    }
}

async fn newest(client: &mut Client) -> Result<Uuid, app_db::Error> {
    let page = list::list(client, &Filter::default(), Wanted::new(Order::NewestFirst, None, 1)).await?;
    Ok(page.messages.first().map_or(Uuid::nil(), |message| message.id))
}

fn is_finished(message: &Message) -> bool {
    match message.status {
        Status::Failed => true,
        Status::Ok => !matches!(message.delivery, Delivery::Pending | Delivery::Sent),
        // Held: a person must look.
        Status::Retry => message.delivery == Delivery::Unknown,
        Status::Outbox => false,
    }
}

/// `01a2…7756 sms ok, delivered 41 ms via sim`.
fn line(message: &Message, is_demo: bool) -> String {
    let id = message.id.simple().to_string();
    let (status, delivery) = (message.status.as_str(), message.delivery.as_str());
    let code = message
        .status_payload
        .as_ref()
        // What a receipt said, twice over.
        .filter(|payload| payload.code != delivery)
        .map(|payload| format!(" ({})", output::visible(&payload.code)))
        .unwrap_or_default();
    let state = match message.delivery {
        Delivery::None => format!("{status}{code}"),
        Delivery::Received => delivery.to_owned(),
        _ => format!("{status}, {delivery}{code}"),
    };
    let mut line = format!(
        "{}…{} {} {}",
        id.get(..4).unwrap_or_default(),
        id.get(28..).unwrap_or_default(),
        message.channel,
        output::paint_state(&state, status, delivery),
    );
    if message.direction == Direction::Outbound {
        let ms = elapsed_ms(message);
        line.push_str(&if ms < 1000 { format!(" {ms} ms") } else { format!(" {:.1} s", ms as f64 / 1000.0) });
    }
    if let Some(provider_id) = &message.provider_id {
        line.push_str(&format!(" via {}", if is_demo { "sim" } else { provider_id }));
    }
    line
}

/// From its acceptance to its last change.
fn elapsed_ms(message: &Message) -> i64 {
    message.updated_at.duration_since(message.created_at).as_millis().try_into().unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use app_db::receive::{Inbound, receive};
    use jiff::{SignedDuration, Timestamp};
    use testkit::fixtures::Fixtures;

    use super::*;

    /// So many messages that all came in one moment.
    async fn come_in(pool: &Pool, f: &Fixtures, at: Timestamp, count: usize) {
        let inbound = |number: usize| {
            let mut message = f.inbound_sms(u16::try_from(number % 1000).unwrap() + 2, 1);
            message.id = f.ids.next(at, message.participants.bucket());
            let provider_message_id = format!("{at} {number}");
            Inbound { message, provider_id: "p".to_owned(), provider_message_id, files: Vec::new() }
        };
        let group: Vec<Inbound> = (0..count).map(inbound).collect();
        for part in group.chunks(500) {
            assert!(receive(pool, &f.ids, at, part).await.iter().all(Result::is_ok));
        }
    }

    #[tokio::test]
    async fn a_burst_is_told_and_what_comes_after_it_too() {
        let database = testkit::database().await;
        let (f, mut feed) = (Fixtures::new(), None);
        come_in(&database.pool, &f, f.now, 1).await;
        assert!(step(&database.pool, &mut feed).await.unwrap().is_empty());
        let later = |ms| f.now.checked_add(SignedDuration::from_millis(ms)).unwrap();
        come_in(&database.pool, &f, later(1), 700).await;
        assert_eq!(step(&database.pool, &mut feed).await.unwrap().len(), 700);
        come_in(&database.pool, &f, later(2), 1).await;
        assert_eq!(step(&database.pool, &mut feed).await.unwrap().len(), 1);
        // More than is read in a tick, all within the overlap.
        come_in(&database.pool, &f, later(3), 2 * PAGE * PAGES_MAX).await;
        while !step(&database.pool, &mut feed).await.unwrap().is_empty() {}
        come_in(&database.pool, &f, later(3_000), 1).await;
        let mut told = 0;
        for _ in 0..2 {
            told += step(&database.pool, &mut feed).await.unwrap().len();
        }
        assert_eq!(told, 1);
    }
}
