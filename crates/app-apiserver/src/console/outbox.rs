//! The outbox: what waits, since when and for what, and what went through in the last hour.

use app_db::activity::Fate;
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use model::Variant;

use super::activity::{Figures, MINUTES};
use super::layout::{self, Section};
use super::live;
use super::session::Session;
use super::sparkline::sparkline;
use super::trouble::Trouble;
use super::words::{span, thousands};
use crate::App;
use crate::authentication::Caller;
use crate::problem::Problem;

pub(super) async fn show(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, Trouble> {
    let region = region(&app).await?;
    let main = html! { h1 { "Outbox" } (live::region("outbox", "/live/outbox", &region)) };
    Ok(layout::page(&app, caller, Section::Outbox, "Outbox", &main))
}

pub(super) async fn live(
    State(app): State<App>,
    Extension(session): Extension<Session>,
) -> Result<Response, Trouble> {
    live::stream(app, session, |app| async move { region(&app).await })
}

async fn region(app: &App) -> Result<Markup, Problem> {
    let figures = app.console.activity.figures(app).await?;
    Ok(html! { (waiting(&figures)) (last_hour(&figures)) (failures(&figures)) })
}

fn waiting(figures: &Figures) -> Markup {
    let sum = |pick: fn(&app_db::activity::Backlog) -> i64| figures.backlog.iter().map(pick).sum::<i64>();
    let oldest = figures.backlog.iter().map(|it| it.oldest_due_age_s).fold(0.0, f64::max);
    html! {
        dl .figures {
            div { dt { "Due" } dd { (thousands(sum(|it| it.due))) } }
            div { dt { "Oldest due" } dd { @if oldest >= 1.0 { (span(oldest as i64)) } @else { "–" } } }
            div { dt { "Being sent" } dd { (thousands(sum(|it| it.leased))) } }
            div { dt { "Later" } dd { a href="/messages?status=retry" { (thousands(sum(|it| it.delayed))) } } }
            div {
                dt { "Held" }
                dd { a href="/messages?status=retry&delivery=unknown" { (thousands(sum(|it| it.held))) } }
            }
        }
        @if figures.backlog.is_empty() {
            p { "Nothing waits: every message is settled." }
        } @else {
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
                        @for row in &figures.backlog {
                            tr {
                                td { (row.channel) }
                                td { @if row.route.is_empty() { "no rule matches" } @else { (lane(&row.route)) } }
                                td .number { (thousands(row.due)) }
                                td .number { @if row.due > 0 { (span(row.oldest_due_age_s as i64)) } }
                                td .number { (thousands(row.leased)) }
                                td .number { (thousands(row.delayed)) }
                                td .number { (thousands(row.held)) }
                            }
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

fn last_hour(figures: &Figures) -> Markup {
    let fates = [
        (Fate::Sent, "Sent"),
        (Fate::Received, "Received"),
        (Fate::Waiting, "Not settled"),
        (Fate::Failed, "Failed or undelivered"),
    ];
    html! {
        h2 { "The last hour" }
        dl .figures {
            @for (fate, name) in fates {
                @let minutes = figures.by_minute(fate, None);
                @let (sum, max) = (minutes.iter().sum::<i64>(), minutes.iter().copied().max().unwrap_or(0));
                div {
                    dt { (name) }
                    dd { (thousands(sum)) }
                    dd {
                        (sparkline(&minutes, &format!("{name}, a minute each over {MINUTES} minutes, {max} at most")))
                    }
                    dd .quiet { "at most " (thousands(max)) " a minute" }
                }
            }
        }
        p .quiet { "By when they were stored, and by what has become of them since." }
    }
}

fn failures(figures: &Figures) -> Markup {
    html! {
        @if !figures.causes.is_empty() {
            h2 { "Why the latest failed" }
            (super::providers::causes(&figures.causes.iter().collect::<Vec<_>>(), true))
            p { a href="/messages?problem=true" { "All problems" } }
        }
    }
}
