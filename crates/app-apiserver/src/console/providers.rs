//! Providers: how each fares as processors tell it, what went through it, why messages failed; and taking one out of use.
//! How they fare must never wait for figures: it is read by itself each time.

use app_db::activity::Backlog;
use app_db::audit;
use app_db::provider_pauses::{self, ProviderPause};
use app_db::provider_states::{self, ProviderState};
use axum::Extension;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use maud::{Markup, html};
use model::{Channel, ProviderHealth, Reason, Variant};
use serde_json::json;

use super::activity::{Hour, shown};
use super::form::{self, see};
use super::layout::{self, Section};
use super::live::{self, At};
use super::session::Session;
use super::trouble::Trouble;
use super::words::{Tone, exact, thousands};
use crate::App;
use crate::audit::Actor;
use crate::authentication::Caller;
use crate::explain::meaning;
use crate::fields::Text;
use crate::problem::Problem;

const NOTE_CHARS_MAX: usize = 200;

pub(super) async fn show(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, Trouble> {
    let region = region(&app).await?;
    let main = html! { h1 { "Providers" } (live::region("providers", "/live/providers", &region)) };
    Ok(layout::page(&app, caller, Section::Providers, "Providers", &main))
}

pub(super) async fn live(
    State(app): State<App>,
    Extension(session): Extension<Session>,
) -> Result<Response, Trouble> {
    live::stream(app, session, At::Database, |app| async move { region(&app).await }).await
}

async fn region(app: &App) -> Result<Markup, Problem> {
    let (states, pauses) = {
        let database = app.database().await?;
        (provider_states::all(&database).await?, provider_pauses::all(&database).await?)
    };
    let now = app.clock.now();
    let ids = ids(app, &states, &pauses);
    let hour = app.console.activity.hour(app);
    let backlog = if pauses.is_empty() { None } else { app.console.activity.backlog(app) };
    Ok(html! {
        @if states.is_empty() {
            p .bad role="status" { "No processor has said anything within the last 15 seconds: nothing is being sent." }
        }
        @if ids.is_empty() { p { "No provider is configured. " code { "app init twilio" } " writes one into app.toml." } }
        @for id in &ids {
            @let states: Vec<&ProviderState> = states.iter().filter(|state| state.provider_id == *id).collect();
            @let pause = pauses.iter().find(|pause| pause.provider_id == *id);
            section .provider id={ "p-" (id) } aria-label=(id) {
                h2 { (id) " " (health(&states, pause)) }
                (facts(app, id, &states, pause))
                @if pause.is_some() && let Some(backlog) = &backlog { (who_waits(app, id, &backlog.figures)) }
                @if let Some(hour) = &hour { (last_hour(&hour.figures, id)) }
                (actions(id, pause))
            }
        }
        @match &hour {
            Some(hour) => (shown::about(&hour.figures, hour.counted_at, now)),
            None => p .quiet { "What went through them is being counted…" },
        }
    })
}

/// Those of the configuration, and what processors or operators speak of besides.
fn ids(app: &App, states: &[ProviderState], pauses: &[ProviderPause]) -> Vec<String> {
    let mut ids: Vec<String> = app.config.providers.iter().map(|provider| provider.id.clone()).collect();
    let others =
        states.iter().map(|state| &state.provider_id).chain(pauses.iter().map(|pause| &pause.provider_id));
    for id in others {
        if !ids.contains(id) {
            ids.push(id.clone());
        }
    }
    ids
}

/// What it is in, in words.
pub(super) fn condition(states: &[&ProviderState], pause: Option<&ProviderPause>) -> (&'static str, Tone) {
    let worst = states.iter().map(|state| state.state).max_by_key(|health| match health {
        ProviderHealth::Closed => 0,
        ProviderHealth::HalfOpen => 1,
        ProviderHealth::Paused => 2,
        ProviderHealth::Open => 3,
        ProviderHealth::Halted => 4,
    });
    let asked_to_wait = states.iter().any(|state| {
        state.state == ProviderHealth::Paused && state.reason.as_deref() == Some(Reason::Throttled.as_str())
    });
    match (pause, worst) {
        (Some(_), _) => ("paused by an operator", Tone::Waiting),
        (None, None) => ("unknown", Tone::Quiet),
        (None, Some(ProviderHealth::Closed)) => ("works", Tone::Good),
        (None, Some(ProviderHealth::HalfOpen)) => ("is being tried again", Tone::Waiting),
        (None, Some(ProviderHealth::Paused)) if asked_to_wait => ("asked us to wait", Tone::Waiting),
        (None, Some(ProviderHealth::Paused)) => ("resumed; in use within seconds", Tone::Waiting),
        (None, Some(ProviderHealth::Open)) => ("down", Tone::Bad),
        (None, Some(ProviderHealth::Halted)) => ("refuses the account", Tone::Bad),
    }
}

fn health(states: &[&ProviderState], pause: Option<&ProviderPause>) -> Markup {
    let (word, tone) = condition(states, pause);
    html! { span class={ "chip " (tone.class()) } { (word) } }
}

fn facts(app: &App, id: &str, states: &[&ProviderState], pause: Option<&ProviderPause>) -> Markup {
    let provider = app.config.provider(id);
    let calls = states.iter().fold((0, 0), |sum, state| (sum.0 + state.in_flight, sum.1 + state.slots));
    html! {
        dl .details {
            @if let Some(provider) = provider {
                dt { "Kind" } dd { (provider.kind.name) ": " (channels(&provider.channels)) }
            } @else {
                dt { "Kind" } dd { "not in this server's configuration" }
            }
            dt { "Breaker" }
            dd {
                @for state in states {
                    div {
                        (state.state.as_str().replace('_', " "))
                        @if let Some(reason) = &state.reason { ": " (meaning(reason)) }
                        @if state.state != ProviderHealth::Closed {
                            ", since " (exact(state.since))
                            @if let Some(until) = state.until { ", until " (exact(until)) }
                        }
                        @if state.failures > 0 { " (" (state.failures) " failures among its latest calls)" }
                    }
                }
                @if states.is_empty() { "no processor reports it" }
            }
            dt { "Under way" } dd { (calls.0) " of " (calls.1) " calls" }
            dt { "Rate" } dd { (rate(states, provider.and_then(|provider| provider.rate_per_s))) }
            dt { "Answers in" } dd { (answer_time(states)) }
            @if let Some(pause) = pause {
                dt { "Paused" }
                dd { "since " (exact(pause.paused_at)) @if let Some(note) = &pause.note { ": " (note) } }
            }
        }
    }
}

/// What all processors call, and what they may.
fn rate(states: &[&ProviderState], limit_per_s: Option<f64>) -> Markup {
    let measured = states.iter().filter_map(|state| state.calls_per_s).reduce(|sum, one| sum + one);
    html! {
        @match measured {
            Some(calls) => { (format!("{calls:.1}")) " calls a second over the last minute" },
            None => "no processor reports it",
        }
        @if let Some(limit) = limit_per_s { "; at most " (limit) " are allowed" }
    }
}

/// Of several processors, the slowest one's.
fn answer_time(states: &[&ProviderState]) -> Markup {
    let slowest =
        |of: fn(&ProviderState) -> Option<f32>| states.iter().filter_map(|it| of(it)).reduce(f32::max);
    html! {
        @match slowest(|state| state.latency_ms) {
            Some(ms) => { (format!("{ms:.0}")) " ms (median of the latest calls)" },
            None => "–",
        }
        @if let Some(ms) = slowest(|state| state.latency_p95_ms) { ", " (format!("{ms:.0}")) " ms (p95)" }
        @if states.len() > 1 { ", at the slowest processor" }
    }
}

fn channels(channels: &[Channel]) -> String {
    channels.iter().map(|channel| channel.as_str()).collect::<Vec<_>>().join(", ")
}

/// What is due and may go nowhere else; and what is due at all.
fn who_waits(app: &App, id: &str, backlog: &[Backlog]) -> Markup {
    let is_alone = |row: &&Backlog| {
        let route = app.config.routes.named(Variant::parse(&row.route).0);
        route.is_some_and(|route| route.candidates.iter().all(|candidate| candidate.provider_id == id))
    };
    let alone: i64 = backlog.iter().filter(is_alone).map(|row| row.due).sum();
    let all: i64 = backlog.iter().map(|row| row.due).sum();
    html! {
        p {
            @if alone > 0 {
                "Due messages that only it can take: " (thousands(alone)) ", of "
            } @else {
                "No message that is due waits for it alone, of "
            }
            a href="/outbox" { (thousands(all)) " that are due" } "."
        }
    }
}

fn last_hour(hour: &Hour, id: &str) -> Markup {
    html! {
        dl .figures {
            @for line in [shown::SENT, shown::PROBLEMS, shown::RECEIVED] { (shown::line(hour, &line, Some(id))) }
        }
        (shown::causes(hour, Some(id)))
    }
}

fn actions(id: &str, pause: Option<&ProviderPause>) -> Markup {
    let path = |action: &str| format!("/providers/{}/{action}", encoded(id));
    html! {
        @if pause.is_some() {
            form .row method="post" action=(path("resume")) { button type="submit" { "Resume " (id) } }
        } @else {
            form .row method="post" action=(path("pause")) {
                label for={ "note-" (id) } { "Note" }
                input id={ "note-" (id) } name="note" maxlength=(NOTE_CHARS_MAX) autocomplete="off";
                button type="submit" .plain { "Pause " (id) }
            }
        }
    }
}

fn encoded(segment: &str) -> String {
    form_urlencoded::byte_serialize(segment.as_bytes()).collect::<String>().replace('+', "%20")
}

pub(super) async fn pause(
    State(app): State<App>,
    Extension(actor): Extension<Actor>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Trouble> {
    let mut fields = form::read(&app, request).await?;
    let note = fields.text("note", Text::Line, NOTE_CHARS_MAX).filter(|note| !note.trim().is_empty());
    fields.finish()?;
    let mut database = app.database().await?;
    let states = provider_states::all(&database).await?;
    if !ids(&app, &states, &[]).contains(&id) {
        let detail = "no provider of this id is configured";
        return Err(Problem::not_found("provider_not_found", detail).into());
    }
    let transaction = app_db::begin(&mut database).await?;
    provider_pauses::pause(&transaction, &id, note.as_deref()).await?;
    let entry = actor.entry(&app, "provider.pause", id, json!({ "note": note }));
    audit::write(&transaction, &entry).await?;
    app_db::commit(transaction).await?;
    Ok(see("/providers"))
}

pub(super) async fn resume(
    State(app): State<App>,
    Extension(actor): Extension<Actor>,
    Path(id): Path<String>,
) -> Result<Response, Trouble> {
    let mut database = app.database().await?;
    let transaction = app_db::begin(&mut database).await?;
    if provider_pauses::resume(&transaction, &id).await? {
        audit::write(&transaction, &actor.entry(&app, "provider.resume", id, json!({}))).await?;
    }
    app_db::commit(transaction).await?;
    Ok(see("/providers"))
}
