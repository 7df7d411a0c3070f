//! Receipts in any order, several times each, some before the provider's answer: every message ends with the delivery
//! that they say together, and nobody who looks sees one go back.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http::Method;
use model::Delivery;
use provider_simulator::{DEMO_TWILIO_AUTH_TOKEN, Fault, twilio_signature};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::client::HttpClient;
use crate::configuration::twilio;
use crate::figure::Figure;
use crate::load::{nth_sms, send_all};
use crate::simulator::{Entry, Simulator};
use crate::stage::Stage;

const LIMIT: Duration = Duration::from_secs(240);
const CLIENTS: usize = 16;
const POSTERS: usize = 16;
/// The provider has a message before it answers: receipts come in between.
const ANSWER_AFTER_S: f64 = 0.5;
const LATEST_MS: u64 = 2_000;

/// What the carrier says of a message, in the order in which it happened.
const STORIES: [&[&str]; 4] = [
    &["sent", "delivered"],
    &["queued", "sent", "delivered"],
    &["sent", "undelivered"],
    &["undelivered", "delivered"],
];

pub(super) async fn run(stage: &mut Stage) -> anyhow::Result<Vec<Figure>> {
    let count = stage.scaled(10_000, 500);
    let installation = stage.installation().await?;
    let simulator = installation.simulator(&["--no-receipts"]).await?;
    simulator.fault(Fault::Hang { for_s: ANSWER_AFTER_S, accept_first: true }).await?;
    installation.configure(&twilio("twilio-main", &simulator.url, "max_in_flight = 256"))?;
    let _apiserver = installation.apiserver().await?;
    let _processor = installation.processor().await?;
    let api = installation.api();

    let watcher = Watcher::start(&api);
    let receipts = Receipts::start(&api);
    let sending = {
        let api = api.clone();
        tokio::spawn(async move { send_all(&[api], CLIENTS, count, nth_sms).await })
    };
    let mut stories = HashMap::with_capacity(count);
    while stories.len() < count {
        for entry in simulator.newest(2_000).await? {
            let Some(id) = entry.message_id else { continue };
            if !stories.contains_key(&id) {
                let story = STORIES[stories.len() % STORIES.len()];
                stories.insert(id, story);
                receipts.tell(&entry, story)?;
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    sending.await??;
    let (posted, refused) = receipts.finish().await?;
    installation.wait_until_settled(LIMIT).await?;
    let (looks, regressions) = watcher.stop().await?;

    let mut wrong = BTreeMap::new();
    let rows = installation.deliveries().await?;
    for (id, story) in &stories {
        let wanted = if story.contains(&"delivered") { "delivered" } else { "undelivered" };
        let is = rows.get(id).map_or("missing", String::as_str);
        if is != wanted {
            *wrong.entry(format!("{is} instead of {wanted}")).or_insert(0) += 1;
        }
    }
    let settled_by_receipt = installation
        .count(
            "select count(distinct message_id) from message_events e where kind = 'receipt' and not exists (
                select from message_events s where s.message_id = e.message_id and s.kind = 'sent')",
        )
        .await?;
    Ok(vec![
        Figure::exactly("messages", rows.len(), count),
        Figure::told("receipts posted", posted),
        Figure::exactly("receipts not answered with 200", refused, 0),
        Figure::told("messages that a receipt settled before the answer did", settled_by_receipt),
        Figure::exactly("final deliveries that are wrong", format!("{wrong:?}"), "{}".to_owned()),
        Figure::told("times that a poller saw a message", looks),
        Figure::exactly("deliveries seen to go back", regressions, 0),
        Figure::exactly("sent twice", simulator.summary().await?.duplicates, 0),
    ])
}

/// Posts signed receipts, each after a time of its own.
struct Receipts {
    queue: mpsc::UnboundedSender<Receipt>,
    poster: tokio::task::JoinHandle<(usize, usize)>,
    url: String,
}

struct Receipt {
    after: Duration,
    path: String,
    url: String,
    form: Vec<(String, String)>,
}

impl Receipts {
    fn start(api: &HttpClient) -> Self {
        let (queue, mut receipts) = mpsc::unbounded_channel::<Receipt>();
        let url = api.base_url().to_owned();
        let api = api.clone();
        let poster = tokio::spawn(async move {
            let refused = Arc::new(AtomicUsize::new(0));
            let slots = Arc::new(tokio::sync::Semaphore::new(POSTERS));
            let (mut posting, mut posted) = (JoinSet::new(), 0);
            while let Some(receipt) = receipts.recv().await {
                posted += 1;
                let (api, refused, slots) = (api.clone(), Arc::clone(&refused), Arc::clone(&slots));
                posting.spawn(async move {
                    tokio::time::sleep(receipt.after).await;
                    let _slot = slots.acquire().await;
                    if !receipt.post(&api).await {
                        refused.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            while posting.join_next().await.is_some() {}
            (posted, refused.load(Ordering::Relaxed))
        });
        Self { queue, poster, url }
    }

    /// Each step once to three times, at random times.
    fn tell(&self, entry: &Entry, story: &[&str]) -> anyhow::Result<()> {
        let id = entry.message_id.context("our id")?;
        let attempt = entry.attempt.unwrap_or(1);
        let path = format!("/api/webhooks/twilio-main?message_id={id}&attempt={attempt}");
        for status in story {
            for _ in 0..fastrand::usize(1..=3) {
                let mut form = vec![
                    ("MessageSid".to_owned(), entry.provider_message_id.clone()),
                    ("MessageStatus".to_owned(), (*status).to_owned()),
                ];
                if *status == "undelivered" {
                    form.push(("ErrorCode".to_owned(), "30005".to_owned()));
                }
                let after = Duration::from_millis(fastrand::u64(0..LATEST_MS));
                let url = format!("{}{path}", self.url);
                self.queue
                    .send(Receipt { after, path: path.clone(), url, form })
                    .ok()
                    .context("the poster")?;
            }
        }
        Ok(())
    }

    /// How many were posted, and how many of those were not answered with 200.
    async fn finish(self) -> anyhow::Result<(usize, usize)> {
        drop(self.queue);
        Ok(self.poster.await?)
    }
}

impl Receipt {
    async fn post(&self, api: &HttpClient) -> bool {
        let signature = twilio_signature(DEMO_TWILIO_AUTH_TOKEN, &self.url, &self.form);
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.form).finish();
        let headers = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("x-twilio-signature", signature.as_str()),
        ];
        let answer = api.send(Method::POST, &self.path, &headers, Bytes::from(body)).await;
        answer.is_ok_and(|answer| answer.status == 200)
    }
}

/// Reads every message again and again, through the API.
struct Watcher {
    stop: CancellationToken,
    watching: tokio::task::JoinHandle<anyhow::Result<(usize, usize)>>,
}

impl Watcher {
    fn start(api: &HttpClient) -> Self {
        let stop = CancellationToken::new();
        let (api, stopped) = (api.clone(), stop.clone());
        let watching = tokio::spawn(async move {
            let mut ranks: HashMap<Uuid, u8> = HashMap::new();
            let (mut looks, mut regressions) = (0, 0);
            loop {
                let is_last = stopped.is_cancelled();
                let mut cursor = String::new();
                loop {
                    let page: Value = api.get_json(&format!("/api/messages?limit=200{cursor}")).await?;
                    for message in page["messages"].as_array().context("messages")? {
                        let id: Uuid = message["id"].as_str().context("an id")?.parse()?;
                        let delivery: Delivery = message["delivery"].as_str().context("delivery")?.parse()?;
                        let before = ranks.insert(id, delivery.rank()).unwrap_or(0);
                        looks += 1;
                        regressions += usize::from(delivery.rank() < before);
                    }
                    match page["next_cursor"].as_str() {
                        Some(next) => cursor = format!("&cursor={next}"),
                        None => break,
                    }
                }
                if is_last {
                    return Ok((looks, regressions));
                }
            }
        });
        Self { stop, watching }
    }

    /// How often a message was seen, and how often with less than before.
    async fn stop(self) -> anyhow::Result<(usize, usize)> {
        self.stop.cancel();
        self.watching.await?
    }
}

impl Simulator {
    async fn newest(&self, limit: usize) -> anyhow::Result<Vec<Entry>> {
        self.some_of_ledger(&format!("?limit={limit}")).await
    }
}
