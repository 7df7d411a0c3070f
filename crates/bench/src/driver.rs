//! Claims and settles as the processor does, with nothing sent in between: app-db's own functions, so the same
//! statements, in the processor's batches. What the queue alone can do.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use app_db::Pool;
use app_db::claim::{ClaimRequest, Claimed, claim};
use app_db::floors::{Floors, left_behind};
use app_db::settle::{Settlement, settle};
use chaos::installation::Installation;
use futures_util::future::try_join_all;
use model::transition::{EventKind, Transition};
use model::{Bucket, Delivery, IdGenerator, Next, Status};
use service::Clock;
use tokio::task::JoinSet;
use tokio::time::Instant;
use uuid::Uuid;

use crate::rig::{PROVIDER, ROUTE};

/// The processor's largest claim and settle.
pub const BATCH: usize = 500;
pub const CLIENTS: usize = 2;
const LEASE: Duration = Duration::from_secs(600);
/// As in the processor.
const LOOK_BEHIND_EVERY: Duration = Duration::from_secs(5);
const LOOK_BEHIND_LATEST: Duration = Duration::from_secs(60);
/// One of several that claim at the same time.
#[derive(Debug)]
pub struct Driver {
    pool: Pool,
    owner: Uuid,
    ids: IdGenerator,
    floors: Floors,
    look_behind_at: Instant,
}

/// A claim that was committed.
#[derive(Debug)]
pub struct Batch {
    pub claimed: Vec<Claimed>,
    /// The claim's own statement, without the commit, whose time is the disk's.
    pub took: Duration,
}

impl Driver {
    /// # Errors
    /// When the operating system has no randomness.
    pub fn new(pool: &Pool) -> anyhow::Result<Self> {
        let ids = IdGenerator::from_entropy()?;
        let owner = ids.next(Clock::System.now(), Bucket(0));
        Ok(Self {
            pool: pool.clone(),
            owner,
            ids,
            floors: Floors::default(),
            look_behind_at: Instant::now() + LOOK_BEHIND_EVERY,
        })
    }

    /// As the processor does, but not beside its claims: between them.
    async fn look_behind(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        if began >= self.look_behind_at {
            let client = self.pool.get().await?;
            for found in left_behind(&client, &[(ROUTE, self.floors)]).await? {
                self.floors.lower(found);
            }
            let rest = (began.elapsed() * 50).clamp(LOOK_BEHIND_EVERY, LOOK_BEHIND_LATEST);
            self.look_behind_at = Instant::now() + rest;
        }
        Ok(())
    }

    /// # Errors
    /// As the database gives them.
    pub async fn claim(&mut self, limit: usize) -> anyhow::Result<Batch> {
        let floors = self.floors;
        let request = ClaimRequest {
            route: ROUTE,
            provider_id: PROVIDER,
            owner: self.owner,
            lease: LEASE,
            limit,
            floors: floors.0,
        };
        let mut client = self.pool.get().await?;
        let transaction = client.transaction().await?;
        let began = Instant::now();
        let claimed = claim(&transaction, request).await?;
        let took = began.elapsed();
        transaction.commit().await?;
        self.floors.raise(&floors, &claimed);
        Ok(Batch { claimed, took })
    }

    /// Settles as accepted by the provider.
    ///
    /// # Errors
    /// As the database gives them, or when a lease was lost.
    pub async fn settle(&self, claimed: &[Claimed]) -> anyhow::Result<()> {
        let settlement = |row: &Claimed| Settlement {
            lease: row.lease(),
            transition: Transition {
                status: Status::Ok,
                delivery: Delivery::Pending,
                payload: None,
                next: Next::Gone,
                attempt: row.attempt + 1,
                event: EventKind::Sent,
                provider_message_id: Some(format!("SM{}", row.message_id.simple())),
            },
            channel: row.channel,
            provider_id: Some(PROVIDER.to_owned()),
            event_id: self.ids.next(Clock::System.now(), Bucket::of(row.message_id)),
            // Twilio's receipts carry our id: the processor writes none for it either.
            reference: None,
            lane: None,
            accepts: false,
            holder: None,
        };
        let settlements: Vec<Settlement> = claimed.iter().map(settlement).collect();
        let client = self.pool.get().await?;
        let settled = settle(&client, self.owner, &settlements).await?;
        anyhow::ensure!(settled.written.len() == settlements.len(), "a lease was lost in a drain");
        Ok(())
    }
}

/// What a drain did.
#[derive(Debug)]
pub struct Drained {
    pub messages: usize,
    pub elapsed: Duration,
    /// Of every full claim, in order of its end.
    pub claims_ms: Vec<f64>,
}

/// Several drivers over one database, which know from one drain to the next how far they are.
#[derive(Debug)]
pub struct Drivers(Vec<Driver>);

impl Drivers {
    /// [`CLIENTS`] of them, with their connections made and their statements prepared.
    ///
    /// # Errors
    /// As the database gives them.
    pub async fn new(installation: &Installation) -> anyhow::Result<Self> {
        let pool = installation.connect(CLIENTS)?;
        let mut drivers = Vec::with_capacity(CLIENTS);
        for _ in 0..CLIENTS {
            drivers.push(Driver::new(&pool)?);
        }
        try_join_all(drivers.iter_mut().map(|driver| driver.claim(0))).await?;
        Ok(Self(drivers))
    }

    /// Claims and settles until about `limit` messages are, or nothing is due.
    ///
    /// # Errors
    /// As the database gives them.
    pub async fn drain(&mut self, limit: usize) -> anyhow::Result<Drained> {
        let began = Instant::now();
        let left = Arc::new(AtomicUsize::new(limit));
        let mut clients = JoinSet::new();
        for driver in self.0.drain(..) {
            clients.spawn(driver.drain(began, Arc::clone(&left)));
        }
        let (mut messages, mut claims) = (0, Vec::new());
        while let Some(client) = clients.join_next().await {
            let (driver, count, times) = client??;
            self.0.push(driver);
            messages += count;
            claims.extend(times);
        }
        let elapsed = began.elapsed();
        claims.sort_by_key(|(at, _)| *at);
        Ok(Drained { messages, elapsed, claims_ms: claims.into_iter().map(|(_, ms)| ms).collect() })
    }
}

/// When a claim ended, and the milliseconds it took.
type Claims = Vec<(Duration, f64)>;

impl Driver {
    async fn drain(
        mut self,
        began: Instant,
        left: Arc<AtomicUsize>,
    ) -> anyhow::Result<(Self, usize, Claims)> {
        let mut claims = Vec::new();
        let mut messages = 0;
        loop {
            let share = left.load(Ordering::Relaxed).min(BATCH);
            let batch = self.claim(share).await?;
            if batch.claimed.is_empty() {
                return Ok((self, messages, claims));
            }
            // Another may have claimed its share in between: then a batch too many is drained.
            let count = batch.claimed.len();
            let _ = left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left.saturating_sub(count)));
            messages += count;
            if count == BATCH {
                claims.push((began.elapsed(), batch.took.as_secs_f64() * 1e3));
            }
            self.settle(&batch.claimed).await?;
            self.look_behind().await?;
        }
    }
}
