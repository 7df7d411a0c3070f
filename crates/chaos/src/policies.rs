//! Three providers that differ in what they do about an unknown outcome, told apart by the recipient's prefix; and
//! the questions that scenarios about them ask of the API.

use std::time::Duration;

use anyhow::Context;
use serde_json::Value;
use uuid::Uuid;

use crate::client::HttpClient;
use crate::configuration::{sms_route, twilio};
use crate::simulator::Simulator;
use crate::wait::until;

/// The start of recipients' numbers, by policy.
pub const RETRY: &str = "+1201";
pub const HOLD: &str = "+1203";
pub const RECONCILE: &str = "+1205";

pub const LIMIT: Duration = Duration::from_secs(60);

/// The providers and routes of the three policies, all at one simulator. `more` goes into each provider's table.
pub fn configuration(simulator: &Simulator, reconcile_wait_s: u32, more: &str) -> String {
    [("retry", RETRY), ("hold", HOLD), ("reconcile", RECONCILE)]
        .map(|(policy, prefix)| {
            let more = format!("on_unknown = \"{policy}\"\nreconcile_wait_s = {reconcile_wait_s}\n{more}");
            twilio(policy, &simulator.url, &more) + &sms_route(prefix, policy)
        })
        .concat()
}

/// A recipient of a policy.
pub fn recipient(prefix: &str, person: usize) -> String {
    format!("{prefix}{}", 2_000_000 + person)
}

/// The message as the API shows it.
///
/// # Errors
/// When the API does not answer.
pub async fn message(api: &HttpClient, id: Uuid) -> anyhow::Result<Value> {
    api.get_json(&format!("/api/messages/{id}")).await
}

/// Waits until a message is as wanted, and returns it.
///
/// # Errors
/// When it is not within a minute; with what it is instead.
pub async fn wait_message(
    api: &HttpClient,
    id: Uuid,
    what: &str,
    mut is_wanted: impl FnMut(&Value) -> bool,
) -> anyhow::Result<Value> {
    let mut last = Value::Null;
    let waited = until(what, LIMIT, async || {
        last = message(api, id).await?;
        Ok(is_wanted(&last).then(|| last.clone()))
    })
    .await;
    waited.with_context(|| {
        format!("status {}, delivery {}, {}", last["status"], last["delivery"], last["status_payload"])
    })
}

/// Waits until it has this status and delivery.
///
/// # Errors
/// As [`wait_message`].
pub async fn wait_state(api: &HttpClient, id: Uuid, status: &str, delivery: &str) -> anyhow::Result<Value> {
    let is_wanted = |message: &Value| message["status"] == status && message["delivery"] == delivery;
    wait_message(api, id, &format!("the message is {status}, {delivery}"), is_wanted).await
}

/// Waits until it is held: unknown, and never due.
///
/// # Errors
/// As [`wait_message`].
pub async fn wait_held(api: &HttpClient, id: Uuid) -> anyhow::Result<Value> {
    wait_message(api, id, "the message is held", |message| {
        message["status"] == "retry"
            && message["delivery"] == "unknown"
            && message["next_attempt_at"].is_null()
    })
    .await
}

/// Whether `GET /api/messages?problem=true` lists it.
///
/// # Errors
/// When the API does not answer.
pub async fn is_listed_as_problem(api: &HttpClient, id: Uuid) -> anyhow::Result<bool> {
    let mut cursor = String::new();
    loop {
        let page: Value = api.get_json(&format!("/api/messages?problem=true&limit=200{cursor}")).await?;
        let messages = page["messages"].as_array().context("messages")?;
        if messages.iter().any(|message| message["id"] == id.to_string()) {
            return Ok(true);
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(false),
        }
    }
}
