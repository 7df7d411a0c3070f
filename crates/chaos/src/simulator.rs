//! A provider-simulator as a process, and its control API.

use std::time::Duration;

use anyhow::Context;
use provider_simulator::{Fault, Matcher, Rule};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::client::HttpClient;
use crate::process::Process;

#[derive(Debug)]
pub struct Simulator {
    pub url: String,
    pub process: Process,
    pub http: HttpClient,
}

/// Counts of the ledger.
#[derive(Clone, Debug, Deserialize)]
pub struct Summary {
    pub count: usize,
    pub distinct_message_ids: usize,
    pub duplicates: usize,
    pub calls: usize,
}

/// A message in the ledger.
#[derive(Clone, Debug, Deserialize)]
pub struct Entry {
    pub message_id: Option<Uuid>,
    pub attempt: Option<u32>,
    pub provider_message_id: String,
    pub received_at: jiff::Timestamp,
}

/// A call of a send route, also a refused one.
#[derive(Clone, Debug, Deserialize)]
pub struct Call {
    pub message_id: Option<Uuid>,
    pub at_ms: i64,
    pub answer: String,
}

#[derive(Deserialize)]
struct Ledger {
    messages: Vec<Entry>,
}

#[derive(Deserialize)]
struct Calls {
    calls: Vec<Call>,
}

impl Simulator {
    /// # Errors
    /// When it does not answer.
    pub async fn summary(&self) -> anyhow::Result<Summary> {
        self.http.get_json("/ledger?summary=true").await
    }

    /// Every accepted message, oldest first.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn ledger(&self) -> anyhow::Result<Vec<Entry>> {
        Ok(self.http.get_json::<Ledger>("/ledger").await?.messages)
    }

    /// A part of the ledger, by the query of its address.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn some_of_ledger(&self, query: &str) -> anyhow::Result<Vec<Entry>> {
        Ok(self.http.get_json::<Ledger>(&format!("/ledger{query}")).await?.messages)
    }

    /// Every call of a send route.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn calls(&self) -> anyhow::Result<Vec<Call>> {
        Ok(self.http.get_json::<Calls>("/calls").await?.calls)
    }

    /// What was accepted for one of our messages.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn accepted(&self, message_id: Uuid) -> anyhow::Result<Vec<Entry>> {
        Ok(self.http.get_json::<Ledger>(&format!("/ledger?message_id={message_id}")).await?.messages)
    }

    /// The calls about one of our messages, oldest first.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn calls_about(&self, message_id: Uuid) -> anyhow::Result<Vec<Call>> {
        Ok(self.http.get_json::<Calls>(&format!("/calls?message_id={message_id}")).await?.calls)
    }

    /// Waits until so many messages were accepted.
    ///
    /// # Errors
    /// When they were not within `limit`.
    pub async fn wait_count(&self, count: usize, limit: Duration) -> anyhow::Result<()> {
        let path =
            format!("/ledger?summary=true&wait_count={count}&wait_s={}", limit.as_secs_f64().min(300.0));
        let patient = self.http.with_timeout(limit + Duration::from_secs(5));
        let summary: Summary = patient.get_json(&path).await?;
        anyhow::ensure!(summary.count >= count, "{} of {count} messages arrived in {limit:?}", summary.count);
        Ok(())
    }

    /// Puts a fault in force for every call.
    ///
    /// # Errors
    /// When the simulator refuses it.
    pub async fn fault(&self, fault: Fault) -> anyhow::Result<()> {
        self.rule(Rule { matches: Matcher::default(), fault, times: None, probability: None }).await
    }

    /// Puts a fault in force for the first `times` calls to a recipient; without a number for all of them.
    ///
    /// # Errors
    /// When the simulator refuses it.
    pub async fn fault_to(&self, to: &str, fault: Fault, times: Option<u32>) -> anyhow::Result<()> {
        let matches = Matcher { to: Some(to.to_owned()), ..Matcher::default() };
        self.rule(Rule { matches, fault, times, probability: None }).await
    }

    async fn rule(&self, rule: Rule) -> anyhow::Result<()> {
        let rule = serde_json::to_value(rule)?;
        self.http.post("/faults", &rule).await?.expect(201).with_context(|| rule.to_string())?;
        Ok(())
    }

    /// Somebody writes a text message to us; it is delivered to `webhook_url` so many times at once. The statuses
    /// that came back.
    ///
    /// # Errors
    /// When the simulator refuses it.
    pub async fn inbound(
        &self,
        webhook_url: &str,
        from: &str,
        to: &str,
        times: usize,
    ) -> anyhow::Result<Vec<u16>> {
        let request = json!({
            "kind": "twilio", "from": from, "to": to, "body": "the same again", "webhook_url": webhook_url,
            "times": times, "concurrent": times,
        });
        let answer: Value = self.http.post("/inbound", &request).await?.expect(200)?.json()?;
        let statuses = answer["statuses"].as_array().context("statuses")?;
        Ok(statuses.iter().filter_map(|status| status.as_u64()?.try_into().ok()).collect())
    }
}
