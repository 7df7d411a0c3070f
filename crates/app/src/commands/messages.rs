//! `app messages`, over the HTTP API.

mod explain;
mod message_id;
mod tail;

use anyhow::bail;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use uuid::Uuid;

use self::message_id::MessageId;
use crate::api::Api;
use crate::output::{self, Output};

#[derive(Debug, Subcommand)]
pub(crate) enum Messages {
    /// List messages, the newest first
    List {
        #[command(flatten)]
        filter: Filter,
        /// How many at most
        #[arg(long, default_value_t = 50, value_parser = limit)]
        limit: usize,
    },
    /// Show a message and what happened to it
    Show {
        /// Its id, or the short form that `app up` prints
        id: MessageId,
    },
    /// Say why a message is where it is
    Explain {
        /// Its id, or the short form that `app up` prints
        id: MessageId,
    },
    /// Send a failed or held message again
    Retry {
        /// Its id, or the short form that `app up` prints
        id: MessageId,
    },
    /// Keep a message that waits from being sent
    Cancel {
        /// Its id, or the short form that `app up` prints
        id: MessageId,
    },
    /// Print messages as they come and change, until Ctrl-C
    Tail {
        #[command(flatten)]
        filter: Filter,
    },
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Filter {
    /// outbox, retry, ok or failed
    #[arg(long)]
    status: Option<String>,
    /// none, pending, unknown, sent, undelivered, delivered, read or received
    #[arg(long)]
    delivery: Option<String>,
    /// sms, mms, email or whatsapp
    #[arg(long)]
    channel: Option<String>,
    /// inbound or outbound
    #[arg(long)]
    direction: Option<String>,
    #[arg(long)]
    from: Option<String>,
    #[arg(long)]
    to: Option<String>,
    #[arg(long, value_name = "ID")]
    conversation: Option<Uuid>,
    #[arg(long, value_name = "ID")]
    provider: Option<String>,
    /// Why it is where it is: a code such as canceled, or the provider's
    #[arg(long)]
    code: Option<String>,
    /// Stands somewhere in what it says, its addresses, or what its provider said
    #[arg(long)]
    text: Option<String>,
    /// Only held, failed and undelivered ones
    #[arg(long)]
    problem: bool,
    /// Created at or after this time
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Created before this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

impl Filter {
    fn query(&self) -> Vec<(&'static str, String)> {
        let conversation = self.conversation.map(|id| id.to_string());
        let texts = [
            ("status", &self.status),
            ("delivery", &self.delivery),
            ("channel", &self.channel),
            ("direction", &self.direction),
            ("from", &self.from),
            ("to", &self.to),
            ("conversation_id", &conversation),
            ("provider_id", &self.provider),
            ("code", &self.code),
            ("text", &self.text),
            ("since", &self.since),
            ("until", &self.until),
        ];
        let mut query: Vec<_> =
            texts.into_iter().filter_map(|(name, text)| Some((name, text.clone()?))).collect();
        if self.problem {
            query.push(("problem", "true".to_owned()));
        }
        query
    }
}

pub(crate) async fn run(command: Messages, output: Output, api: &Api) -> anyhow::Result<()> {
    match command {
        Messages::List { filter, limit } => {
            list_up_to(api, "/api/messages", "messages", filter.query(), limit, |message| {
                output.record(message, line)
            })
            .await
        }
        Messages::Show { id } => show(id.find(api).await?, output, api).await,
        Messages::Explain { id } => explain::run(id.find(api).await?, output, api).await,
        Messages::Retry { id } => {
            let id = id.find(api).await?;
            output.record(&api.post(&format!("/api/messages/{id}/retry"), &[], None).await?, line)
        }
        Messages::Cancel { id } => {
            let id = id.find(api).await?;
            output.record(&api.post(&format!("/api/messages/{id}/cancel"), &[], None).await?, line)
        }
        Messages::Tail { filter } => tail::run(&filter, output, api).await,
    }
}

/// How many items a person wants: the API lists no fewer than one.
pub(crate) fn limit(given: &str) -> Result<usize, String> {
    match given.parse() {
        Ok(0) => Err("takes 1 or more".to_owned()),
        parsed => parsed.map_err(|_| "takes a number, 1 or more".to_owned()),
    }
}

/// The API's largest page.
const PAGE: usize = 200;

/// Follows the cursors of a list until `limit` items were met. Whether there may be more.
pub(crate) async fn list(
    api: &Api,
    path: &str,
    key: &str,
    query: Vec<(&'static str, String)>,
    limit: usize,
    mut each: impl FnMut(&Value) -> anyhow::Result<()>,
) -> anyhow::Result<bool> {
    let mut missing = limit;
    let mut cursor: Option<String> = None;
    while missing > 0 {
        let mut query = query.clone();
        query.push(("limit", missing.min(PAGE).to_string()));
        query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
        let page = api.get(path, &query).await?;
        let Some(items) = page.get(key).and_then(Value::as_array) else { bail!("{}", api.is_another()) };
        for item in items.iter().take(missing) {
            each(item)?;
            missing -= 1;
        }
        cursor = page.get("next_cursor").and_then(Value::as_str).map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    Ok(cursor.is_some())
}

/// As [`list`], and says on stderr where the limit left some out.
pub(crate) async fn list_up_to(
    api: &Api,
    path: &str,
    key: &str,
    query: Vec<(&'static str, String)>,
    limit: usize,
    each: impl FnMut(&Value) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    if list(api, path, key, query, limit, each).await? {
        output::note(&format!("There may be more than these {limit}: --limit takes another number."));
    }
    Ok(())
}

async fn show(id: Uuid, output: Output, api: &Api) -> anyhow::Result<()> {
    let message = api.get(&format!("/api/messages/{id}"), &[]).await?;
    let mut events = Vec::new();
    let path = format!("/api/messages/{id}/events");
    list(api, &path, "events", Vec::new(), usize::MAX, |event| {
        events.push(event.clone());
        Ok(())
    })
    .await?;
    let value = json!({ "message": message, "events": events });
    output.record(&value, |value| {
        let message = &value["message"];
        let mut lines = vec![line(message)];
        for key in ["conversation_id", "subject", "body", "attachments", "provider_id", "provider_message_id"]
        {
            match message.get(key) {
                None | Some(Value::Null) => {}
                Some(Value::Array(items)) if items.is_empty() => {}
                Some(Value::String(text)) => {
                    lines.push(format!("  {key:<20} {}", text.replace('\n', "\n    ")))
                }
                Some(other) => lines.push(format!("  {key:<20} {other}")),
            }
        }
        lines.extend(value["events"].as_array().into_iter().flatten().map(event_line));
        lines.join("\n")
    })
}

/// The text under a key; empty where there is none.
pub(crate) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// `ID  TIME  → sms  ok, delivered  FROM → TO`.
pub(crate) fn line(message: &Value) -> String {
    let (status, delivery) = (text(message, "status"), text(message, "delivery"));
    let code = message.get("status_payload").map(|payload| text(payload, "code")).unwrap_or_default();
    let mut state = if delivery == "none" { status.to_owned() } else { format!("{status}, {delivery}") };
    // What a receipt said stands there already.
    if !code.is_empty() && code != delivery {
        state.push_str(&format!(" ({code})"));
    }
    let state = output::paint_state(&format!("{state:<20}"), status, delivery);
    format!(
        "{}  {}  {:<8} {:<5} {state} {} → {}",
        text(message, "id"),
        second(text(message, "created_at")),
        text(message, "direction"),
        text(message, "type"),
        text(message, "from"),
        text(message, "to"),
    )
}

fn event_line(event: &Value) -> String {
    let mut line = format!("  {}  {:<16}", second(text(event, "created_at")), text(event, "type"));
    for key in ["status", "delivery", "provider_id", "code", "provider_code", "detail"] {
        let word = text(event, key);
        if !word.is_empty() {
            line.push_str(&format!(" {key}={word}"));
        }
    }
    line
}

/// An RFC 3339 time without its fraction.
pub(crate) fn second(time: &str) -> String {
    match time.parse::<jiff::Timestamp>() {
        Ok(time) => format!("{time:.0}"),
        Err(_) => time.to_owned(),
    }
}
