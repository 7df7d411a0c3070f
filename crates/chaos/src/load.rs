//! Clients that send: a fixed number of messages, or on and on while something is killed under them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use serde_json::{Value, json};
use service::Clock;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::client::{Answer, HttpClient};

pub const SENDER: &str = "+12025550100";
pub const SMS: &str = "/api/messages/sms";
const CONVERSATIONS: usize = 5_000;
const PRESSURE_TIMEOUT: Duration = Duration::from_secs(5);
/// After a refusal, so that a server that is down is asked often, but not all the time.
const REFUSED_PAUSE: Duration = Duration::from_millis(20);

/// A text message to somebody.
pub fn sms(to: &str, body: &str) -> Value {
    json!({ "from": SENDER, "to": to, "type": "sms", "body": body })
}

/// The number of somebody in the United States.
pub fn number(person: usize) -> String {
    format!("+1202{}", 2_000_000 + person)
}

/// One of many messages to one of many people.
pub fn nth_sms(n: usize) -> Value {
    sms(&number(n % CONVERSATIONS), &format!("message {n}"))
}

/// The id in an answer that accepted a message.
///
/// # Errors
/// When it is none.
pub fn accepted_id(answer: Answer) -> anyhow::Result<Uuid> {
    let message = answer.expect(202)?.json()?;
    message["id"].as_str().context("an id")?.parse().context("an id")
}

/// Sends one message that must be accepted.
///
/// # Errors
/// When it is not.
pub async fn send(api: &HttpClient, message: &Value) -> anyhow::Result<Uuid> {
    accepted_id(api.post(SMS, message).await?)
}

/// Sends `count` messages from so many clients at once, spread over the servers; each must be accepted.
///
/// # Errors
/// When one is not.
pub async fn send_all(
    servers: &[HttpClient],
    clients: usize,
    count: usize,
    make: fn(usize) -> Value,
) -> anyhow::Result<Vec<Uuid>> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for server in servers.iter().cycle().take(clients) {
        let (server, next) = (server.clone(), Arc::clone(&next));
        tasks.spawn(async move {
            let mut ids = Vec::new();
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= count {
                    return anyhow::Ok(ids);
                }
                ids.push(send(&server, &make(n)).await?);
            }
        });
    }
    let mut ids = Vec::with_capacity(count);
    while let Some(sent) = tasks.join_next().await {
        ids.extend(sent??);
    }
    Ok(ids)
}

/// Messages at a steady rate, each sent at its own time, whatever became of those before it.
#[derive(Debug)]
pub struct Steady(JoinSet<anyhow::Result<(Uuid, Timestamp)>>);

impl Steady {
    /// `count` messages, `rate` a second.
    pub fn start(api: &HttpClient, rate: usize, count: usize) -> Self {
        let began = Instant::now();
        let mut sending = JoinSet::new();
        for n in 0..count {
            let api = api.clone();
            sending.spawn(async move {
                tokio::time::sleep_until(began + Duration::from_secs_f64(n as f64 / rate as f64)).await;
                let id = send(&api, &nth_sms(n)).await?;
                Ok((id, Clock::System.now()))
            });
        }
        Self(sending)
    }

    /// Each message, and when it was answered with 202.
    ///
    /// # Errors
    /// When one was not.
    pub async fn finish(mut self) -> anyhow::Result<Vec<(Uuid, Timestamp)>> {
        let mut accepted = Vec::with_capacity(self.0.len());
        while let Some(sent) = self.0.join_next().await {
            accepted.push(sent??);
        }
        Ok(accepted)
    }
}

/// What the clients saw.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Messages that were answered with 202.
    pub accepted: Vec<Uuid>,
    /// Other answers, by status.
    pub refused: BTreeMap<u16, usize>,
    /// Requests without an answer.
    pub unanswered: usize,
    /// The first other answer, in full.
    pub first_refusal: Option<String>,
}

impl Seen {
    pub fn refused(&self) -> usize {
        self.refused.values().sum()
    }
}

/// Clients that send until they are told to stop, whatever they are answered.
#[derive(Debug)]
pub struct Pressure {
    seen: Arc<Mutex<Seen>>,
    stop: CancellationToken,
    clients: JoinSet<()>,
}

impl Pressure {
    /// Each client pauses so long after each answer.
    pub fn start(servers: &[HttpClient], clients: usize, pause: Duration, make: fn(usize) -> Value) -> Self {
        let mut pressure =
            Self { seen: Arc::default(), stop: CancellationToken::new(), clients: JoinSet::new() };
        let next = Arc::new(AtomicUsize::new(0));
        for server in servers.iter().cycle().take(clients) {
            let server = server.with_timeout(PRESSURE_TIMEOUT);
            let (seen, stop, next) = (Arc::clone(&pressure.seen), pressure.stop.clone(), Arc::clone(&next));
            pressure.clients.spawn(async move {
                while !stop.is_cancelled() {
                    let message = make(next.fetch_add(1, Ordering::Relaxed));
                    let answer = server.post(SMS, &message).await;
                    let is_accepted = answer.as_ref().is_ok_and(|answer| answer.status == 202);
                    lock(&seen).note(answer.ok());
                    let pause = if is_accepted { pause } else { pause.max(REFUSED_PAUSE) };
                    if !pause.is_zero() {
                        tokio::time::sleep(pause).await;
                    }
                }
            });
        }
        pressure
    }

    pub fn accepted(&self) -> usize {
        lock(&self.seen).accepted.len()
    }

    /// Ends the clients, each after its last answer.
    pub async fn stop(mut self) -> Seen {
        self.stop.cancel();
        while self.clients.join_next().await.is_some() {}
        std::mem::take(&mut *lock(&self.seen))
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Seen {
    fn note(&mut self, answer: Option<Answer>) {
        let Some(answer) = answer else {
            self.unanswered += 1;
            return;
        };
        let (status, text) = (answer.status, answer.text());
        match accepted_id(answer) {
            Ok(id) => self.accepted.push(id),
            Err(_) => {
                *self.refused.entry(status).or_default() += 1;
                self.first_refusal.get_or_insert(text);
            }
        }
    }
}
