//! `app providers kinds`.

use serde_json::{Value, json};

use crate::arguments::Providers;
use crate::output::Output;

pub(crate) fn run(command: &Providers, output: Output) -> anyhow::Result<()> {
    let Providers::Kinds = command;
    for kind in ::providers::KINDS {
        let channels: Vec<&str> = kind.channels.iter().map(|channel| channel.as_str()).collect();
        let value = json!({
            "name": kind.name,
            "channels": channels,
            "receipts": kind.receipts,
            "inbound": kind.inbound,
            "signature": kind.signature,
            "base_url": kind.base_url,
        });
        output.record(&value, |value| text(value, &channels))?;
    }
    Ok(())
}

fn text(kind: &Value, channels: &[&str]) -> String {
    let word = |key: &str| kind[key].as_str().unwrap_or_default();
    let can = |key: &str, text| if kind[key] == Value::Bool(true) { text } else { "" };
    format!(
        "{:<12}{}{}{}\n            {}\n            webhooks: {}",
        word("name"),
        channels.join(", "),
        can("receipts", ", receipts"),
        can("inbound", ", inbound"),
        word("base_url"),
        word("signature"),
    )
}
