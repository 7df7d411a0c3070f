//! The outbox: what waits, since when and for what, and what became of what was stored in the last hour.

use app_db::activity::Backlog;
use app_db::provider_states;
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use jiff::Timestamp;
use maud::{Markup, html};
use model::Variant;

use super::activity::{Hour, shown};
use super::layout::{self, Section};
use super::live::{self, At};
use super::session::Session;
use super::trouble::Trouble;
use super::words::{span, thousands};
use crate::App;
use crate::authentication::Caller;
use crate::problem::Problem;

pub(super) async fn show(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, Trouble> {
    app.console.activity.first(&app).await;
    let region = region(&app).await?;
    let main = html! { h1 { "Outbox" } (live::region("outbox", "/live/outbox", &region)) };
    Ok(layout::page(&app, caller, Section::Outbox, "Outbox", &main))
}

pub(super) async fn live(
    State(app): State<App>,
    Extension(session): Extension<Session>,
) -> Result<Response, Trouble> {
    live::stream(app, session, At::Database, |app| async move { region(&app).await }).await
}

async fn region(app: &App) -> Result<Markup, Problem> {
    // Asked of the database each time, so that a page does not look alive while that is away.
    let calls_per_s = {
        let database = app.database().await?;
        let states = provider_states::all(&database).await?;
        states.iter().filter_map(|state| state.calls_per_s).reduce(|sum, one| sum + one)
    };
    let now = app.clock.now();
    Ok(html! {
        @match app.console.activity.backlog(app) {
            Some(known) => (waiting(&known.figures, calls_per_s, known.counted_at, now)),
            None => p .quiet { "What waits is being counted…" },
        }
        h2 { "The last hour" }
        @match app.console.activity.hour(app) {
            Some(known) => (last_hour(&known.figures, known.counted_at, now)),
            None => p .quiet { "Being counted…" },
        }
    })
}

fn waiting(backlog: &[Backlog], calls_per_s: Option<f32>, counted_at: Timestamp, now: Timestamp) -> Markup {
    let sum = |pick: fn(&Backlog) -> i64| backlog.iter().map(pick).sum::<i64>();
    let oldest = backlog.iter().map(|it| it.oldest_due_age_s).fold(0.0, f64::max);
    let confirming = sum(|it| it.confirming);
    html! {
        dl .figures {
            div { dt { "Due" } dd { (thousands(sum(|it| it.due))) } }
            div { dt { "Oldest due" } dd { @if oldest >= 1.0 { (span(oldest as i64)) } @else { "–" } } }
            div { dt { "Being sent" } dd { (thousands(sum(|it| it.leased))) } }
            div {
                dt { "Calls a second" }
                dd { @match calls_per_s { Some(rate) => { (format!("{rate:.1}")) } None => "–" } }
                dd .quiet { "to all providers, over the last minute" }
            }
            div {
                dt { "Later, after a failure" }
                dd { (thousands(sum(|it| it.retrying))) }
                dd .quiet { a href="/messages?status=retry&delivery=none" { "all that are retried" } }
            }
            div {
                dt { "Later, as scheduled" }
                dd { (thousands(sum(|it| it.scheduled))) }
                dd .quiet { a href="/messages?status=outbox" { "all that are not tried yet" } }
            }
            @if confirming > 0 {
                div {
                    dt { "Waiting for a receipt" }
                    dd { (thousands(confirming)) }
                }
            }
            div {
                dt { "Held" }
                dd { (thousands(sum(|it| it.held))) }
                dd .quiet { a href="/messages?status=retry&delivery=unknown" { "all whose outcome is unknown" } }
            }
        }
        @if backlog.is_empty() {
            p { "Nothing waits: every message is settled." (shown::staleness(counted_at, now)) }
        } @else {
            (by_route(backlog))
            p .quiet { (shown::staleness(counted_at, now)) }
        }
    }
}

fn by_route(backlog: &[Backlog]) -> Markup {
    html! {
        div .wide tabindex="0" role="region" aria-label="By route" {
            table {
                thead {
                    tr {
                        th scope="col" { "Channel" } th scope="col" { "Route" } th scope="col" .number { "Due" }
                        th scope="col" .number { "Oldest" } th scope="col" .number { "Being sent" }
                        th scope="col" .number { "Later" } th scope="col" .number { "Held" }
                    }
                }
                tbody {
                    @for row in backlog {
                        tr {
                            td { (row.channel) }
                            td { @if row.route.is_empty() { "no rule matches" } @else { (lane(&row.route)) } }
                            td .number { (thousands(row.due)) }
                            td .number { @if row.due > 0 { (span(row.oldest_due_age_s as i64)) } }
                            td .number { (thousands(row.leased)) }
                            td .number { (thousands(row.retrying + row.scheduled + row.confirming)) }
                            td .number { (thousands(row.held)) }
                        }
                    }
                }
            }
        }
    }
}

/// A route's lane in words.
fn lane(route: &str) -> String {
    match Variant::parse(route) {
        (name, Variant::Plain) => name.to_owned(),
        (name, Variant::Avoid(id)) => format!("{name}, avoiding {id}"),
        (name, Variant::Prefer(id)) => format!("{name}, preferring {id}"),
    }
}

fn last_hour(hour: &Hour, counted_at: Timestamp, now: Timestamp) -> Markup {
    html! {
        dl .figures {
            @for line in [shown::SENT, shown::RECEIVED, shown::WAITING, shown::PROBLEMS, shown::CANCELED] {
                (shown::line(hour, &line, None))
            }
        }
        (shown::about(hour, counted_at, now))
        (shown::causes(hour, None))
        (shown::remedies(hour))
        p { a href="/messages?problem=true" { "All problems, older ones too" } }
    }
}
