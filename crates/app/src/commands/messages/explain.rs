//! `app messages explain`: why a message is where it is, in lines for people.

use serde_json::Value;
use uuid::Uuid;

use super::{second, text};
use crate::api::Api;
use crate::output::Output;

pub(super) async fn run(id: Uuid, output: Output, api: &Api) -> anyhow::Result<()> {
    let explanation = api.get(&format!("/api/messages/{id}/explain"), &[]).await?;
    output.record(&explanation, |explanation| lines(explanation).join("\n"))
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}

fn lines(explanation: &Value) -> Vec<String> {
    let mut lines = vec![text(explanation, "summary").to_owned(), String::new()];
    let state = &explanation["state"];
    let mut now = text(state, "code").to_owned();
    for (key, word) in [("reason", "because of"), ("provider_id", "at"), ("processor", "held by")] {
        if !text(state, key).is_empty() {
            now.push_str(&format!(", {word} {}", text(state, key)));
        }
    }
    for (key, word) in [("since", "since"), ("until", "until")] {
        if !text(state, key).is_empty() {
            now.push_str(&format!(", {word} {}", second(text(state, key))));
        }
    }
    lines.push(format!("state         {now}"));
    if !text(explanation, "next_attempt_at").is_empty() {
        lines.push(format!("next attempt  {}", second(text(explanation, "next_attempt_at"))));
    }
    let route = &explanation["route"];
    if route.is_object() {
        let name = Some(text(route, "name")).filter(|name| !name.is_empty()).unwrap_or("none");
        lines.push(format!("route         {name}"));
    }
    lines.extend(list(route, "rules").map(|rule| {
        let why = Some(text(rule, "detail")).filter(|why| !why.is_empty());
        let why = why.map_or_else(String::new, |why| format!(": {why}"));
        format!("  {:<20} {}{why}", text(rule, "name"), text(rule, "result").replace('_', " "))
    }));
    section(&mut lines, "candidates", list(explanation, "candidates"), |candidate| {
        let until = Some(text(candidate, "until")).filter(|until| !until.is_empty());
        let until = until.map_or_else(String::new, |until| format!(", until {}", second(until)));
        let (id, code) = (text(candidate, "provider_id"), text(candidate, "code"));
        format!("{id:<20} {code}: {}{until}", text(candidate, "detail"))
    });
    section(&mut lines, "attempts", list(explanation, "attempts"), |attempt| {
        let (at, outcome) = (second(text(attempt, "at")), text(attempt, "outcome"));
        let mut line = format!("{}  {at}  {:<20} {outcome}", attempt["number"], text(attempt, "provider_id"));
        for key in ["provider_code", "detail"] {
            if !text(attempt, key).is_empty() {
                line.push_str(&format!("  {}", text(attempt, key)));
            }
        }
        line
    });
    section(&mut lines, "receipts", list(explanation, "receipts"), |receipt| {
        let (at, id) = (second(text(receipt, "at")), text(receipt, "provider_id"));
        let line =
            format!("{at}  {id:<20} {}  {}", text(receipt, "delivery"), text(receipt, "provider_code"));
        line.trim_end().to_owned()
    });
    lines
}

/// A heading with a line for each item, where there are any.
fn section<'a>(
    lines: &mut Vec<String>,
    heading: &str,
    items: impl Iterator<Item = &'a Value>,
    line: impl Fn(&Value) -> String,
) {
    let items: Vec<String> = items.map(|item| format!("  {}", line(item))).collect();
    if !items.is_empty() {
        lines.push(heading.to_owned());
        lines.extend(items);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_answer_stands_at_the_top_and_what_it_is_made_of_below() {
        let explanation = json!({
            "summary": "It has been due for a while.",
            "state": { "code": "provider_down", "reason": null, "since": "2026-11-23T08:30:00.123456Z", "until": null,
                "provider_id": "a", "processor": null },
            "next_attempt_at": "2026-11-23T08:30:00.123456Z",
            "route": { "name": "sms", "rules": [
                { "name": "berlin", "result": "does_not_match", "detail": "the recipient is elsewhere" },
                { "name": "sms", "result": "matched", "detail": null },
            ] },
            "candidates": [{ "provider_id": "a", "code": "breaker_open", "detail": "it is left alone",
                "until": "2026-11-23T08:31:00.000000Z" }],
            "attempts": [{ "number": 1, "at": "2026-11-23T08:30:01.000000Z", "provider_id": "a",
                "outcome": "unavailable", "provider_code": "20500", "detail": "It cannot serve: HTTP 500" }],
            "receipts": [],
        });
        assert_eq!(
            lines(&explanation).join("\n"),
            "It has been due for a while.\n\n\
             state         provider_down, at a, since 2026-11-23T08:30:00Z\n\
             next attempt  2026-11-23T08:30:00Z\n\
             route         sms\n  \
               berlin               does not match: the recipient is elsewhere\n  \
               sms                  matched\n\
             candidates\n  \
               a                    breaker_open: it is left alone, until 2026-11-23T08:31:00Z\n\
             attempts\n  \
               1  2026-11-23T08:30:01Z  a                    unavailable  20500  It cannot serve: HTTP 500"
        );
    }
}
