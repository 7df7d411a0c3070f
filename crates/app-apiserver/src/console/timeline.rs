//! What happened to a message, step by step, each code with what it means.

use app_db::messages::events::{Event, first_of};
use app_db::messages::facts::Facts;
use maud::{Markup, html};

use super::trouble::sentence;
use super::words::exact;
use crate::explain::meaning;
use crate::times;

pub(super) fn timeline(facts: &Facts) -> Markup {
    let first = first_of(&facts.message);
    html! {
        h2 { "What happened" }
        ol .timeline #timeline {
            (step(&first))
            @if facts.has_older_events { li .quiet { "Older events are left out; the API lists them all." } }
            @for event in &facts.events { (step(event)) }
        }
    }
}

fn step(event: &Event) -> Markup {
    html! {
        li id={ "e-" (event.id) } data-event=(event.id) {
            time datetime=(times::format(event.created_at)) { (exact(event.created_at)) }
            " " b { (words(event)) }
            @if let Some(provider) = &event.provider_id { " · " (provider) }
            @if event.attempt > 0 { " · attempt " (event.attempt) }
            @if let Some(code) = &event.code { br; (sentence(meaning(code))) " " code { (code) } }
            @if let Some(provider_code) = &event.provider_code { " Provider's code: " code { (provider_code) } "." }
            @if let Some(detail) = &event.detail { " " span .quiet { (detail) } }
        }
    }
}

fn words(event: &Event) -> String {
    match event.kind.as_str() {
        "receipt" => format!("receipt: {}", event.delivery),
        "outcome_unknown" => "outcome unknown".to_owned(),
        "requeued" => "tried again on request".to_owned(),
        kind => kind.to_owned(),
    }
}
