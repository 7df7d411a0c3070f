//! Each page of the console again and again, in turns; and by themselves the counts that pages show and do not wait for.

use std::time::Duration;

use anyhow::Context;
use app_db::{activity, conversations};
use http::header::LOCATION;
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use jiff::ToSpan;
use service::Clock;
use tokio::time::Instant;

use crate::bench::Bench;
use crate::connection::{Connection, request};
use crate::people::{SENDER, known};
use crate::rig::Rig;
use crate::samples::Spread;

const LOADS: usize = 60;
/// The deep page is so many pages of fifty down.
const DEPTH: usize = 20;
const COUNTS: usize = 5;

pub(super) async fn run(bench: &mut Bench, rig: &Rig, cookie: &str) -> anyhow::Result<()> {
    let mut reader = Reader { connection: Connection::open(rig.api).await?, cookie };
    let pages = pages(rig, &mut reader).await?;
    let mut times_ms: Vec<Vec<f64>> = vec![Vec::new(); pages.len()];
    for _ in 0..LOADS {
        for ((_, path), times_ms) in pages.iter().zip(&mut times_ms) {
            let (took, _) = reader.look(path).await?;
            times_ms.push(took.as_secs_f64() * 1e3);
        }
    }
    let mut slowest = 0.0_f64;
    for ((name, _), mut times) in pages.iter().zip(times_ms) {
        times.sort_by(f64::total_cmp);
        let p95 = times[times.len() * 95 / 100];
        let spread = Spread::of(&times).context("times")?;
        bench.samples.add(format!("console, {name}, ms"), spread.median);
        bench.samples.add(format!("console, {name}, p95 ms"), p95);
        bench.samples.add(format!("console, {name}, max ms"), spread.max);
        slowest = slowest.max(p95);
    }
    bench.samples.add("console, slowest page p95 ms", slowest);
    counts(bench, rig).await
}

async fn pages(rig: &Rig, reader: &mut Reader<'_>) -> anyhow::Result<Vec<(&'static str, String)>> {
    let client = rig.installation.pool.get().await?;
    let newest = conversations::list(&client, None, 1).await?;
    let conversation = newest.first().context("a conversation")?.id;
    let message: uuid::Uuid =
        client.query_one("select id from messages order by id desc limit 1", &[]).await?.get(0);
    drop(client);
    let encoded = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let (ours, somebody) = (encoded(SENDER), encoded(&known(1)));
    let mut deep = "/messages".to_owned();
    for _ in 0..DEPTH {
        let (_, page) = reader.look(&deep).await?;
        deep = older(&page).context("an older page")?;
    }
    Ok(vec![
        ("inbox", "/".to_owned()),
        ("conversation", format!("/conversations/{conversation}")),
        ("messages", "/messages".to_owned()),
        ("messages, deep", deep),
        ("failed messages", "/messages?status=failed".to_owned()),
        ("undelivered messages", "/messages?delivery=undelivered".to_owned()),
        ("queued messages", "/messages?status=outbox".to_owned()),
        ("retried messages", "/messages?status=retry&delivery=none".to_owned()),
        ("problems", "/messages?problem=true".to_owned()),
        ("messages from our number", format!("/messages?from={ours}")),
        ("messages to somebody", format!("/messages?to={somebody}")),
        ("messages of ten minutes", "/messages?since=30m&until=20m".to_owned()),
        ("failed messages of a day long ago", "/messages?status=failed&since=20d&until=19d".to_owned()),
        ("messages with a common text", "/messages?text=parcel".to_owned()),
        ("messages with a text that none has", "/messages?text=zebra".to_owned()),
        ("messages that there are none of", "/messages?delivery=read".to_owned()),
        ("message", format!("/messages/{message}")),
        ("outbox", "/outbox".to_owned()),
        ("providers", "/providers".to_owned()),
        ("quarantine", "/quarantine".to_owned()),
        ("keys", "/keys".to_owned()),
        ("search for nobody", "/search?q=%2B12025550999".to_owned()),
        ("search for a number", format!("/search?q={somebody}")),
        ("retry of all failed", "/bulk?action=retry&status=failed".to_owned()),
    ])
}

/// Where the link to older ones leads.
fn older(page: &str) -> Option<String> {
    let (before, _) = page.rsplit_once("\">Older</a>")?;
    let (_, path) = before.rsplit_once("href=\"")?;
    Some(path.replace("&amp;", "&"))
}

struct Reader<'a> {
    connection: Connection,
    cookie: &'a str,
}

impl Reader<'_> {
    /// The page, and how long it took with where it led.
    async fn look(&mut self, path: &str) -> anyhow::Result<(Duration, String)> {
        let began = Instant::now();
        let mut path = path.to_owned();
        loop {
            let request = request(Method::GET, &path, &[("cookie", self.cookie)], String::new())?;
            let answer = self.connection.answer(request).await?;
            let status = answer.status();
            let location =
                answer.headers().get(LOCATION).map(|location| location.to_str().map(str::to_owned));
            let body = answer.into_body().collect().await?.to_bytes();
            let body = String::from_utf8_lossy(&body).into_owned();
            match (status, location) {
                (StatusCode::SEE_OTHER, Some(location)) => path = location?,
                (StatusCode::OK, _) => return Ok((began.elapsed(), body)),
                _ => anyhow::bail!("{status} for {path}: {body}"),
            }
        }
    }
}

async fn counts(bench: &mut Bench, rig: &Rig) -> anyhow::Result<()> {
    let client = rig.installation.pool.get().await?;
    let until = Clock::System.now() - 3.minutes();
    for _ in 0..COUNTS {
        let began = Instant::now();
        let backlog = activity::backlog(&client).await?;
        bench.samples.add("console, count of the outbox, ms", began.elapsed().as_secs_f64() * 1e3);
        anyhow::ensure!(backlog.iter().map(|row| row.due).sum::<i64>() > 0, "nothing is due");
        let began = Instant::now();
        let counted = activity::between(&client, until - 1.minute(), until).await?;
        bench.samples.add("console, count of a busy minute, ms", began.elapsed().as_secs_f64() * 1e3);
        let messages: i64 = counted.iter().map(|count| count.messages).sum();
        bench.samples.add("console, messages of a busy minute", messages as f64);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_to_older_ones_is_found() {
        let page = "<a href=\"/messages\">Newest</a> <a href=\"/messages?a=1&amp;cursor=x\">Older</a></p>";
        assert_eq!(older(page).as_deref(), Some("/messages?a=1&cursor=x"));
        assert_eq!(older("<p>No message matches."), None);
    }
}
