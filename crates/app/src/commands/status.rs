//! `app status`: readiness, and what waits in the outbox. Exits 1 where the server is not ready.

use std::process::ExitCode;

use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::api::Api;
use crate::output::{self, Output};

pub(crate) async fn run(output: Output, api: &Api) -> anyhow::Result<ExitCode> {
    let (status, body) = api.get_any("/readyz").await?;
    let ready = status == StatusCode::OK;
    let said = String::from_utf8_lossy(&body).trim().to_owned();
    let (_, metrics) = api.get_any("/metrics").await?;
    let metrics = String::from_utf8_lossy(&metrics);
    // Processors count it: one that runs alone has metrics of its own.
    let is_counted = metrics.lines().any(|line| line.starts_with("app_outbox_messages{"));
    let outbox = is_counted.then(|| outbox(&metrics));
    let value = json!({
        "ready": ready,
        "readyz": serde_json::from_slice::<Value>(&body).unwrap_or(Value::String(said.clone())),
        "outbox": outbox,
    });
    output.record(&value, |value| {
        let outbox = value["outbox"].as_object();
        let state = if ready { "ready".to_owned() } else { format!("not ready: {}", output::visible(&said)) };
        let mut lines = vec![output::paint_state(&state, if ready { "ok" } else { "failed" }, "")];
        for (channel, states) in outbox.into_iter().flatten() {
            let states = states.as_object().into_iter().flatten();
            let counts: Vec<String> = states.map(|(state, count)| format!("{count} {state}")).collect();
            lines.push(format!("{channel:<6} {}", counts.join(", ")));
        }
        match outbox {
            Some(outbox) if outbox.is_empty() => lines.push("the outbox is empty".to_owned()),
            Some(_) => {}
            None => lines.push(
                "what waits in the outbox is counted by app-processor: see its /metrics, app_outbox_messages"
                    .to_owned(),
            ),
        }
        lines.join("\n")
    })?;
    Ok(if ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// `app_outbox_messages{channel="sms",state="due"} 3` → `{"sms": {"due": 3}}`. Zeros are left out.
fn outbox(metrics: &str) -> Map<String, Value> {
    let mut channels: Map<String, Value> = Map::new();
    for line in metrics.lines() {
        let Some((labels, count)) =
            line.strip_prefix("app_outbox_messages{").and_then(|rest| rest.rsplit_once("} "))
        else {
            continue;
        };
        let label = |name: &str| labels.split(&format!("{name}=\"")).nth(1)?.split('"').next();
        let (Some(channel), Some(state), Ok(count)) =
            (label("channel"), label("state"), count.parse::<f64>())
        else {
            continue;
        };
        if count > 0.0 {
            channels.entry(channel).or_insert_with(|| json!({}))[state] = json!(count as u64);
        }
    }
    channels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outbox_is_read_from_the_metrics() {
        let metrics = "# TYPE app_outbox_messages gauge\napp_outbox_messages{channel=\"sms\",state=\"due\"} 3\n\
                       app_outbox_messages{state=\"held\",channel=\"sms\"} 1\n\
                       app_outbox_messages{channel=\"email\",state=\"due\"} 0\napp_leases_lost_total 7\n";
        assert_eq!(Value::Object(outbox(metrics)), json!({ "sms": { "due": 3, "held": 1 } }));
    }
}
