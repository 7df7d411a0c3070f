//! 200 clients send 2,000 messages with an Idempotency-Key each, through time-outs that are too short and two
//! servers that are killed in turn, repeating until they are answered: exactly 2,000 messages.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::ensure;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::client::{HttpClient, NoAnswer};
use crate::configuration::twilio;
use crate::figure::Figure;
use crate::load::{SMS, accepted_id, number, sms};
use crate::process::Process;
use crate::stage::Stage;

const CLIENTS: usize = 200;
const SENDS: usize = 2_000;
/// The first try's time limit. Each further one has twice as long, up to the last.
const FIRST_LIMIT: Duration = Duration::from_millis(4);
const LAST_LIMIT: Duration = Duration::from_secs(2);
const TRIES_MAX: usize = 200;
/// A server lives so long.
const LIFE: Duration = Duration::from_millis(300);
/// After a try that failed at once: the other server, or this one when it is back.
const NEXT_TRY: Duration = Duration::from_millis(20);
/// A client waits up to so long between two sends, so that they see many lives.
const THINK_MS: u64 = 600;

#[derive(Default)]
struct Told {
    ids: Vec<Uuid>,
    tries: usize,
    timed_out: usize,
    broken: usize,
    refused: usize,
    /// Keys that were answered with more than one message.
    torn: usize,
}

pub(super) async fn run(stage: &mut Stage) -> anyhow::Result<Vec<Figure>> {
    let sends = stage.scaled(SENDS, 200);
    let clients = CLIENTS.min(sends);
    let installation = stage.installation().await?;
    let simulator = installation.simulator(&["--no-receipts"]).await?;
    installation.configure(&twilio("twilio-main", &simulator.url, ""))?;
    let mut servers = [installation.apiserver().await?, installation.further_apiserver().await?];
    let http = [servers[0].http(), servers[1].http()];

    let mut tasks = JoinSet::new();
    for client in 0..clients {
        let share = (client..sends).step_by(clients).collect();
        tasks.spawn(send_each(http.clone(), share));
    }
    let mut told = Told::default();
    let collecting = async {
        while let Some(part) = tasks.join_next().await {
            told.add(part??);
        }
        anyhow::Ok(())
    };
    let kills = kill_while(&mut servers, collecting).await?;

    // Once more, with time enough: the first answer is repeated, and marked as such.
    let mut replays = 0;
    for n in 0..sends {
        let key = format!("key-{n}");
        let answer = http[n % 2].post_with(SMS, &[("idempotency-key", &key)], &message(n)).await?;
        let is_marked = answer.headers.keys().any(|name| name.as_str().contains("replayed"));
        replays += usize::from(is_marked);
        told.ids.push(accepted_id(answer)?);
    }
    let distinct: HashSet<Uuid> = told.ids.iter().copied().collect();
    let stored = installation.count("select count(*) from messages").await?;
    Ok(vec![
        Figure::exactly("messages stored", usize::try_from(stored)?, sends),
        Figure::exactly("different ids that clients were told", distinct.len(), sends),
        Figure::exactly("keys answered with two ids", told.torn, 0),
        Figure::exactly("answers marked as replays afterwards", replays, sends),
        Figure::told("tries", told.tries),
        Figure::told("tries that a starting server refused", told.refused),
        Figure::at_least("tries that timed out", told.timed_out, 1),
        Figure::at_least("tries that a kill broke", told.broken, 1),
        Figure::at_least("kills", kills, if sends >= SENDS { 5 } else { 1 }),
    ])
}

fn message(n: usize) -> serde_json::Value {
    sms(&number(n % 100), &format!("keyed {n}"))
}

/// Sends each until it was answered twice.
async fn send_each(servers: [HttpClient; 2], share: Vec<usize>) -> anyhow::Result<Told> {
    let mut told = Told::default();
    for n in share {
        tokio::time::sleep(Duration::from_millis(fastrand::u64(..THINK_MS))).await;
        let key = format!("key-{n}");
        let mut limit = FIRST_LIMIT;
        let mut answered: Option<Uuid> = None;
        let mut tries = 0;
        // A second answer, after the first, shows whether both name one message.
        for wanted in 1..=2 {
            loop {
                tries += 1;
                ensure!(tries < TRIES_MAX, "key {key}: {tries} tries, and answer {wanted} did not come");
                let server = servers[fastrand::usize(..2)].with_timeout(limit);
                limit = (limit * 2).min(LAST_LIMIT);
                match server.post_with(SMS, &[("idempotency-key", &key)], &message(n)).await {
                    // A server that starts, and has no database yet.
                    Ok(answer) if answer.status == 503 => {
                        told.refused += 1;
                        tokio::time::sleep(NEXT_TRY).await;
                    }
                    Ok(answer) => {
                        let id = accepted_id(answer)?;
                        told.torn += usize::from(answered.is_some_and(|first| first != id));
                        answered = Some(id);
                        break;
                    }
                    Err(NoAnswer::TimedOut) => told.timed_out += 1,
                    Err(NoAnswer::Broken(_)) => {
                        told.broken += 1;
                        tokio::time::sleep(NEXT_TRY).await;
                    }
                }
            }
        }
        told.tries += tries;
        told.ids.extend(answered);
    }
    Ok(told)
}

/// Kills the servers in turn while the work goes on.
async fn kill_while(
    servers: &mut [Process; 2],
    work: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<usize> {
    let mut kills = 0;
    let killing = async {
        loop {
            for server in servers.iter_mut() {
                tokio::time::sleep(LIFE).await;
                server.kill().await?;
                kills += 1;
                server.start_again().await?;
            }
        }
        #[expect(unreachable_code, reason = "names the error's type")]
        anyhow::Ok(())
    };
    tokio::select! {
        done = work => done?,
        broken = killing => broken?,
    }
    // The kill may have been cut off in the middle.
    for server in servers {
        if server.http().get("/readyz").await.is_err() {
            server.start_again().await?;
        }
    }
    Ok(kills)
}

impl Told {
    fn add(&mut self, part: Self) {
        self.ids.extend(part.ids);
        self.tries += part.tries;
        self.timed_out += part.timed_out;
        self.broken += part.broken;
        self.refused += part.refused;
        self.torn += part.torn;
    }
}
