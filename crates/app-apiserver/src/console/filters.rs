//! What the list of messages can be narrowed by, as a form, and what can be done about all that is left.

use std::iter::once;

use maud::{Markup, html};
use model::{Channel, Delivery, Direction, Status};

use super::narrowed::{Narrowed, Said};
use crate::App;

/// Behind "More": what is asked for now and then.
const RARE: [&str; 5] = ["until", "delivery", "direction", "provider_id", "code"];

/// The words of a status, with what messages in it are called elsewhere.
fn meaning(status: &str) -> &'static str {
    match status {
        "outbox" => "outbox (queued)",
        "retry" => "retry (retrying, held)",
        "ok" => "ok (sent, received)",
        _ => "failed (also canceled)",
    }
}

pub(super) fn form(app: &App, said: &Said) -> Markup {
    let text = |name: &str| said.iter().find(|(other, _)| *other == name).map_or("", |(_, text)| text);
    let field = |name: &str, label: &str, example: &str| {
        html! {
            div {
                label for={ "f-" (name) } { (label) }
                input id={ "f-" (name) } name=(name) value=(text(name)) placeholder=(example);
            }
        }
    };
    let choice = |name: &str, label: &str, words: Vec<(&str, &str)>| {
        let is_other = !text(name).is_empty() && words.iter().all(|(word, _)| *word != text(name));
        html! {
            div {
                label for={ "f-" (name) } { (label) }
                select id={ "f-" (name) } name=(name) {
                    option value="" { "any" }
                    @for (word, shown) in words.into_iter().chain(is_other.then_some((text(name), text(name)))) {
                        option value=(word) selected[text(name) == word] { (shown) }
                    }
                }
            }
        }
    };
    fn plain<'a>(words: impl Iterator<Item = &'a str>) -> Vec<(&'a str, &'a str)> {
        words.map(|word| (word, word)).collect()
    }
    let statuses = Status::WORDS.iter().map(|word| (*word, meaning(word))).collect();
    let providers = app.config.providers.iter().map(|provider| provider.id.as_str());
    let is_rare_said = said.iter().any(|(name, _)| RARE.contains(name));
    html! {
        form .filters method="get" action="/messages" aria-label="Filters" {
            (field("text", "Text", "in texts, addresses, errors"))
            (choice("status", "Status", statuses))
            (choice("channel", "Channel", plain(Channel::ALL.iter().map(|channel| channel.as_str()))))
            (field("to", "To", "+12025550199"))
            (field("from", "From", "+12025550100"))
            (field("since", "Since", "6h, 2d, 2026-11-23"))
            details open[is_rare_said] {
                summary { "More" }
                div .filters {
                    (field("until", "Until", "6h, 2d, 2026-11-23"))
                    (choice("delivery", "Delivery", plain(Delivery::WORDS.iter().copied())))
                    (choice("direction", "Direction", plain(Direction::WORDS.iter().copied())))
                    (choice("provider_id", "Provider", plain(providers.chain(once("generic")))))
                    (field("code", "Code", "canceled, 30003"))
                }
            }
            @for name in ["conversation_id", "problem"] {
                @if !text(name).is_empty() { input type="hidden" name=(name) value=(text(name)); }
            }
            div .row {
                button type="submit" { "Filter" }
                @if !said.is_empty() { a href="/messages" { "All" } }
                a href="/messages?problem=true" { "Problems" }
            }
        }
    }
}

/// For everything that matches.
pub(super) fn actions(narrowed: &Narrowed) -> Markup {
    html! {
        p .row {
            span .quiet { "All that match:" }
            a href=(narrowed.path("/bulk", &[("action", Some("retry"))])) { "Retry…" }
            a href=(narrowed.path("/bulk", &[("action", Some("cancel"))])) { "Cancel…" }
        }
    }
}
