//! The last hour as pages show it: lines of numbers, and why messages are held, failed or undelivered. A link is there
//! only where a filter finds what was counted.

use app_db::activity::Fate;
use jiff::Timestamp;
use maud::{Markup, html};
use model::Reason;

use super::hour::{Hour, MINUTES, Trouble};
use crate::console::form::path_with;
use crate::console::sparkline::sparkline;
use crate::console::trouble::sentence;
use crate::console::words::{exact, thousands};
use crate::explain::meaning;
use crate::times;

const CAUSES_MAX: usize = 8;
/// Counts that are older than this say so.
const STALE_S: i64 = 15;

/// What is counted together, and the filter that finds just that.
#[derive(Clone, Copy, Debug)]
pub(in crate::console) struct Line {
    pub name: &'static str,
    pub fates: &'static [Fate],
    pub filter: &'static [(&'static str, &'static str)],
    /// What the filter finds besides.
    pub others: &'static [Fate],
}

pub(in crate::console) const SENT: Line = Line {
    name: "Sent",
    fates: &[Fate::Sent],
    filter: &[("direction", "outbound"), ("status", "ok")],
    others: &[Fate::Undelivered],
};
pub(in crate::console) const RECEIVED: Line =
    Line { name: "Received", fates: &[Fate::Received], filter: &[("direction", "inbound")], others: &[] };
/// No filter says "queued or retrying".
pub(in crate::console) const WAITING: Line =
    Line { name: "Not settled", fates: &[Fate::Waiting], filter: &[], others: &[] };
pub(in crate::console) const CANCELED: Line = Line {
    name: "Canceled",
    fates: &[Fate::Canceled],
    filter: &[("status", "failed"), ("code", "canceled")],
    others: &[],
};
pub(in crate::console) const PROBLEMS: Line = Line {
    name: "Failed, undelivered or held",
    fates: &[Fate::Failed, Fate::Undelivered, Fate::Held],
    filter: &[("problem", "true")],
    others: &[Fate::Canceled],
};

impl Line {
    /// The messages of some time, where a filter finds no others than those that are counted.
    fn path(
        &self,
        hour: &Hour,
        provider_id: Option<&str>,
        since: Timestamp,
        until: Option<Timestamp>,
    ) -> Option<String> {
        let finds_others = hour.total(self.others, provider_id) > 0;
        let is_exact = !self.filter.is_empty() && !finds_others && hour.total(self.fates, provider_id) > 0;
        let provider = provider_id.map(|id| ("provider_id", id));
        let filter: Vec<(&str, &str)> = self.filter.iter().copied().chain(provider).collect();
        is_exact.then(|| narrowed("/messages", &filter, since, until))
    }
}

fn narrowed(path: &str, filter: &[(&str, &str)], since: Timestamp, until: Option<Timestamp>) -> String {
    let (since, until) = (times::format(since), until.map(times::format));
    let times = [("since", Some(since.as_str())), ("until", until.as_deref())];
    let filter = filter.iter().map(|(name, word)| (*name, Some(*word)));
    path_with(path, &filter.chain(times).collect::<Vec<_>>())
}

fn linked(path: Option<&str>, content: &Markup) -> Markup {
    html! { @match path { Some(path) => a href=(path) { (content) }, None => (content) } }
}

/// A line's total, its minutes, and the minute that has most.
pub(in crate::console) fn line(hour: &Hour, line: &Line, provider_id: Option<&str>) -> Markup {
    let minutes = hour.by_minute(line.fates, provider_id);
    let (place, max) =
        minutes.iter().copied().enumerate().rev().max_by_key(|(_, count)| *count).unwrap_or_default();
    let whole = line.path(hour, provider_id, hour.since(), None);
    let (since, until) = hour.minute_at(place);
    let peak = line.path(hour, provider_id, since, Some(until));
    let about = format!("{}, a minute each over {MINUTES} minutes, {max} at most", line.name);
    html! {
        div {
            dt { (line.name) }
            dd {
                @if hour.uncounted() > 0 { "≥ " }
                (linked(whole.as_deref(), &html! { (thousands(minutes.iter().sum())) }))
            }
            dd { (linked(whole.as_deref(), &sparkline(&minutes, &about))) }
            @if max > 0 {
                dd .quiet {
                    "at most " (thousands(max)) " a minute, at "
                    (linked(peak.as_deref(), &html! { (since.strftime("%H:%M UTC")) }))
                }
            }
        }
    }
}

/// What the numbers are of, in words.
pub(in crate::console) fn about(hour: &Hour, counted_at: Timestamp, now: Timestamp) -> Markup {
    let uncounted = hour.uncounted();
    html! {
        @if uncounted > 0 {
            p .waiting { "Still counting: " (uncounted) " of " (MINUTES) " minutes are missing." }
        }
        p .quiet {
            "The last hour is counted by the minute in which messages were stored, in the state that they are in now."
            (staleness(counted_at, now))
        }
    }
}

/// Says when it was counted, where that is not just now.
pub(in crate::console) fn staleness(counted_at: Timestamp, now: Timestamp) -> Markup {
    let is_stale = now.duration_since(counted_at).as_secs() > STALE_S;
    html! { @if is_stale { " Counted at " (exact(counted_at)) "." } }
}

