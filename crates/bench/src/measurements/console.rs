//! The console over a million stored messages, in an outage that left a long backlog: how long the server takes for each
//! page, what its figures cost, and what it costs accepting that somebody watches the inbox while a thousand messages come
//! in each second.

mod pages;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context;
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

const STORED: usize = 1_000_000;
/// What is due, and cannot be sent.
const BACKLOG: usize = 100_000;
/// What went through in the last hour.
const RECENT: usize = 60_000;
const INBOUND_PER_S: f64 = 1000.0;
const INBOUND_CONNECTIONS: usize = 8;

pub(super) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let installation = bench.installation().await?;
    let people = generate::stored(&installation, STORED.min(bench.plan.large)).await?;
    generate::outage(&installation, RECENT, BACKLOG).await?;
    let rig = Rig::over(installation).await?;
    let _apiserver = rig.installation.apiserver().await?;
    let cookie = log_in(&rig).await?;
    pages::run(bench, &rig, &cookie).await?;

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

/// What an update of the inbox has once; how the whole fares comes without.
const LIST: &[u8] = b"class=\"list\"";

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
        let mut unread = Vec::new();
        while let Some(Ok(frame)) = body.frame().await {
            unread.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
            let lists = unread.windows(LIST.len()).filter(|bytes| *bytes == LIST).count();
            counted.fetch_add(lists, Ordering::Relaxed);
            // It may go on in the next.
            unread.drain(..(unread.len() + 1).saturating_sub(LIST.len()));
        }
    });
    Ok(Watcher { reading, updates })
}
