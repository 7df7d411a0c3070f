//! Everything that is done over many stored messages and over few, in turns: accepting, claiming, settling, lists, and
//! at last retention. Each size has a database and a server of its own.

use std::time::Duration;

use app_db::partitions;
use chaos::process::Process;
use http::Method;
use tokio::time::Instant;

use crate::bench::{Bench, SMALL_STORED, checkpoint};
use crate::connection::{Connection, Loop, request};
use crate::driver::{BATCH, Driver};
use crate::generate;
use crate::rig::Rig;
use crate::samples::Spread;

const REQUESTS: usize = 200;
const LISTS: [&str; 2] = ["messages", "conversations"];
/// Of a round, over each size.
const CLAIMS: usize = 5;
/// Of the eight weeks that are stored, the oldest is older than this.
const RETENTION: Duration = Duration::from_secs(7 * 7 * 86_400);

struct Side {
    name: String,
    rig: Rig,
    people: usize,
    sent: usize,
    conversations: Vec<uuid::Uuid>,
    driver: Driver,
    _apiserver: Process,
}

pub(super) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let mut sides = Vec::new();
    for (name, count) in sizes(bench.plan.large) {
        bench.sizes.push(name.clone());
        sides.push(fill(bench, name, count).await?);
    }
    for _ in 0..bench.plan.rounds {
        for side in &mut sides {
            accept(bench, side).await?;
            claim_and_settle(bench, side).await?;
        }
        for side in &sides {
            for list in LISTS {
                let time = pages(side, &format!("/api/{list}?limit=50")).await?;
                bench.samples.add(format!("list of {list} over {} stored, ms", side.name), time);
            }
            let time = conversation_pages(side).await?;
            bench.samples.add(format!("a conversation's list over {} stored, ms", side.name), time);
        }
    }
    for side in &sides {
        retain(bench, side).await?;
    }
    Ok(())
}

/// From a small one to `large`, by powers of ten.
fn sizes(large: usize) -> Vec<(String, usize)> {
    let powers =
        (SMALL_STORED.ilog10()..large.ilog10()).map(|power| (format!("10^{power}"), 10_usize.pow(power)));
    powers.chain([("large".to_owned(), large)]).collect()
}

async fn fill(bench: &mut Bench, name: String, count: usize) -> anyhow::Result<Side> {
    let installation = bench.installation().await?;
    let began = Instant::now();
    let people = generate::stored(&installation, count).await?;
    let bytes = installation.count("select pg_database_size(current_database())::int8").await?;
    bench.samples.add(format!("disk over {name} stored, bytes each"), bytes as f64 / count as f64);
    bench.note(format!(
        "{count} stored messages with their events, conversations and indexes took {:.2} GB and {:.0} s to generate.",
        bytes as f64 / 1e9,
        began.elapsed().as_secs_f64()
    ));
    let client = installation.pool.get().await?;
    let ids = client.query("select id from conversations order by participants_hash limit 100", &[]).await?;
    drop(client);
    let driver = Driver::new(&installation.connect(1)?)?;
    let rig = Rig::over(installation).await?;
    let apiserver = rig.installation.apiserver().await?;
    let conversations = ids.iter().map(|row| row.get(0)).collect();
    Ok(Side { name, rig, people, sent: 0, conversations, driver, _apiserver: apiserver })
}

async fn accept(bench: &mut Bench, side: &mut Side) -> anyhow::Result<()> {
    checkpoint(&side.rig.installation).await?;
    let load = Loop::new(side.rig.api, bench.plan.time, side.rig.sends(side.people, false), 202);
    let answered = Loop { first: side.sent, ..load }.run().await?;
    side.sent += answered.count + load_connections();
    bench.samples.add(format!("accept over {} stored, ms each", side.name), 1e3 / answered.per_second());
    Ok(())
}

/// Of what was just accepted.
async fn claim_and_settle(bench: &mut Bench, side: &mut Side) -> anyhow::Result<()> {
    let (mut claims_ms, mut settles_ms) = (Vec::new(), Vec::new());
    for _ in 0..CLAIMS {
        let batch = side.driver.claim(BATCH).await?;
        anyhow::ensure!(batch.claimed.len() == BATCH, "a claim came back with {}", batch.claimed.len());
        claims_ms.push(batch.took.as_secs_f64() * 1e3);
        let began = Instant::now();
        side.driver.settle(&batch.claimed).await?;
        settles_ms.push(began.elapsed().as_secs_f64() * 1e3);
    }
    for (step, times) in [("claim", claims_ms), ("settle", settles_ms)] {
        let middle = Spread::of(&times).map_or(f64::NAN, |spread| spread.median);
        bench.samples.add(format!("{step} of {BATCH} over {} stored, ms", side.name), middle);
    }
    Ok(())
}

/// Drops the oldest week.
async fn retain(bench: &mut Bench, side: &Side) -> anyhow::Result<()> {
    let client = side.rig.installation.pool.get().await?;
    let before = side.rig.installation.count("select count(*) from messages").await?;
    let began = Instant::now();
    let dropped = partitions::drop_older_than(&client, RETENTION).await?;
    let took_ms = began.elapsed().as_secs_f64() * 1e3;
    let after = side.rig.installation.count("select count(*) from messages").await?;
    anyhow::ensure!(!dropped.is_empty() && after < before, "retention dropped {dropped:?}");
    bench.samples.add(format!("retention over {} stored, ms", side.name), took_ms);
    bench.samples.add(format!("messages dropped over {} stored", side.name), (before - after) as f64);
    Ok(())
}

/// Numbers that a loop may have drawn beyond its last answer.
fn load_connections() -> usize {
    crate::connection::CONNECTIONS
}

/// The middle time of a page: the first and the one after it, in turns.
async fn pages(side: &Side, path: &str) -> anyhow::Result<f64> {
    let mut connection = Connection::open(side.rig.api).await?;
    let (first, _) = get(side, &mut connection, path).await?;
    let cursor = first["next_cursor"].as_str().map(str::to_owned).unwrap_or_default();
    let cursor: String = url::form_urlencoded::byte_serialize(cursor.as_bytes()).collect();
    let paths = [path.to_owned(), format!("{path}&cursor={cursor}")];
    let mut times_ms = Vec::with_capacity(REQUESTS);
    for path in paths.iter().cycle().take(REQUESTS) {
        times_ms.push(get(side, &mut connection, path).await?.1);
    }
    Ok(Spread::of(&times_ms).map_or(f64::NAN, |spread| spread.median))
}

async fn conversation_pages(side: &Side) -> anyhow::Result<f64> {
    let mut connection = Connection::open(side.rig.api).await?;
    let mut times_ms = Vec::with_capacity(REQUESTS);
    for id in side.conversations.iter().cycle().take(REQUESTS) {
        let path = format!("/api/conversations/{id}/messages?limit=50");
        times_ms.push(get(side, &mut connection, &path).await?.1);
    }
    Ok(Spread::of(&times_ms).map_or(f64::NAN, |spread| spread.median))
}

async fn get(
    side: &Side,
    connection: &mut Connection,
    path: &str,
) -> anyhow::Result<(serde_json::Value, f64)> {
    let authorization = format!("Bearer {}", side.rig.key);
    let request = request(Method::GET, path, &[("authorization", &authorization)], String::new())?;
    let began = Instant::now();
    let (status, body) = connection.call(request).await?;
    let took_ms = began.elapsed().as_secs_f64() * 1e3;
    anyhow::ensure!(status == 200, "{status} for {path}: {}", String::from_utf8_lossy(&body));
    Ok((serde_json::from_slice(&body)?, took_ms))
}
