//! `app audit`: who changed what, over the HTTP API.

use clap::{Args, Subcommand};
use serde_json::Value;

use crate::api::Api;
use crate::commands::messages::{self, second, text};
use crate::output::{self, Output};

const PATH: &str = "/api/audit";

#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// List who changed what, when and from where, the newest first
    Log {
        #[command(flatten)]
        filter: Filter,
        /// How many at most
        #[arg(long, default_value_t = 50, value_parser = messages::limit)]
        limit: usize,
    },
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Filter {
    /// Such as provider.pause, or its noun alone: provider
    #[arg(long)]
    action: Option<String>,
    /// A key's id or name, or the name of a user of the operating system
    #[arg(long)]
    actor: Option<String>,
    /// The id of what was changed
    #[arg(long)]
    target: Option<String>,
    /// From this time on, such as 2026-11-23T00:00:00Z
    #[arg(long)]
    since: Option<String>,
    /// Before this time
    #[arg(long)]
    until: Option<String>,
}

impl Filter {
    fn query(&self) -> Vec<(&'static str, String)> {
        let Self { action, actor, target, since, until } = self;
        let texts =
            [("action", action), ("actor", actor), ("target", target), ("since", since), ("until", until)];
        texts.into_iter().filter_map(|(name, text)| Some((name, text.clone()?))).collect()
    }
}

pub(crate) async fn run(command: Audit, output: Output, api: &Api) -> anyhow::Result<()> {
    let Audit::Log { filter, limit } = command;
    let mut count = 0;
    messages::list_up_to(api, PATH, "entries", filter.query(), limit, |entry| {
        count += 1;
        output.record(entry, line)
    })
    .await?;
    if count == 0 {
        output::note("No entry matches.");
    }
    Ok(())
}

fn line(entry: &Value) -> String {
    let shown = |name: &str| output::visible(text(entry, name)).to_string();
    let who = match text(entry, "actor_name") {
        "" => shown("actor"),
        _ => shown("actor_name"),
    };
    let detail = match &entry["detail"] {
        Value::Object(fields) if fields.is_empty() => String::new(),
        detail => output::visible(&detail.to_string()).to_string(),
    };
    format!(
        "{}  {:<22}  {:<16}  {:<39}  {}  {detail}",
        second(text(entry, "at")),
        shown("action"),
        who,
        shown("source"),
        shown("target")
    )
    .trim_end()
    .to_owned()
}
