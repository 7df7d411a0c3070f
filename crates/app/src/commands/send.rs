//! `app send sms|email|whatsapp`.

use std::io::Read;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use tokio::time::{Instant, interval, timeout_at};

use crate::api::Api;
use crate::commands::messages;
use crate::output::Output;

#[derive(Debug, Subcommand)]
pub(crate) enum Send {
    /// Send an SMS, or an MMS if there are attachments
    Sms {
        #[command(flatten)]
        message: Message,
    },
    /// Send an email
    Email {
        #[command(flatten)]
        message: Message,
        #[arg(long)]
        subject: Option<String>,
    },
    /// Send a WhatsApp message
    Whatsapp {
        #[command(flatten)]
        message: Message,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Message {
    #[arg(long)]
    from: String,
    #[arg(long)]
    to: String,
    /// The text; `-` reads it from stdin
    body: String,
    /// The http(s) URL of an attachment; may be repeated
    #[arg(long, value_name = "URL")]
    attach: Vec<String>,
    /// Not before this time, such as 2030-01-31T09:00:00Z
    #[arg(long, value_name = "TIME")]
    send_at: Option<String>,
    /// Not after this time
    #[arg(long, value_name = "TIME")]
    expires_at: Option<String>,
    /// high, normal or low
    #[arg(long)]
    priority: Option<String>,
    /// The same key sends once, however often this command is run
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Wait until the message is delivered, or will not be
    #[arg(long)]
    wait: bool,
}

/// How long `--wait` waits.
const WAIT: Duration = Duration::from_secs(60);

pub(crate) async fn run(command: Send, output: Output, api: &Api) -> anyhow::Result<()> {
    let (path, message, extra) = match command {
        Send::Sms { message } => {
            let kind = if message.attach.is_empty() { "sms" } else { "mms" };
            ("/api/messages/sms", message, ("type", Some(kind.to_owned())))
        }
        Send::Email { message, subject } => ("/api/messages/email", message, ("subject", subject)),
        Send::Whatsapp { message } => ("/api/messages/whatsapp", message, ("type", None)),
    };
    let mut request = Map::new();
    request.insert("from".to_owned(), json!(message.from));
    request.insert("to".to_owned(), json!(message.to));
    request.insert("body".to_owned(), json!(body(&message.body)?));
    if !message.attach.is_empty() {
        request.insert("attachments".to_owned(), json!(message.attach));
    }
    let (name, value) = extra;
    let optional =
        [("send_at", message.send_at), ("expires_at", message.expires_at), ("priority", message.priority)];
    for (name, value) in optional.into_iter().chain([(name, value)]) {
        request.extend(value.map(|value| (name.to_owned(), Value::String(value))));
    }
    let headers = message.idempotency_key.as_deref().map(|key| ("idempotency-key", key));
    let sent = api.post(path, headers.as_slice(), Some(&Value::Object(request))).await?;
    if !message.wait {
        return output.record(&sent, messages::line);
    }
    let settled = wait(api, &sent).await?;
    output.record(&settled, messages::line)?;
    match messages::text(&settled, "delivery") {
        "undelivered" | "none" => bail!("the message was not delivered"),
        _ => Ok(()),
    }
}

/// `-` is what stdin holds, without the line end of the last line.
pub(crate) fn body(argument: &str) -> anyhow::Result<String> {
    if argument != "-" {
        return Ok(argument.to_owned());
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).context("stdin cannot be read as text")?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

async fn wait(api: &Api, sent: &Value) -> anyhow::Result<Value> {
    let id = messages::text(sent, "id");
    let deadline = Instant::now() + WAIT;
    let mut tick = interval(Duration::from_millis(100));
    let waiting = async {
        loop {
            tick.tick().await;
            let message = api.get(&format!("/api/messages/{id}"), &[]).await?;
            let failed = messages::text(&message, "status") == "failed";
            if failed || matches!(messages::text(&message, "delivery"), "delivered" | "undelivered" | "read")
            {
                return anyhow::Ok(message);
            }
        }
    };
    let waited = timeout_at(deadline, waiting).await;
    waited.with_context(|| format!("message {id} is still under way after {} s", WAIT.as_secs()))?
}
