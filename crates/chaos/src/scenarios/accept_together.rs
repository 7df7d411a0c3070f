//! 64 clients send into 50 hot conversations, through two servers: requests share transactions, and no deadlock
//! reaches a client. Then the database refuses some requests: each of them fails alone.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::configuration::twilio;
use crate::figure::Figure;
use crate::installation::Installation;
use crate::load::{Pressure, SENDER, SMS, Seen, number, sms};
use crate::stage::Stage;

const CLIENTS: usize = 64;
const CONVERSATIONS: usize = 50;
const POISON: &str = "poison";

pub(super) async fn run(stage: &mut Stage) -> anyhow::Result<Vec<Figure>> {
    let time = Duration::from_secs(stage.scaled(30, 3) as u64);
    let installation = stage.installation().await?;
    let simulator = installation.simulator(&["--no-receipts"]).await?;
    installation.configure(&twilio("twilio-main", &simulator.url, ""))?;
    let servers = [installation.apiserver().await?, installation.further_apiserver().await?];
    let http = [servers[0].http(), servers[1].http()];

    let deadlocks_before = deadlocks(&installation).await?;
    let commits_before = commits(&installation).await?;
    let pressure = Pressure::start(&http, CLIENTS, Duration::ZERO, hot);
    tokio::time::sleep(time).await;
    let hot_seen = pressure.stop().await;
    let stored = installation.count("select count(*) from messages").await?;
    let conversations = installation.count("select count(*) from conversations").await?;
    let commits = commits(&installation).await? - commits_before;
    let deadlocks = deadlocks(&installation).await? - deadlocks_before;

    // Nothing that passes validation is refused by our own schema; a rule of this database's own stands in.
    let rule = format!("alter table messages add constraint no_poison check (body <> '{POISON}')");
    installation.pool.get().await?.batch_execute(&rule).await?;
    let poison = poison_among(&http, stage.scaled(200, 40)).await?;

    let rate = hot_seen.accepted.len() as f64 / time.as_secs_f64();
    Ok(vec![
        Figure::at_least("sends accepted", hot_seen.accepted.len(), CLIENTS),
        Figure::told("rate", format!("{rate:.0}/s")),
        Figure::exactly("refused or unanswered", hot_seen.refused() + hot_seen.unanswered, 0),
        Figure::exactly(
            "stored but not accepted, or the reverse",
            stored - i64::try_from(hot_seen.accepted.len())?,
            0,
        ),
        Figure::exactly("conversations", usize::try_from(conversations)?, CONVERSATIONS),
        Figure::told("deadlocks that the database saw", deadlocks),
        Figure::ratio_at_least("messages a commit", stored as f64 / commits.max(1) as f64, 1.5),
        Figure::exactly("poisoned requests refused with 5xx", poison.refused, poison.sent),
        Figure::exactly(
            "requests beside them that failed",
            poison.others.refused() + poison.others.unanswered,
            0,
        ),
        Figure::at_least("requests beside them", poison.others.accepted.len(), poison.sent),
    ])
}

/// Both directions of every conversation, so that groups would lock the same rows in any order if they did not
/// sort.
fn hot(n: usize) -> Value {
    let pair = fastrand::usize(..CONVERSATIONS);
    let mut message = sms(&number(pair), &format!("hot {n}"));
    if fastrand::bool() {
        message["from"] = number(pair).into();
        message["to"] = SENDER.into();
    }
    message
}

struct Poison {
    sent: usize,
    refused: usize,
    others: Seen,
}

/// Sends poisoned requests, four at a time, while 60 clients send good ones.
async fn poison_among(http: &[crate::client::HttpClient; 2], count: usize) -> anyhow::Result<Poison> {
    let pressure = Pressure::start(http, CLIENTS - 4, Duration::ZERO, hot);
    let mut answers: BTreeMap<u16, usize> = BTreeMap::new();
    let mut sent = 0;
    while sent < count {
        let four = (0..4).map(|n| {
            let server = http[n % 2].clone();
            async move { server.post(SMS, &sms(&number(n), POISON)).await }
        });
        for answer in futures_util::future::join_all(four).await {
            *answers.entry(answer?.status).or_default() += 1;
            sent += 1;
        }
    }
    let others = pressure.stop().await;
    let refused = answers.iter().filter(|(status, _)| **status >= 500).map(|(_, count)| count).sum();
    Ok(Poison { sent, refused, others })
}

async fn commits(installation: &Installation) -> anyhow::Result<i64> {
    statistic(installation, "xact_commit").await
}

async fn deadlocks(installation: &Installation) -> anyhow::Result<i64> {
    statistic(installation, "deadlocks").await
}

async fn statistic(installation: &Installation, column: &str) -> anyhow::Result<i64> {
    installation
        .count(&format!("select {column} from pg_stat_database where datname = current_database()"))
        .await
}
