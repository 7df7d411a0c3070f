//! `app providers list`: the configured providers, and what running processors and operators say of them, from app-db.

use app_db::Client;
use app_db::provider_pauses::{self, ProviderPause};
use app_db::provider_states::{self, ProviderState};
use serde_json::{Value, json};
use service::Config;

use super::{joined, known_ids, table};
use crate::output::{self, Output};

pub(super) async fn run(config: &Config, client: &Client, output: Output) -> anyhow::Result<()> {
    let states = provider_states::all(client).await?;
    let pauses = provider_pauses::all(client).await?;
    let mut ids = known_ids(config, &states);
    // A pause outlives its provider's entry; it must be seen to be lifted.
    ids.extend(
        pauses
            .iter()
            .map(|pause| pause.provider_id.clone())
            .filter(|id| !ids.contains(id))
            .collect::<Vec<_>>(),
    );
    let mut rows = Vec::new();
    for id in ids {
        let states: Vec<&ProviderState> = states.iter().filter(|state| state.provider_id == id).collect();
        let pause = pauses.iter().find(|pause| pause.provider_id == id);
        if output.json {
            output.record(&value(config, &id, &states, pause), |_| String::new())?;
        } else {
            rows.push(row(config, &id, &states, pause));
        }
    }
    for line in table(&rows) {
        output::print(&format!("{line}\n"))?;
    }
    if states.is_empty() && !output.json {
        output::note("No processor has said anything within the last 15 seconds.");
    }
    Ok(())
}

fn value(config: &Config, id: &str, states: &[&ProviderState], pause: Option<&ProviderPause>) -> Value {
    let provider = config.provider(id);
    json!({
        "provider_id": id,
        "kind": provider.map(|provider| provider.kind.name),
        "channels": provider.map(|provider| &provider.channels),
        "paused": pause.map(|pause| json!({ "paused_at": pause.paused_at, "note": pause.note })),
        "processors": states.iter().map(|state| json!({
            "state": state.state,
            "reason": state.reason,
            "since": state.since,
            "until": state.until,
            "in_flight": state.in_flight,
            "slots": state.slots,
            "failures": state.failures,
            "latency_ms": state.latency_ms,
            "latency_p95_ms": state.latency_p95_ms,
            "calls_per_s": state.calls_per_s,
        })).collect::<Vec<_>>(),
    })
}

/// `twilio-main  twilio  sms,mms  closed  3/64 in flight  120 ms`.
fn row(config: &Config, id: &str, states: &[&ProviderState], pause: Option<&ProviderPause>) -> Vec<String> {
    let provider = config.provider(id);
    let kind = provider.map_or("-", |provider| provider.kind.name);
    let channels = provider.map_or_else(|| "-".to_owned(), |provider| joined(&provider.channels));
    let calls: (i32, i32) =
        states.iter().fold((0, 0), |sum, state| (sum.0 + state.in_flight, sum.1 + state.slots));
    let in_flight =
        if states.is_empty() { "-".to_owned() } else { format!("{}/{} in flight", calls.0, calls.1) };
    let latencies: Vec<f32> = states.iter().filter_map(|state| state.latency_ms).collect();
    let slowest = latencies.into_iter().reduce(f32::max);
    let latency = slowest.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.0} ms"));
    vec![id.to_owned(), kind.to_owned(), channels, in_flight, latency, health(states, pause)]
}

/// What processors say, each word once, with how many of them say it where they differ; then what an operator said.
fn health(states: &[&ProviderState], pause: Option<&ProviderPause>) -> String {
    let mut said: Vec<(String, usize)> = Vec::new();
    for state in states {
        let mut text = state.state.as_str().to_owned();
        if let Some(reason) = &state.reason {
            text.push_str(&format!(" ({reason})"));
        }
        if let Some(until) = state.until {
            text.push_str(&format!(" until {until:.0}"));
        }
        match said.iter_mut().find(|(known, _)| *known == text) {
            Some((_, count)) => *count += 1,
            None => said.push((text, 1)),
        }
    }
    let all = states.len();
    let several = said.len() > 1;
    let mut parts: Vec<String> = said
        .into_iter()
        .map(|(text, count)| if several { format!("{text} at {count} of {all}") } else { text })
        .collect();
    if parts.is_empty() {
        parts.push("unknown".to_owned());
    }
    if let Some(pause) = pause {
        let note = pause.note.as_deref().map(|note| format!(": {note}")).unwrap_or_default();
        parts.push(format!("paused by an operator {:.0}{note}", pause.paused_at));
    }
    output::visible(&parts.join(", ")).into_owned()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use model::ProviderHealth;

    use super::*;

    #[test]
    fn processors_that_agree_are_told_once_and_others_with_their_number() {
        let state = |health, reason: Option<&str>| ProviderState {
            provider_id: "p".to_owned(),
            state: health,
            reason: reason.map(str::to_owned),
            since: Timestamp::UNIX_EPOCH,
            until: reason.map(|_| Timestamp::UNIX_EPOCH),
            in_flight: 1,
            slots: 2,
            failures: 0,
            latency_ms: None,
            latency_p95_ms: None,
            calls_per_s: None,
        };
        let closed = state(ProviderHealth::Closed, None);
        let open = state(ProviderHealth::Open, Some("unreachable"));
        assert_eq!(health(&[&closed, &closed], None), "closed");
        let differing = "closed at 2 of 3, open (unreachable) until 1970-01-01T00:00:00Z at 1 of 3";
        assert_eq!(health(&[&closed, &open, &closed], None), differing);
        let note = Some("\u{1b}[2J".to_owned());
        let pause = ProviderPause { provider_id: "p".to_owned(), paused_at: Timestamp::UNIX_EPOCH, note };
        let paused = "unknown, paused by an operator 1970-01-01T00:00:00Z: \\u{1b}[2J";
        assert_eq!(health(&[], Some(&pause)), paused);
    }
}
