//! Providers: how each fares as processors tell it, what went through it, why the latest failed; and taking one out of
//! use.

use app_db::activity::{CAUSES_AMONG, Cause, Fate};
use app_db::provider_pauses::{self, ProviderPause};
use app_db::provider_states::{self, ProviderState};
use axum::Extension;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use jiff::Timestamp;
use maud::{Markup, html};
use model::{Channel, ProviderHealth};

use super::activity::{Figures, MINUTES};
use super::form::{self, see};
use super::layout::{self, Section};
use super::live;
use super::session::Session;
use super::sparkline::sparkline;
use super::trouble::{Trouble, sentence};
use super::words::{ago, thousands};
use crate::App;
use crate::authentication::Caller;
use crate::explain::meaning;
use crate::fields::Text;
use crate::problem::Problem;

const NOTE_CHARS_MAX: usize = 200;
const CAUSES: usize = 8;

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
    live::stream(app, session, |app| async move { region(&app).await })
}

async fn region(app: &App) -> Result<Markup, Problem> {
    let figures = app.console.activity.figures(app).await?;
    let (states, pauses) = {
        let database = app.database().await?;
        (provider_states::all(&database).await?, provider_pauses::all(&database).await?)
    };
    let now = app.clock.now();
    let ids = ids(app, &states, &pauses);
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
                (facts(app, id, &states, pause, now))
                (throughput(&figures, id))
                (latest_causes(&figures, id))
                (actions(id, pause))
            }
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

fn health(states: &[&ProviderState], pause: Option<&ProviderPause>) -> Markup {
    let worst = states.iter().map(|state| state.state).max_by_key(|health| match health {
        ProviderHealth::Closed => 0,
        ProviderHealth::HalfOpen => 1,
        ProviderHealth::Paused => 2,
        ProviderHealth::Open => 3,
        ProviderHealth::Halted => 4,
    });
    let (word, class) = match (pause, worst) {
        (Some(_), _) => ("paused by an operator", "waiting"),
        (None, None) => ("unknown", "quiet"),
        (None, Some(ProviderHealth::Closed)) => ("works", "good"),
        (None, Some(ProviderHealth::HalfOpen)) => ("is being tried again", "waiting"),
        (None, Some(ProviderHealth::Paused)) => ("asked us to wait", "waiting"),
        (None, Some(ProviderHealth::Open)) => ("down", "bad"),
        (None, Some(ProviderHealth::Halted)) => ("refuses the account", "bad"),
    };
    html! { span class={ "chip " (class) } { (word) } }
}

fn facts(
    app: &App,
    id: &str,
    states: &[&ProviderState],
    pause: Option<&ProviderPause>,
    now: Timestamp,
) -> Markup {
    let provider = app.config.provider(id);
    let calls = states.iter().fold((0, 0), |sum, state| (sum.0 + state.in_flight, sum.1 + state.slots));
    let slowest = states.iter().filter_map(|state| state.latency_ms).reduce(f32::max);
    html! {
        dl .details {
            @if let Some(provider) = provider {
                dt { "Kind" } dd { (provider.kind.name) ": " (channels(&provider.channels)) }
                @if let Some(rate) = provider.rate_per_s { dt { "Rate" } dd { "at most " (rate) " a second" } }
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
                            ", since " (ago(state.since, now))
                            @if let Some(until) = state.until { ", until " (super::words::exact(until)) }
                        }
                        @if state.failures > 0 { " (" (state.failures) " failures among its latest calls)" }
                    }
                }
                @if states.is_empty() { "no processor tells" }
            }
            dt { "Under way" } dd { (calls.0) " of " (calls.1) " calls" }
            dt { "Answers in" } dd { @match slowest { Some(ms) => { (format!("{ms:.0}")) " ms" } None => "–" } }
            @if let Some(pause) = pause {
                dt { "Paused" }
                dd { (ago(pause.paused_at, now)) @if let Some(note) = &pause.note { ": " (note) } }
            }
        }
    }
}

fn channels(channels: &[Channel]) -> String {
    channels.iter().map(|channel| channel.as_str()).collect::<Vec<_>>().join(", ")
}

fn throughput(figures: &Figures, id: &str) -> Markup {
    let lines = [(Fate::Sent, "Sent"), (Fate::Failed, "Failed or undelivered"), (Fate::Received, "Received")];
    html! {
        dl .figures {
            @for (fate, name) in lines {
                @let minutes = figures.by_minute(fate, Some(id));
                @let sum = minutes.iter().sum::<i64>();
                div {
                    dt { (name) }
                    dd { (thousands(sum)) }
                    dd { (sparkline(&minutes, &format!("{name}, a minute each over {MINUTES} minutes"))) }
                }
            }
        }
    }
}

fn latest_causes(figures: &Figures, id: &str) -> Markup {
    let own: Vec<&Cause> =
        figures.causes.iter().filter(|cause| cause.provider_id.as_deref() == Some(id)).collect();
    html! { @if !own.is_empty() { (causes(&own, false)) } }
}

/// Why messages failed, the most frequent cause first.
pub(super) fn causes(causes: &[&Cause], with_provider: bool) -> Markup {
    html! {
        div .wide tabindex="0" role="region" aria-label="Causes" { table {
            caption { "Of the newest " (thousands(CAUSES_AMONG)) " problems" }
            thead {
                tr {
                    th scope="col" .number { "Messages" } th scope="col" { "Cause" }
                    th scope="col" { "Provider's code" }
                    @if with_provider { th scope="col" { "Provider" } }
                }
            }
            tbody {
                @for cause in causes.iter().take(CAUSES) {
                    tr {
                        td .number { (thousands(cause.messages)) }
                        td { (sentence(meaning(&cause.code))) }
                        td { (cause.provider_code.as_deref().unwrap_or_default()) }
                        @if with_provider { td { (cause.provider_id.as_deref().unwrap_or_default()) } }
                    }
                }
            }
        } }
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
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Trouble> {
    let mut fields = form::read(&app, request).await?;
    let note = fields.text("note", Text::Line, NOTE_CHARS_MAX).filter(|note| !note.trim().is_empty());
    fields.finish()?;
    let database = app.database().await?;
    let states = provider_states::all(&database).await?;
    if !ids(&app, &states, &[]).contains(&id) {
        let detail = "no provider of this id is configured";
        return Err(Problem::not_found("provider_not_found", detail).into());
    }
    provider_pauses::pause(&database, &id, note.as_deref()).await?;
    Ok(see("/providers"))
}

pub(super) async fn resume(State(app): State<App>, Path(id): Path<String>) -> Result<Response, Trouble> {
    provider_pauses::resume(&*app.database().await?, &id).await?;
    Ok(see("/providers"))
}