fn word(fate: Fate) -> &'static str {
    match fate {
        Fate::Received => "received",
        Fate::Sent => "sent",
        Fate::Waiting => "not settled",
        Fate::Held => "held",
        Fate::Failed => "failed",
        Fate::Canceled => "canceled",
        Fate::Undelivered => "undelivered",
    }
}

fn filter_of(fate: Fate) -> &'static [(&'static str, &'static str)] {
    match fate {
        Fate::Held => &[("status", "retry"), ("delivery", "unknown")],
        Fate::Failed => &[("status", "failed")],
        Fate::Undelivered => &[("delivery", "undelivered")],
        Fate::Canceled => &[("status", "failed"), ("code", "canceled")],
        Fate::Received | Fate::Sent | Fate::Waiting => &[],
    }
}

/// Retries what `filter` finds of it, where that is possible: what was sent is not sent again.
fn retry_path(hour: &Hour, fate: Fate, filter: &[(&str, &str)]) -> Option<String> {
    let retry: Vec<(&str, &str)> = [("action", "retry")].into_iter().chain(filter.iter().copied()).collect();
    matches!(fate, Fate::Failed | Fate::Held).then(|| narrowed("/bulk", &retry, hour.since(), None))
}

/// Why messages of this provider (or of any) are held, failed or undelivered, the most frequent cause first.
pub(in crate::console) fn causes(hour: &Hour, provider_id: Option<&str>) -> Markup {
    let troubles = hour.troubles(provider_id);
    let (shown, others) = troubles.split_at(troubles.len().min(CAUSES_MAX));
    html! {
        @if !shown.is_empty() {
            div .wide tabindex="0" role="region" aria-label="Causes" { table {
                caption { "Causes, of all messages stored in the last hour" }
                thead {
                    tr {
                        th scope="col" .number { "Messages" } th scope="col" { "State" } th scope="col" { "Cause" }
                        th scope="col" { "Provider's code" }
                        @if provider_id.is_none() { th scope="col" { "Provider" } }
                        th scope="col" { "Go to" }
                    }
                }
                @let all = hour.troubles(None);
                tbody { @for trouble in shown { (row(hour, &all, trouble, provider_id.is_none())) } }
            } }
            @let more: i64 = others.iter().map(|trouble| trouble.messages).sum();
            @if more > 0 { p .quiet { "And " (thousands(more)) " for rarer causes." } }
        }
    }
}

fn row(hour: &Hour, all: &[Trouble], trouble: &Trouble, with_provider: bool) -> Markup {
    let code = match &trouble.cause.provider_code {
        Some(code) => Some(code.as_str()),
        // Else it is the state's word.
        None => Some(trouble.cause.code.as_str()).filter(|code| code.parse::<Reason>().is_ok()),
    };
    let provider = trouble.provider_id.as_deref().map(|id| ("provider_id", id));
    let cause = provider.into_iter().chain(code.map(|code| ("code", code)));
    let filter: Vec<(&str, &str)> = filter_of(trouble.fate).iter().copied().chain(cause).collect();
    // A filter cannot say "without": it may find others too.
    let is_found = |other: &&Trouble| {
        other.fate == trouble.fate
            && (trouble.provider_id.is_none() || other.provider_id == trouble.provider_id)
            && code.is_none_or(|code| {
                other.cause.code == code || other.cause.provider_code.as_deref() == Some(code)
            })
    };
    let found: i64 = all.iter().filter(is_found).map(|other| other.messages).sum();
    html! {
        tr {
            td .number { (thousands(trouble.messages)) }
            td { (word(trouble.fate)) }
            td { (sentence(meaning(&trouble.cause.code))) }
            td { (trouble.cause.provider_code.as_deref().unwrap_or_default()) }
            @if with_provider { td { (trouble.provider_id.as_deref().unwrap_or_default()) } }
            td {
                @if found == trouble.messages {
                    a href=(narrowed("/messages", &filter, hour.since(), None)) { "These messages" }
                    @if let Some(path) = retry_path(hour, trouble.fate, &filter) { " " a href=(path) { "Retry these…" } }
                }
            }
        }
    }
}

/// What can be done about all that the hour has of it, whatever the cause.
pub(in crate::console) fn remedies(hour: &Hour) -> Markup {
    let fates = [Fate::Failed, Fate::Undelivered, Fate::Held];
    html! {
        @for (fate, messages) in fates.map(|fate| (fate, hour.total(&[fate], None))) {
            @if messages > 0 {
                p .row {
                    @let is_exact = fate != Fate::Failed || hour.total(&[Fate::Canceled], None) == 0;
                    @let path = narrowed("/messages", filter_of(fate), hour.since(), None);
                    (linked(is_exact.then_some(path.as_str()), &html! { (thousands(messages)) " " (word(fate)) " in all" }))
                    @if let Some(path) = retry_path(hour, fate, filter_of(fate)) { a href=(path) { "Retry all of them…" } }
                }
            }
        }
    }
}
