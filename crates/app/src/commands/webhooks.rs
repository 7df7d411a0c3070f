//! `app webhooks`: what was kept because it could not be verified or understood, over the HTTP API.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::api::Api;
use crate::commands::messages::{self, second, text};
use crate::output::{self, Output};

const PATH: &str = "/api/webhook_deliveries";
const GONE: &str = "webhook_delivery_not_found";
/// What is wrong with one webhook, and keeps no other from its turn.
const LEFT: [&str; 4] = ["not_replayable", GONE, "webhook_not_confirmed", "internal"];

#[derive(Debug, Subcommand)]
pub(crate) enum Webhooks {
    /// List kept webhooks, the newest first
    List {
        #[command(flatten)]
        filter: Filter,
        /// How many at most
        #[arg(long, default_value_t = 50, value_parser = messages::limit)]
        limit: usize,
    },
    /// Show a kept webhook as it came
    Show { id: Uuid },
    /// Process kept webhooks again, the oldest first; fails if one of them still cannot be taken in
    Replay {
        /// Their ids, or --all
        #[arg(value_name = "ID", required_unless_present = "all", conflicts_with_all = ["all", "reason", "provider"])]
        ids: Vec<Uuid>,
        /// All that the filter matches
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        filter: Filter,
    },
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Filter {
    /// unverified, unparsable or unmatched
    #[arg(long)]
    reason: Option<String>,
    /// The provider that they are for; generic for the generic webhooks
    #[arg(long, value_name = "ID")]
    provider: Option<String>,
}

impl Filter {
    fn query(&self) -> Vec<(&'static str, String)> {
        let texts = [("reason", &self.reason), ("provider_id", &self.provider)];
        texts.into_iter().filter_map(|(name, text)| Some((name, text.clone()?))).collect()
    }
}

pub(crate) async fn run(command: Webhooks, output: Output, api: &Api) -> anyhow::Result<ExitCode> {
    match command {
        Webhooks::List { filter, limit } => {
            let mut count = 0;
            messages::list_up_to(api, PATH, "webhook_deliveries", filter.query(), limit, |kept| {
                count += 1;
                output.record(kept, line)
            })
            .await?;
            if count == 0 {
                output::note("Nothing is kept that matches.");
            }
        }
        Webhooks::Show { id } => {
            output.record(&api.get(&format!("{PATH}/{id}"), &[]).await?, whole)?;
        }
        Webhooks::Replay { ids, all, filter } => {
            let ids = if all { all_ids(api, &filter).await? } else { ids };
            // Of those that were listed a moment ago, somebody else was faster, or one made room.
            return replay(&ids, all, output, api).await;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The oldest first, so that conversations keep their order.
async fn all_ids(api: &Api, filter: &Filter) -> anyhow::Result<Vec<Uuid>> {
    let mut ids = Vec::new();
    messages::list(api, PATH, "webhook_deliveries", filter.query(), usize::MAX, |kept| {
        ids.push(text(kept, "id").parse()?);
        Ok(())
    })
    .await?;
    ids.reverse();
    Ok(ids)
}

async fn replay(ids: &[Uuid], may_be_gone: bool, output: Output, api: &Api) -> anyhow::Result<ExitCode> {
    if ids.is_empty() {
        output::note("Nothing is kept that matches.");
    }
    let mut left = 0;
    for id in ids {
        let (code, why) = match api.post_unless(&format!("{PATH}/{id}/replay"), &LEFT).await? {
            Ok(_) => (None, None),
            Err((code, why)) => {
                left += usize::from(code != GONE || !may_be_gone);
                (Some(code), Some(why))
            }
        };
        let value = json!({ "id": id, "taken": code.is_none(), "code": code, "detail": why });
        output.record(&value, |shown| {
            format!("{}  {}", text(shown, "id"), shown["detail"].as_str().unwrap_or("taken in"))
        })?;
    }
    if left > 0 {
        output::note(&format!("{left} of {} still cannot be taken in.", ids.len()));
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// `ID  TIME  unverified  twilio-main  412 B  X-Twilio-Signature is not of this request`.
fn line(kept: &Value) -> String {
    let cut = if kept["is_cut"] == true { " (cut)" } else { "" };
    let times = match kept["deliveries"].as_i64() {
        Some(count) if count > 1 => format!(", {count} times"),
        _ => String::new(),
    };
    format!(
        "{}  {}  {:<10}  {}  {} B{cut}{times}  {}",
        text(kept, "id"),
        second(text(kept, "received_at")),
        text(kept, "reason"),
        text(kept, "provider_id"),
        kept["body_bytes"],
        text(kept, "detail"),
    )
}

fn whole(kept: &Value) -> String {
    let mut lines = vec![line(kept), format!("  {} {}", text(kept, "method"), text(kept, "target"))];
    for (name, values) in kept["headers"].as_object().into_iter().flatten() {
        for value in values.as_array().into_iter().flatten().filter_map(Value::as_str) {
            lines.push(format!("  {name}: {value}"));
        }
    }
    lines.push(String::new());
    match &kept["body"] {
        Value::String(body) => lines.extend(body.lines().map(|line| format!("  {line}"))),
        _ => lines.push(format!("  (in base64) {}", text(kept, "body_base64"))),
    }
    lines.join("\n")
}
