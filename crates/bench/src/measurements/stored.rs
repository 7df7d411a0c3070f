//! Accepting and listing over many stored messages and over few, in turns: each side has a database and a server of
//! its own.

use chaos::process::Process;
use http::Method;
use tokio::time::Instant;

use crate::bench::{Bench, SMALL_STORED, checkpoint};
use crate::connection::{Connection, Loop, request};
use crate::generate;
use crate::rig::Rig;
use crate::samples::Spread;

const REQUESTS: usize = 200;
const LISTS: [&str; 2] = ["messages", "conversations"];

struct Side {
    name: &'static str,
    rig: Rig,
    people: usize,
    sent: usize,
    conversations: Vec<uuid::Uuid>,
    _apiserver: Process,
}

pub(super) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let mut sides = Vec::new();
    for (name, count) in [("10^5", SMALL_STORED), ("large", bench.plan.large)] {
        let installation = bench.installation().await?;
        let began = Instant::now();
        let people = generate::stored(&installation, count).await?;
        let bytes = installation.count("select pg_database_size(current_database())::int8").await?;
        bench.note(format!(
            "{count} stored messages with their events, conversations and indexes took {:.2} GB ({:.0} bytes each) and \
             {:.0} s to generate.",
            bytes as f64 / 1e9,
            bytes as f64 / count as f64,
            began.elapsed().as_secs_f64()
        ));
        let client = installation.pool.get().await?;
        let ids =
            client.query("select id from conversations order by participants_hash limit 100", &[]).await?;
        drop(client);
        let rig = Rig::over(installation).await?;
        let apiserver = rig.installation.apiserver().await?;
        let conversations = ids.iter().map(|row| row.get(0)).collect();
        sides.push(Side { name, rig, people, sent: 0, conversations, _apiserver: apiserver });
    }
    for _ in 0..bench.plan.rounds {
        for side in &mut sides {
            checkpoint(&side.rig.installation).await?;
            let load = Loop::new(side.rig.api, bench.plan.time, side.rig.sends(side.people, false), 202);
            let answered = Loop { first: side.sent, ..load }.run().await?;
            side.sent += answered.count + load_connections();
            bench
                .samples
                .add(format!("accept over {} stored, ms each", side.name), 1e3 / answered.per_second());
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
