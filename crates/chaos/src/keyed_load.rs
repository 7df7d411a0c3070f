//! Clients that send under faults as clients should: each message has an Idempotency-Key and is repeated until it is
//! accepted. So every message is known, and each must be stored once.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::audit::Audit;
use crate::client::HttpClient;
use crate::figure::Figure;
use crate::installation::Installation;
use crate::load::{SMS, accepted_id, nth_sms};
use crate::simulator::Simulator;
use crate::wait::until;

const CLIENTS: usize = 16;
const REQUEST_LIMIT: Duration = Duration::from_secs(15);
/// After a message that was accepted.
const PAUSE: Duration = Duration::from_millis(40);
/// After a request that was not.
const REFUSED_PAUSE: Duration = Duration::from_millis(100);
/// After the last fault every message that was begun must be accepted.
const END_LIMIT: Duration = Duration::from_secs(90);

#[derive(Debug, Default)]
struct Seen {
    accepted: HashMap<usize, Uuid>,
    /// Keys that were answered with two messages.
    torn: usize,
    refused: BTreeMap<u16, usize>,
    unanswered: usize,
}

#[derive(Debug)]
pub struct KeyedLoad {
    seen: Arc<Mutex<Seen>>,
    stop: CancellationToken,
    clients: JoinSet<()>,
}

/// What the clients saw in all.
#[derive(Debug)]
pub struct Sent {
    pub accepted: Vec<Uuid>,
    torn: usize,
    refusals: usize,
    refused: String,
}

impl KeyedLoad {
    pub fn start(server: &HttpClient) -> Self {
        let mut load = Self { seen: Arc::default(), stop: CancellationToken::new(), clients: JoinSet::new() };
        let next = Arc::new(AtomicUsize::new(0));
        for _ in 0..CLIENTS {
            let server = server.with_timeout(REQUEST_LIMIT);
            let (seen, stop, next) = (Arc::clone(&load.seen), load.stop.clone(), Arc::clone(&next));
            load.clients.spawn(async move {
                while !stop.is_cancelled() {
                    send_until_accepted(&server, next.fetch_add(1, Ordering::Relaxed), &seen).await;
                    tokio::time::sleep(PAUSE).await;
                }
            });
        }
        load
    }

    /// Messages that were accepted so far.
    pub fn accepted(&self) -> usize {
        lock(&self.seen).accepted.len()
    }

    /// Waits until so many further messages are accepted.
    ///
    /// # Errors
    /// When they are not within `limit`.
    pub async fn wait_for_further(&self, count: usize, limit: Duration) -> anyhow::Result<()> {
        let before = self.accepted();
        until("the server accepts messages", limit, async || {
            Ok((self.accepted() >= before + count).then_some(()))
        })
        .await
    }

    /// Ends the clients, each after its message was accepted.
    ///
    /// # Errors
    /// When a message is not accepted, although no fault is left.
    pub async fn stop(mut self) -> anyhow::Result<Sent> {
        self.stop.cancel();
        let ended = async { while self.clients.join_next().await.is_some() {} };
        tokio::time::timeout(END_LIMIT, ended).await.context("the server accepts what the clients repeat")?;
        let seen = std::mem::take(&mut *lock(&self.seen));
        let accepted = seen.accepted.into_values().collect();
        let refusals = seen.refused.values().sum::<usize>() + seen.unanswered;
        let refused = format!("{:?}, {} unanswered", seen.refused, seen.unanswered);
        Ok(Sent { accepted, torn: seen.torn, refusals, refused })
    }
}

impl Sent {
    /// Requests that were answered otherwise, or not at all.
    pub fn refusals(&self) -> usize {
        self.refusals
    }

    /// What must hold of these messages once all are settled: none lost, none stored twice, none sent twice but where an
    /// unknown outcome says so. Without `may_double` none is sent twice at all.
    ///
    /// # Errors
    /// When the database or the simulator does not answer.
    pub async fn figures(
        &self,
        installation: &Installation,
        simulator: &Simulator,
        may_double: bool,
    ) -> anyhow::Result<Vec<Figure>> {
        let audit = Audit::of(installation, simulator, &self.accepted).await?;
        let distinct: HashSet<Uuid> = self.accepted.iter().copied().collect();
        let stored = installation.count("select count(*) from messages").await?;
        let doubled = match may_double {
            true => Figure::told("doubled at the provider", audit.duplicates),
            false => Figure::exactly("doubled at the provider", audit.duplicates, 0),
        };
        let mut figures = vec![
            Figure::at_least("messages accepted", self.accepted.len(), 1),
            Figure::told("other answers meanwhile", &self.refused),
            Figure::exactly("keys answered with two messages", self.torn, 0),
            Figure::exactly(
                "stored beyond one for each key",
                usize::try_from(stored)?.saturating_sub(distinct.len()),
                0,
            ),
            doubled,
        ];
        figures.extend(audit.figures());
        Ok(figures)
    }
}

async fn send_until_accepted(server: &HttpClient, n: usize, seen: &Mutex<Seen>) {
    let key = format!("key-{n}");
    loop {
        let answer = server.post_with(SMS, &[("idempotency-key", &key)], &nth_sms(n)).await;
        match answer.map(|answer| (answer.status, accepted_id(answer))) {
            Ok((_, Ok(id))) => {
                let mut seen = lock(seen);
                let first = *seen.accepted.entry(n).or_insert(id);
                seen.torn += usize::from(first != id);
                return;
            }
            Ok((status, Err(_))) => *lock(seen).refused.entry(status).or_default() += 1,
            Err(_) => lock(seen).unanswered += 1,
        }
        tokio::time::sleep(REFUSED_PAUSE).await;
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
