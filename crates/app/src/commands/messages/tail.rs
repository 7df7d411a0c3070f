//! `app messages tail`: messages as they come, and again whenever their state changes.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;
use tokio::time::{MissedTickBehavior, interval};

use super::{Filter, line, list, text};
use crate::api::Api;
use crate::output::Output;

/// How many of the newest messages are watched.
const WATCHED: usize = 200;
const INTERVAL: Duration = Duration::from_millis(500);

pub(crate) async fn run(filter: &Filter, output: Output, api: &Api) -> anyhow::Result<()> {
    let shutdown = service::shutdown::on_signal()?;
    let mut seen = Seen::default();
    let mut tick = interval(INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = shutdown.cancelled() => return Ok(()),
        }
        let mut page: Vec<Value> = Vec::new();
        list(api, "/api/messages", "messages", filter.query(), WATCHED, |message| {
            page.push(message.clone());
            Ok(())
        })
        .await?;
        for message in seen.changes(page) {
            output.record(&message, line)?;
        }
    }
}

/// The state that each watched message was last seen in.
#[derive(Debug, Default)]
struct Seen {
    began: bool,
    states: HashMap<String, String>,
}

impl Seen {
    /// What is new in a page (the newest first), the oldest first. The first page is what was there before, and
    /// gives only its newest ten.
    fn changes(&mut self, page: Vec<Value>) -> Vec<Value> {
        let mut states = HashMap::new();
        let mut changes = Vec::new();
        for message in page {
            let id = text(&message, "id").to_owned();
            let state = format!("{} {}", text(&message, "status"), text(&message, "delivery"));
            if self.states.get(&id) != Some(&state) {
                changes.push(message);
            }
            states.insert(id, state);
        }
        if !self.began {
            changes.truncate(10);
        }
        self.began = true;
        self.states = states;
        changes.reverse();
        changes
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_message_is_told_when_it_comes_and_when_it_changes() {
        let message = |id: &str, status: &str| json!({ "id": id, "status": status, "delivery": "none" });
        let mut seen = Seen::default();
        assert_eq!(seen.changes(vec![message("1", "outbox")]).len(), 1);
        assert_eq!(seen.changes(vec![message("1", "outbox")]).len(), 0);
        let changes = seen.changes(vec![message("2", "outbox"), message("1", "ok")]);
        assert_eq!(changes.iter().map(|message| text(message, "id")).collect::<Vec<_>>(), ["1", "2"]);
    }

    #[test]
    fn what_was_there_before_gives_its_newest_ten() {
        let page: Vec<Value> = (0..50).rev().map(|n| json!({ "id": n.to_string() })).collect();
        let changes = Seen::default().changes(page);
        assert_eq!(text(&changes[0], "id"), "40");
        assert_eq!(text(&changes[9], "id"), "49");
    }
}
