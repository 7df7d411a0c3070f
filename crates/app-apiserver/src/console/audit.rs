//! The audit log as a page: filters, and the newest entries first.

use app_db::audit::{Entry, Filter};
use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use maud::{Markup, html};
use serde_json::Value;
use uuid::Uuid;

use super::layout::{self, Section};
use super::trouble::Trouble;
use super::words::{cut, exact};
use crate::App;
use crate::audit::list_audit_entries::{page_of, read_filter};
use crate::authentication::Caller;
use crate::fields::{Fields, Text};

const ROWS: usize = 100;
const ID_CHARS_MAX: usize = 36;
const DETAIL_CHARS_MAX: usize = 300;

pub(super) async fn show(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result<Response, Trouble> {
    // A form sends fields that are left empty, too.
    let pairs = form_urlencoded::parse(query.as_deref().unwrap_or_default().as_bytes());
    let said: Vec<(String, String)> =
        pairs.into_owned().filter(|(_, value)| !value.trim().is_empty()).collect();
    let query: String = form_urlencoded::Serializer::new(String::new()).extend_pairs(&said).finish();
    let mut fields = Fields::of_query(Some(&query));
    let filter = read_filter(&mut fields);
    let before = fields.text("before", Text::Line, ID_CHARS_MAX).and_then(|id| Uuid::try_parse(&id).ok());
    fields.finish()?;
    let (entries, is_last) = page_of(&app, &filter, before, ROWS).await?;
    let older = entries.last().filter(|_| !is_last).map(|last| older(&said, last.id));
    let main = html! {
        h1 { "Audit log" }
        p .quiet { "Who changed what, when and from where. Messages that applications send are not in it." }
        (form(&said, &filter))
        (table(&entries))
        @if let Some(older) = older { p { a href=(older) { "Older" } } }
    };
    Ok(layout::still(&app, caller, Section::Audit, "Audit log", &main))
}

fn older(said: &[(String, String)], last: Uuid) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(said.iter().filter(|(name, _)| name != "before"));
    format!("/audit?{}", query.append_pair("before", &last.to_string()).finish())
}

fn form(said: &[(String, String)], filter: &Filter) -> Markup {
    let text = |name: &str| said.iter().find(|(other, _)| other == name).map_or("", |(_, text)| text);
    let fields = [
        ("action", "Action", "provider.pause, or key"),
        ("actor", "Who", "a key's name or id, a user"),
        ("target", "What", "an id"),
        ("since", "Since", "2026-11-23T00:00:00Z"),
        ("until", "Until", "2026-11-24T00:00:00Z"),
    ];
    html! {
        form .filters method="get" action="/audit" aria-label="Filters" {
            @for (name, label, example) in fields {
                div {
                    label for={ "a-" (name) } { (label) }
                    input id={ "a-" (name) } name=(name) value=(text(name)) placeholder=(example);
                }
            }
            div .row {
                button type="submit" { "Filter" }
                @if *filter != Filter::default() { a href="/audit" { "All" } }
            }
        }
    }
}

fn table(entries: &[Entry]) -> Markup {
    html! {
        @if entries.is_empty() {
            p { "No entry matches." }
        } @else {
            div .wide tabindex="0" role="region" aria-label="Audit log" {
                table {
                    thead {
                        tr {
                            th scope="col" { "When" } th scope="col" { "Who" } th scope="col" { "From" }
                            th scope="col" { "Action" } th scope="col" { "What" } th scope="col" { "Detail" }
                        }
                    }
                    tbody data-list { @for entry in entries { (row(entry)) } }
                }
            }
        }
    }
}

fn row(entry: &Entry) -> Markup {
    html! {
        tr id={ "a-" (entry.id) } {
            td { (exact(entry.at)) }
            td { (who(entry)) }
            td { (entry.source) }
            td { code { (entry.action) } }
            td .text { (entry.target.as_deref().unwrap_or_default()) }
            td .text { (detail(&entry.detail)) }
        }
    }
}

fn who(entry: &Entry) -> Markup {
    html! {
        @match (entry.actor_kind.as_str(), entry.actor_name.as_deref()) {
            ("key", Some(name)) => { "key " (name) },
            ("key", None) => { "key " (entry.actor) },
            ("os_user", _) => { "user " (entry.actor) },
            _ => (entry.actor),
        }
    }
}

/// `note: disputed, count: 3`.
fn detail(detail: &Value) -> String {
    let pairs = detail.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    let pair = |(name, value): (&String, &Value)| match value.as_str() {
        Some(text) => format!("{name}: {text}"),
        None => format!("{name}: {value}"),
    };
    cut(&pairs.map(pair).collect::<Vec<_>>().join(", "), DETAIL_CHARS_MAX)
}
