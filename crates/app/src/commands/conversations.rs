//! `app conversations`, over the HTTP API.

use clap::Subcommand;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::api::Api;
use crate::commands::messages::{self, second, text};
use crate::commands::send::body;
use crate::output::Output;

#[derive(Debug, Subcommand)]
pub(crate) enum Conversations {
    /// List conversations, the newest activity first
    List {
        /// How many at most
        #[arg(long, default_value_t = 50, value_parser = messages::limit)]
        limit: usize,
    },
    /// Show a conversation's messages, the oldest first
    Show {
        id: Uuid,
        /// How many at most
        #[arg(long, default_value_t = 200, value_parser = messages::limit)]
        limit: usize,
    },
    /// Reply on the conversation's channel
    Reply {
        id: Uuid,
        /// The text; `-` reads it from stdin
        body: String,
    },
}

pub(crate) async fn run(command: Conversations, output: Output, api: &Api) -> anyhow::Result<()> {
    match command {
        Conversations::List { limit } => {
            let path = "/api/conversations";
            messages::list_up_to(api, path, "conversations", Vec::new(), limit, |conversation| {
                output.record(conversation, line)
            })
            .await
        }
        Conversations::Show { id, limit } => {
            let path = format!("/api/conversations/{id}/messages");
            messages::list_up_to(api, &path, "messages", Vec::new(), limit, |message| {
                output.record(message, |message| {
                    format!(
                        "{}\n    {}",
                        messages::line(message),
                        text(message, "body").replace('\n', "\n    ")
                    )
                })
            })
            .await
        }
        Conversations::Reply { id, body: argument } => {
            let request = json!({ "body": body(&argument)? });
            let sent = api.post(&format!("/api/conversations/{id}/messages"), &[], Some(&request)).await?;
            output.record(&sent, messages::line)
        }
    }
}

/// `ID  TIME  PARTICIPANTS`.
fn line(conversation: &Value) -> String {
    let participants = conversation.get("participants").and_then(Value::as_array);
    let participants: Vec<&str> = participants.into_iter().flatten().filter_map(Value::as_str).collect();
    let time = second(text(conversation, "last_message_at"));
    format!("{}  {time}  {}", text(conversation, "id"), participants.join(", "))
}
