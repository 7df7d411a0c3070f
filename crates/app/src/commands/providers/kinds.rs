//! `app providers kinds`: a kind a line, under a head that goes to stderr; as JSON, one array.

use providers::Kind;
use serde_json::{Value, json};

use super::{joined, table};
use crate::output::{self, Output};

pub(super) fn run(output: Output) -> anyhow::Result<()> {
    if output.json {
        let kinds: Vec<Value> = ::providers::KINDS.iter().map(value).collect();
        return output.record(&Value::Array(kinds), |_| String::new());
    }
    let head = ["KIND", "CHANNELS", "SEND", "RECEIPTS", "INBOUND", "SIGNATURE"].map(str::to_owned);
    let rows: Vec<Vec<String>> =
        std::iter::once(head.to_vec()).chain(::providers::KINDS.iter().map(row)).collect();
    let mut lines = table(&rows).into_iter();
    lines.next().iter().for_each(|head| output::note(head));
    for line in lines {
        output::print(&format!("{line}\n"))?;
    }
    Ok(())
}

fn value(kind: &Kind) -> Value {
    json!({
        "kind": kind.name,
        "channels": kind.channels,
        "send": sends(kind),
        "receipts": kind.receipts,
        "inbound": kind.inbound,
        "signature": kind.signature,
        "base_url": kind.base_url,
    })
}

fn row(kind: &Kind) -> Vec<String> {
    let word = |can: bool| if can { "yes" } else { "no" }.to_owned();
    vec![
        kind.name.to_owned(),
        joined(kind.channels),
        word(sends(kind)),
        word(kind.receipts),
        word(kind.inbound),
        kind.signature.to_owned(),
    ]
}

/// A kind is configured for the channels that it sends on.
fn sends(kind: &Kind) -> bool {
    !kind.channels.is_empty()
}
