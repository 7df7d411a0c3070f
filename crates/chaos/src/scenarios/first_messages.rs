//! 64 first messages between one pair at once, both ways and through two servers: one conversation. One webhook 50
//! times at once: one message, and every delivery is answered 200.

use std::collections::BTreeMap;

use serde_json::json;
use tokio::task::JoinSet;

use crate::client::HttpClient;
use crate::configuration::twilio;
use crate::figure::Figure;
use crate::load::{SMS, number};
use crate::stage::Stage;

const FIRST_MESSAGES: usize = 64;
const DELIVERIES: usize = 50;
const ROUNDS: usize = 20;

pub(super) async fn run(stage: &mut Stage) -> anyhow::Result<Vec<Figure>> {
    let rounds = stage.scaled(ROUNDS, 3);
    let installation = stage.installation().await?;
    let simulator = installation.simulator(&[]).await?;
    installation.configure(&twilio("twilio-main", &simulator.url, ""))?;
    let first = installation.apiserver().await?;
    let second = installation.further_apiserver().await?;
    let servers = [first.http(), second.http()];

    let mut sends = BTreeMap::new();
    for round in 0..rounds {
        let (a, b) = (number(2 * round), number(2 * round + 1));
        at_once(&servers, FIRST_MESSAGES, &mut sends, SMS, |n| {
            let (from, to) = if n % 2 == 0 { (&a, &b) } else { (&b, &a) };
            json!({ "from": from, "to": to, "type": "sms", "body": format!("first {n}") })
        })
        .await?;
    }
    let conversations = installation.count("select count(*) from conversations").await?;
    let messages = installation.count("select count(*) from messages").await?;

    let mut deliveries = BTreeMap::new();
    for round in 0..rounds {
        at_once(&servers, DELIVERIES, &mut deliveries, "/api/webhooks/sms", |_| {
            json!({
                "from": number(2 * round), "to": number(2 * round + 1), "type": "sms", "body": "the same",
                "attachments": null, "timestamp": "2026-01-02T03:04:05Z",
                "messaging_provider_id": format!("message-{round}"),
            })
        })
        .await?;
    }
    let received = installation.count("select count(*) from messages").await? - messages;

    let webhook_url = format!("{}/api/webhooks/twilio-main", first.http().base_url());
    let before = installation.count("select count(*) from messages").await?;
    let statuses = simulator.inbound(&webhook_url, &number(1), &number(0), DELIVERIES).await?;
    let signed = installation.count("select count(*) from messages").await? - before;

    Ok(vec![
        Figure::exactly("sends accepted", of_status(&sends, 202), rounds * FIRST_MESSAGES),
        Figure::exactly("messages", usize::try_from(messages)?, rounds * FIRST_MESSAGES),
        Figure::exactly("conversations of 64 first messages each", usize::try_from(conversations)?, rounds),
        Figure::exactly("deliveries answered 200", of_status(&deliveries, 200), rounds * DELIVERIES),
        Figure::exactly("messages of 50 deliveries each", usize::try_from(received)?, rounds),
        Figure::exactly(
            "signed deliveries answered 200",
            statuses.iter().filter(|status| **status == 200).count(),
            DELIVERIES,
        ),
        Figure::exactly("messages of 50 signed deliveries", signed, 1),
    ])
}

fn of_status(answers: &BTreeMap<u16, usize>, status: u16) -> usize {
    answers.get(&status).copied().unwrap_or(0)
}

/// Posts so many at the same time, and counts the answers by status.
async fn at_once(
    servers: &[HttpClient],
    count: usize,
    answers: &mut BTreeMap<u16, usize>,
    path: &'static str,
    make: impl Fn(usize) -> serde_json::Value,
) -> anyhow::Result<()> {
    let mut requests = JoinSet::new();
    for (n, server) in servers.iter().cycle().take(count).enumerate() {
        let (server, body) = (server.clone(), make(n));
        requests.spawn(async move { server.post(path, &body).await });
    }
    while let Some(answer) = requests.join_next().await {
        *answers.entry(answer??.status).or_default() += 1;
    }
    Ok(())
}
