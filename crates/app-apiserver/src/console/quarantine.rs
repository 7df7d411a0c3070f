//! Webhooks that were not taken: what came, why it was kept, and taking it in once that is put right.

pub(super) mod all;
pub(super) mod one;
mod task;
mod which;

use app_db::quarantine::{self, Kept, Reason, Which};
use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use jiff::Timestamp;
use maud::{Markup, html};
use uuid::Uuid;

use self::which::{meaning, path, read};
use super::jobs;
use super::layout::{self, Section};
use super::live::{self, At};
use super::session::Session;
use super::trouble::Trouble;
use super::words::{ago, cut, thousands};
use crate::App;
use crate::authentication::Caller;
use crate::fields::{Fields, Text};
use crate::problem::Problem;

const ROWS: usize = 50;

/// A part of the list.
#[derive(Clone, Debug)]
struct View {
    which: Which,
    before: Option<Uuid>,
    /// What was done just now, as the form's answer leads here.
    done: Option<Done>,
}

/// What became of a webhook, or of all that were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    Taken,
    /// So many.
    Forgotten(u64),
}

impl Done {
    fn read(fields: &mut Fields) -> Option<Self> {
        let count = fields.text("count", Text::Line, 20).and_then(|text| text.parse().ok());
        match fields.text("done", Text::Line, 20)?.as_str() {
            "taken" => Some(Self::Taken),
            "forgotten" => Some(Self::Forgotten(count?)),
            _ => None,
        }
    }

    fn said(self) -> String {
        match self {
            Self::Taken => "Taken in: what it says is stored.".to_owned(),
            Self::Forgotten(1) => "Forgotten: 1 webhook.".to_owned(),
            Self::Forgotten(count) => {
                format!("Forgotten: {} webhooks.", thousands(i64::try_from(count).unwrap_or(i64::MAX)))
            }
        }
    }

    /// The list, which says that this was done.
    fn path(self, which: &Which) -> String {
        let (word, count) = match self {
            Self::Taken => ("taken", None),
            Self::Forgotten(count) => ("forgotten", Some(count.to_string())),
        };
        path(which, "/quarantine", &[("done", Some(word)), ("count", count.as_deref())])
    }
}

impl View {
    fn read(query: Option<&str>) -> Result<Self, Problem> {
        let mut fields = Fields::of_query(query);
        let before = fields.text("before", Text::Line, 64).and_then(|id| Uuid::try_parse(&id).ok());
        let done = Done::read(&mut fields);
        Ok(Self { which: read(fields, &["before", "done", "count"])?, before, done })
    }

    fn live_path(&self) -> String {
        let before = self.before.map(|id| id.to_string());
        path(&self.which, "/live/quarantine", &[("before", before.as_deref())])
    }
}

