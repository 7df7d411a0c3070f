//! The outbox stepped by hand: a test accepts, claims and settles as a worker would, one step at a time.

use std::time::Duration;

use app_db::Pool;
use app_db::accept::{Accept, Accepted, accept};
use app_db::claim::{self, ClaimRequest, Claimed};
use app_db::messages::{self, events};
use app_db::settle::{Settled, Settlement, settle};
use model::transition::{self, Earlier, Elsewhere, Rules, Tried};
use model::{Bucket, Message, OnUnknown, Outcome, Reason, RetryPolicy};
use uuid::Uuid;

use crate::fixtures::Fixtures;
use crate::{TestDatabase, database};

const LEASE: Duration = Duration::from_secs(10);
const WORKS: &str = "the database does what it is asked";

/// A database, and one worker's steps on it.
#[derive(Debug)]
pub struct Outbox {
    pub database: TestDatabase,
    pub fixtures: Fixtures,
    /// Who the worker is.
    pub owner: Uuid,
}

impl Outbox {
    pub async fn new() -> Self {
        let fixtures = Fixtures::new();
        let owner = fixtures.ids.next(fixtures.now, Bucket(0));
        Self { database: database().await, fixtures, owner }
    }

    pub fn pool(&self) -> &Pool {
        &self.database.pool
    }

    /// Stores a message for the route `sms`.
    pub async fn accept(&self, message: model::NewMessage) -> Message {
        let request = Accept { message, route: "sms".to_owned(), sticky: Vec::new(), idempotency: None };
        let mut results = accept(self.pool(), &self.fixtures.ids, self.fixtures.now, &[request]).await;
        match results.pop().expect(WORKS).expect(WORKS) {
            Accepted::New(message) => message,
            other => panic!("{other:?}"),
        }
    }

    /// Claims for provider `p` as another worker.
    pub async fn claim_as(&self, owner: Uuid, limit: usize) -> Vec<Claimed> {
        let client = self.pool().get().await.expect(WORKS);
        let request =
            ClaimRequest { route: "sms", provider_id: "p", owner, lease: LEASE, limit, floors: [None; 3] };
        claim::claim(&client, request).await.expect(WORKS)
    }

    pub async fn claim(&self, limit: usize) -> Vec<Claimed> {
        self.claim_as(self.owner, limit).await
    }

    /// The settlement of an outcome, unwritten.
    pub fn settlement(&self, claimed: &Claimed, outcome: &Outcome, on_unknown: OnUnknown) -> Settlement {
        let tried = Tried {
            attempt: claimed.attempt,
            age: Duration::ZERO,
            claims: 1,
            jitter: 0.0,
            earlier: Earlier::None,
        };
        let policy = RetryPolicy::default();
        let wait = Duration::from_secs(300);
        Settlement {
            lease: claimed.lease(),
            transition: transition::after_outcome(
                outcome,
                tried,
                &Rules {
                    policy: &policy,
                    on_unknown,
                    reconcile_wait: wait,
                    elsewhere: Elsewhere::Nowhere,
                    confirm_within: None,
                },
            ),
            channel: model::Channel::Sms,
            provider_id: Some("p".to_owned()),
            event_id: self.event_id(claimed.message_id),
            reference: None,
            lane: None,
            accepts: false,
            holder: None,
        }
    }

    pub async fn write(&self, settlements: &[Settlement]) -> Settled {
        let client = self.pool().get().await.expect(WORKS);
        settle(&client, self.owner, settlements).await.expect(WORKS)
    }

    /// Settles under a policy for unknown outcomes.
    pub async fn settle_by(&self, on_unknown: OnUnknown, claimed: &Claimed, outcome: &Outcome) -> Settled {
        self.write(&[self.settlement(claimed, outcome, on_unknown)]).await
    }

    pub async fn settle(&self, claimed: &Claimed, outcome: &Outcome) -> Settled {
        self.settle_by(OnUnknown::Hold, claimed, outcome).await
    }

    pub fn event_id(&self, message_id: Uuid) -> Uuid {
        self.fixtures.ids.next(self.fixtures.now, Bucket::of(message_id))
    }

    pub async fn find(&self, id: Uuid) -> Message {
        messages::find(&self.pool().get().await.expect(WORKS), id).await.expect(WORKS).expect(WORKS)
    }

    pub async fn event_kinds(&self, id: Uuid) -> Vec<String> {
        let client = self.pool().get().await.expect(WORKS);
        let listed = events::list(&client, id, Uuid::nil(), 100).await.expect(WORKS);
        listed.into_iter().map(|event| event.kind).collect()
    }

    pub async fn execute(&self, sql: &str) {
        self.pool().get().await.expect(WORKS).batch_execute(sql).await.expect(WORKS);
    }

    pub async fn let_leases_lapse(&self) {
        self.execute(
            "update outbox set leased_until = now() - interval '1 second' where leased_by is not null",
        )
        .await;
    }
}

pub fn accepted() -> Outcome {
    Outcome::Accepted { provider_message_id: Some("SM1".to_owned()) }
}

pub fn unavailable() -> Outcome {
    Outcome::Unavailable {
        retry_after: None,
        provider_code: Some("20500".to_owned()),
        detail: "HTTP 500".to_owned(),
    }
}

pub fn rejected() -> Outcome {
    Outcome::Rejected {
        reason: Reason::InvalidRecipient,
        provider_code: Some("21211".to_owned()),
        detail: "HTTP 400".to_owned(),
    }
}
