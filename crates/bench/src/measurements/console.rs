//! The console over a million stored messages: how long the server takes for each page, and what it costs accepting
//! that somebody watches the inbox while a thousand messages come in each second.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context;
use app_db::conversations;
use http::Method;
use http::header::SET_COOKIE;
use http_body_util::BodyExt;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::inbound;
use crate::bench::{Bench, checkpoint};
use crate::connection::{Answered, Connection, Loop, request};
use crate::generate;
use crate::rig::Rig;
use crate::samples::Spread;

const STORED: usize = 1_000_000;
const LOADS: usize = 40;
const INBOUND_PER_S: f64 = 1000.0;
const INBOUND_CONNECTIONS: usize = 8;

pub(super) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let installation = bench.installation().await?;
    let people = generate::stored(&installation, STORED.min(bench.plan.large)).await?;
    let rig = Rig::over(installation).await?;
    let _apiserver = rig.installation.apiserver().await?;
    let cookie = log_in(&rig).await?;
    pages(bench, &rig, &cookie).await?;

    let (mut sent, mut received) = (0, 0);
    for round in 0..bench.plan.rounds {
        // Which comes first changes.
        for is_open in [round % 2 == 0, round % 2 != 0] {
            checkpoint(&rig.installation).await?;
            let watcher = if is_open { Some(watch(&rig, &cookie).await?) } else { None };
            let load =
                Loop { first: sent, ..Loop::new(rig.api, bench.plan.time, rig.sends(people, false), 202) };
            let accepting = load.run();
            let (accepted, taken) = tokio::join!(accepting, inbound_load(bench, &rig, received));
            let (accepted, taken) = (accepted?, taken?);
            // Numbers may have been drawn beyond the last answer.
            (sent, received) = (sent + accepted.count + 64, received + taken.count + INBOUND_CONNECTIONS);
            let figure =
                if is_open { "accept beside inbound, inbox open/s" } else { "accept beside inbound/s" };
            bench.samples.add(figure, accepted.per_second());
            bench.samples.add("inbound beside accept/s", taken.per_second());
            if let Some(watcher) = watcher {
                let updates = watcher.end();
                anyhow::ensure!(updates > 1, "the inbox was updated {updates} times");
                bench
                    .samples
                    .add("updates of the open inbox/s", updates as f64 / bench.plan.time.as_secs_f64());
            }
        }
    }
    Ok(())
}

async fn inbound_load(bench: &Bench, rig: &Rig, first: usize) -> anyhow::Result<Answered> {
    let began = Instant::now();
    let gate = move |answered: usize| (answered as f64) < began.elapsed().as_secs_f64() * INBOUND_PER_S;
    let load = Loop::new(rig.api, bench.plan.time, inbound::webhooks(rig), 200);
    Loop { connections: INBOUND_CONNECTIONS, first, gate: Some(Arc::new(gate)), ..load }.run().await
}

async fn log_in(rig: &Rig) -> anyhow::Result<String> {
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("origin", "http://127.0.0.1")];
    let form = request(Method::POST, "/login", &headers, format!("key={}", rig.key))?;
    let answer = Connection::open(rig.api).await?.answer(form).await?;
    let cookie = answer.headers().get(SET_COOKIE).context("the key logs in")?.to_str()?;
    Ok(cookie.split(';').next().unwrap_or_default().to_owned())
}

/// Every page, in turns.
async fn pages(bench: &mut Bench, rig: &Rig, cookie: &str) -> anyhow::Result<()> {
    let client = rig.installation.pool.get().await?;
    let newest = conversations::list(&client, None, 1).await?;
    let conversation = newest.first().context("a conversation")?.id;
    let message: uuid::Uuid =
        client.query_one("select id from messages order by id desc limit 1", &[]).await?.get(0);
    drop(client);
    let pages = [
        ("inbox", "/".to_owned()),
        ("conversation", format!("/conversations/{conversation}")),
        ("messages", "/messages".to_owned()),
        ("failed messages", "/messages?status=failed".to_owned()),
        ("undelivered messages", "/messages?delivery=undelivered".to_owned()),
        ("queued messages", "/messages?status=outbox".to_owned()),
        ("messages that there are none of", "/messages?delivery=read".to_owned()),
        ("message", format!("/messages/{message}")),
        ("outbox", "/outbox".to_owned()),
        ("providers", "/providers".to_owned()),
        ("quarantine", "/quarantine".to_owned()),
        ("keys", "/keys".to_owned()),
        ("search for nobody", "/search?q=%2B12025550999".to_owned()),
        ("retry of all failed", "/bulk?action=retry&status=failed".to_owned()),
    ];
    let mut connection = Connection::open(rig.api).await?;
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); pages.len()];
    for _ in 0..LOADS {
        for ((_, path), times) in pages.iter().zip(&mut times) {
            let request = request(Method::GET, path, &[("cookie", cookie)], String::new())?;
            let began = Instant::now();
            let (status, body) = connection.call(request).await?;
            times.push(began.elapsed().as_secs_f64() * 1e3);
            anyhow::ensure!(status == 200, "{status} for {path}: {}", String::from_utf8_lossy(&body));
        }
    }
    let mut slowest = 0.0_f64;
    for ((name, _), mut times) in pages.iter().zip(times) {
        times.sort_by(f64::total_cmp);
        let p95 = times[times.len() * 95 / 100];
        let middle = Spread::of(&times).map_or(f64::NAN, |spread| spread.median);
        bench.samples.add(format!("console, {name}, ms"), middle);
        bench.samples.add(format!("console, {name}, p95 ms"), p95);
        slowest = slowest.max(p95);
    }
    bench.samples.add("console, slowest page p95 ms", slowest);
    Ok(())
}

/// Somebody who looks at the inbox.
struct Watcher {
    reading: JoinHandle<()>,
    updates: Arc<AtomicUsize>,
}

impl Watcher {
    /// How often the inbox was updated.
    fn end(self) -> usize {
        self.reading.abort();
        self.updates.load(Ordering::Relaxed)
    }
}

async fn watch(rig: &Rig, cookie: &str) -> anyhow::Result<Watcher> {
    let mut connection = Connection::open(rig.api).await?;
    let live = request(Method::GET, "/live/inbox", &[("cookie", cookie)], String::new())?;
    let mut body = tokio::time::timeout(Duration::from_secs(10), connection.answer(live)).await??.into_body();
    let updates = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&updates);
    let reading = tokio::spawn(async move {
        // The connection is open as long as this is.
        let _connection = connection;
        while let Some(Ok(_)) = body.frame().await {
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    Ok(Watcher { reading, updates })
}