pub(super) async fn show(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result<Response, Trouble> {
    let view = View::read(query.as_deref())?;
    let main = html! {
        h1 { "Quarantine" }
        @if let Some(done) = view.done { p .good role="status" { (done.said()) } }
        p .quiet {
            "Webhooks that could not be verified or understood, and receipts that match no message yet (for 72 hours). "
            "Credentials are never kept."
        }
        (live::region("quarantine", &view.live_path(), &region(&app, &view).await?))
    };
    Ok(layout::page(&app, caller, Section::Quarantine, "Quarantine", &main))
}

pub(super) async fn live(
    State(app): State<App>,
    Extension(session): Extension<Session>,
    RawQuery(query): RawQuery,
) -> Result<Response, Trouble> {
    let view = View::read(query.as_deref())?;
    live::stream(app, session, At::Database, move |app| {
        let view = view.clone();
        async move { region(&app, &view).await }
    })
    .await
}

async fn region(app: &App, view: &View) -> Result<Markup, Problem> {
    let wanted = i64::try_from(ROWS + 1).unwrap_or(i64::MAX);
    let (counts, mut kept) = {
        let database = app.database().await?;
        let counts = quarantine::counts(&database).await?;
        (counts, quarantine::list(&database, &view.which, view.before, wanted).await?)
    };
    let more = kept.len() > ROWS;
    kept.truncate(ROWS);
    let last = kept.last().filter(|_| more).map(|kept| kept.id.to_string());
    Ok(html! {
        (filters(&view.which, &counts))
        @if !kept.is_empty() { (actions(&view.which)) }
        (jobs::under_way(app, Section::Quarantine))
        (table(&kept, app.clock.now()))
        @if let Some(last) = last {
            p { a href=(path(&view.which, "/quarantine", &[("before", Some(&last))])) { "Older" } }
        }
    })
}

/// By reason, and by provider.
fn filters(which: &Which, counts: &[(Reason, String, i64)]) -> Markup {
    let of = |reason: Option<Reason>, provider_id: Option<&str>| -> i64 {
        let fits = |count: &&(Reason, String, i64)| {
            reason.is_none_or(|reason| reason == count.0) && provider_id.is_none_or(|id| id == count.1)
        };
        counts.iter().filter(fits).map(|(.., count)| count).sum()
    };
    let link = |reason: Option<Reason>, provider_id: Option<&str>, text: &str| {
        let to = Which { reason, provider_id: provider_id.map(str::to_owned), up_to: None };
        html! {
            a href=(path(&to, "/quarantine", &[])) aria-current=[(to == *which).then_some("true")] {
                (text) " (" (thousands(of(reason, provider_id))) ")"
            }
        }
    };
    let provider_id = which.provider_id.as_deref();
    let reasons: Vec<Reason> =
        Reason::ALL.into_iter().filter(|reason| of(Some(*reason), provider_id) > 0).collect();
    let mut provider_ids: Vec<&str> = counts.iter().map(|(_, id, _)| id.as_str()).collect();
    provider_ids.sort_unstable();
    provider_ids.dedup();
    html! {
        p .row {
            (link(None, provider_id, "Any reason"))
            @for reason in reasons { (link(Some(reason), provider_id, meaning(reason))) }
        }
        @if !provider_ids.is_empty() || provider_id.is_some() {
            p .row {
                (link(which.reason, None, "Any provider"))
                @for id in provider_ids { (link(which.reason, Some(id), id)) }
            }
        }
    }
}

fn actions(which: &Which) -> Markup {
    let link = |action: &str| path(which, "/quarantine/all", &[("action", Some(action))]);
    html! {
        p .row {
            span .quiet { "All of these:" }
            a href=(link("process")) { "Process again…" }
            @if all::may_be_trusted(which) { a href=(link("trust")) { "Trust…" } }
            a href=(link("forget")) { "Forget…" }
            @if !all::may_be_trusted(which) {
                span .quiet { "What is not verified can be trusted for one provider at a time." }
            }
        }
    }
}

fn table(kept: &[Kept], now: Timestamp) -> Markup {
    html! {
        @if kept.is_empty() {
            p { "Nothing is kept." }
        } @else {
            div .wide tabindex="0" role="region" aria-label="Kept webhooks" {
                table {
                    thead {
                        tr {
                            th scope="col" { "When" } th scope="col" { "Provider" } th scope="col" { "Why" }
                            th scope="col" { "What is wrong" } th scope="col" .number { "Bytes" }
                        }
                    }
                    tbody data-list {
                        @for one in kept {
                            tr id={ "q-" (one.id) } {
                                td {
                                    a href={ "/quarantine/" (one.id) } { (ago(one.reception.received_at, now)) }
                                    @if one.reception.deliveries > 1 {
                                        " " span .quiet { "(" (thousands(one.reception.deliveries)) " times)" }
                                    }
                                }
                                td { (one.provider_id) }
                                td { (meaning(one.reason)) }
                                td .text { (cut(&one.detail, 120)) }
                                td .number {
                                    (thousands(i64::from(one.body_bytes)))
                                    @if one.is_cut { " " span .quiet { "(cut)" } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
