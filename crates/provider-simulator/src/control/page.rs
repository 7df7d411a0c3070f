//! The ledger for a browser: plain, and everything escaped.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::ledger::Summary;
use crate::message::Accepted;

const HEAD: &str = "<!doctype html><html lang=en><meta charset=utf-8><meta http-equiv=refresh content=3>\
<title>Simulator: ledger</title><style>body{font:15px/1.4 system-ui,sans-serif;margin:2rem}\
table{border-collapse:collapse}td,th{text-align:left;vertical-align:top;padding:.25rem .75rem;\
border-bottom:1px solid #ccc}td.body{max-width:30rem;overflow-wrap:anywhere}</style><h1>Ledger</h1>";

pub(super) fn ledger(summary: &Summary, messages: &[Arc<Accepted>]) -> String {
    let mut page = String::from(HEAD);
    let _ = write!(
        page,
        "<p>The simulator accepted {} messages ({} duplicates) in {} calls. Nothing left this machine.</p>\
         <table><tr><th>Time<th>Channel<th>From<th>To<th>Text<th>Attempt<th>Faults",
        summary.count, summary.duplicates, summary.calls
    );
    for message in messages.iter().rev() {
        let subject = message.subject.as_deref().map(|it| format!("<b>{}</b><br>", escape(it)));
        let _ = write!(
            page,
            "<tr><td>{}<td>{}<td>{}<td>{}<td class=body>{}{}<td>{}<td>{}",
            message.received_at.strftime("%H:%M:%S"),
            escape(&message.channel),
            escape(&message.from),
            escape(&message.to),
            subject.unwrap_or_default(),
            escape(&message.body),
            message.attempt.map(|attempt| attempt.to_string()).unwrap_or_default(),
            escape(&message.faults.join(", ")),
        );
    }
    page.push_str("</table></html>\n");
    page
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
