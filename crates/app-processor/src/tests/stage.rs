//! A database with messages in it, and processors that go a step at a time.

use std::ops::Deref;
use std::sync::Arc;

use app_db::accept::{Accept, Accepted, accept};
use jiff::Timestamp;
use model::{Message, NewMessage};
use secrecy::SecretString;
use service::metrics::{Metrics, ProviderResolution};
use service::supervision::Supervisor;
use service::{Clock, Config};
use testkit::outbox::Outbox;
use testkit::until;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::provider::TestProvider;
use crate::run_once::Visit;
use crate::{CONNECTIONS, Parts, Processor};

/// No round comes by itself: whoever wants one wakes.
pub(super) const QUIET: &str = "[processor]\npoll_interval_ms = 3600000\nnotify = false\n";

pub(super) struct Stage(Outbox);

impl Deref for Stage {
    type Target = Outbox;

    fn deref(&self) -> &Outbox {
        &self.0
    }
}

/// A message's row of the table `outbox`.
#[derive(Debug)]
pub(super) struct Row {
    pub route: String,
    pub lease_no: i32,
    pub leased_by: Option<Uuid>,
    /// Nothing: never.
    pub due_at: Option<Timestamp>,
    pub leased_until: Option<Timestamp>,
    /// By the database's clock.
    pub is_due: bool,
}

/// `[[providers]]` of kind twilio; `more` are further lines.
pub(super) fn provider(id: &str, base_url: &str, more: &str) -> String {
    format!(
        "[[providers]]\nid = \"{id}\"\nkind = \"twilio\"\nbase_url = \"{base_url}\"\n\
         account_sid = \"{}\"\nauth_token = \"{}\"\n{more}\n",
        provider_simulator::DEMO_TWILIO_ACCOUNT_SID,
        provider_simulator::DEMO_TWILIO_AUTH_TOKEN,
    )
}

pub(super) fn config(text: &str) -> Config {
    Config::parse(text, "app.toml", &|_| None).unwrap()
}

impl Stage {
    pub(super) async fn new() -> Self {
        Self(Outbox::new().await)
    }

    pub(super) fn parts(&self, config: Config) -> Parts {
        Parts {
            config: Arc::new(config),
            pool: app_db::connect(&self.database.url, CONNECTIONS).unwrap(),
            database_url: SecretString::from(self.database.url.clone()),
            metrics: Metrics::default(),
            clock: Clock::System,
            begin_held: false,
            wake: Arc::new(Notify::new()),
        }
    }

    /// A processor of which nothing runs but what the test calls, and its settling task.
    pub(super) fn processor(&self, text: &str) -> Arc<Processor> {
        self.processor_of(config(text))
    }

    pub(super) fn processor_of(&self, config: Config) -> Arc<Processor> {
        let processor = Processor::new(self.parts(config), Supervisor::default()).unwrap();
        processor.gate.open();
        Arc::new(processor)
    }

    /// A processor with the provider `p`.
    pub(super) fn processor_for(&self, test_provider: &TestProvider, more: &str) -> Arc<Processor> {
        self.processor(&provider("p", &test_provider.base_url, more))
    }

    /// A message of the route `sms` to the number of these last four digits.
    pub(super) async fn accept_to(&self, number: u16) -> Message {
        self.accept(self.fixtures.sms(1, number)).await
    }

    pub(super) async fn accept_on(&self, route: &str, message: NewMessage) -> Message {
        self.store(Accept { message, route: route.to_owned(), sticky: Vec::new(), idempotency: None }).await
    }

    /// On the route `sms`, whose messages stick to these providers.
    pub(super) async fn accept_sticking(&self, sticky: &[String], message: NewMessage) -> Message {
        self.store(Accept { message, route: "sms".to_owned(), sticky: sticky.to_vec(), idempotency: None })
            .await
    }

    async fn store(&self, request: Accept) -> Message {
        let mut results = accept(self.pool(), &self.fixtures.ids, self.fixtures.now, &[request]).await;
        match results.pop().unwrap().unwrap() {
            Accepted::New(message) => message,
            other => panic!("{other:?}"),
        }
    }

    /// The message's row, while it has one.
    pub(super) async fn row(&self, id: Uuid) -> Option<Row> {
        let client = self.pool().get().await.unwrap();
        let sql =
            "select route, lease_no, leased_by, nullif(next_attempt_at, 'infinity') as due_at, leased_until,
                       next_attempt_at <= clock_timestamp()
                           and coalesce(leased_until <= clock_timestamp(), true) as is_due
                   from outbox where message_id = $1";
        let row = client.query_opt(sql, &[&id]).await.unwrap()?;
        Some(Row {
            route: row.get("route"),
            lease_no: row.get("lease_no"),
            leased_by: row.get("leased_by"),
            due_at: row.get("due_at"),
            leased_until: row.get("leased_until"),
            is_due: row.get("is_due"),
        })
    }

    /// As a processor leaves it that vanished during its call to this provider.
    pub(super) async fn lapse(&self, id: Uuid, provider_id: &str) {
        let vanished = self.owner;
        self.execute(&format!(
            "update outbox set lease_no = lease_no + 1, leased_by = '{vanished}', \
                 leased_provider = '{provider_id}', leased_until = now() - interval '1 second'
             where message_id = '{id}'"
        ))
        .await;
    }

    /// What waits for a time is due now.
    pub(super) async fn make_due(&self, id: Uuid) {
        self.execute(&format!(
            "update outbox set next_attempt_at = now() - interval '1 second' where message_id = '{id}'"
        ))
        .await;
    }

    /// The code that the message's status gives.
    pub(super) async fn code(&self, id: Uuid) -> String {
        self.find(id).await.status_payload.map(|payload| payload.code).unwrap_or_default()
    }
}

/// The lanes in the order of the configuration.
pub(super) fn turns(processor: &Processor) -> Vec<usize> {
    (0..processor.lanes.0.len()).collect()
}

/// One round.
pub(super) async fn step(processor: &Arc<Processor>) {
    processor.run_once(&mut turns(processor), Visit::Everyone, &CancellationToken::new()).await.unwrap();
}

/// Returns when no call is under way or waits for its settle.
pub(super) async fn settled(processor: &Processor) {
    until("everything is settled", async || (processor.leases.count() == 0).then_some(())).await;
}

pub(super) fn unknown_outcomes(processor: &Processor, provider_id: &str, resolution: &str) -> u64 {
    let label = ProviderResolution::new(provider_id, resolution);
    processor.parts.metrics.outcomes_unknown.get_or_create(&label).get()
}
