//! How the whole fares, in a line on every page: what does not work, what waits for too long, what is kept.

use std::time::Duration;

use app_db::activity::{self, Late};
use app_db::provider_pauses::{self, ProviderPause};
use app_db::provider_states::{self, ProviderState};
use app_db::{Client, quarantine};
use jiff::Timestamp;
use maud::{Markup, html};

use super::{Figures, Known};
use crate::console::providers::condition;
use crate::console::words::{Tone, span, thousands};

/// Of its place in a page.
pub(in crate::console) const ID: &str = "pulse";
/// Waiting for so long is normal: for a claim, for a provider's rate.
const LATE_AFTER: Duration = Duration::from_secs(5);

/// What is older than this is not shown: that nothing waited yesterday says nothing.
const GOOD_FOR_S: i64 = 15;

/// How providers fare, and what is kept.
#[derive(Debug)]
pub(in crate::console) struct Health {
    states: Vec<ProviderState>,
    pauses: Vec<ProviderPause>,
    quarantined: i64,
}

impl Figures for Health {
    const KEPT_FOR: Duration = Duration::from_millis(400);

    async fn count(client: &Client, _: Option<&Self>, _: Timestamp) -> Result<Self, app_db::Error> {
        Ok(Self {
            states: provider_states::all(client).await?,
            pauses: provider_pauses::all(client).await?,
            quarantined: quarantine::counts(client).await?.iter().map(|(_, _, count)| count).sum(),
        })
    }
}

impl Figures for Late {
    const KEPT_FOR: Duration = Duration::from_secs(1);
    /// It is asked for on every page, and reads the whole outbox.
    const REST: u32 = 30;

    async fn count(client: &Client, _: Option<&Self>, _: Timestamp) -> Result<Self, app_db::Error> {
        activity::late(client, LATE_AFTER).await
    }
}

impl Health {
    /// Providers that do not just work, each with what it is in.
    fn troubled(&self) -> Vec<(&str, &'static str, Tone)> {
        let told = self.states.iter().map(|state| state.provider_id.as_str());
        let mut ids: Vec<&str> =
            told.chain(self.pauses.iter().map(|pause| pause.provider_id.as_str())).collect();
        ids.sort_unstable();
        ids.dedup();
        let of = |id: &str| {
            let states: Vec<_> = self.states.iter().filter(|state| state.provider_id == id).collect();
            condition(&states, self.pauses.iter().find(|pause| pause.provider_id == id))
        };
        let conditions = ids.into_iter().map(|id| (id, of(id)));
        conditions
            .map(|(id, (word, tone))| (id, word, tone))
            .filter(|(_, _, tone)| *tone != Tone::Good)
            .collect()
    }
}

pub(in crate::console) fn line(
    health: Option<&Known<Health>>,
    late: Option<&Known<Late>>,
    now: Timestamp,
) -> Markup {
    let is_good = |counted_at: Timestamp| now.duration_since(counted_at).as_secs() <= GOOD_FOR_S;
    let late = late.filter(|late| is_good(late.counted_at)).map(|late| *late.figures);
    let Some(health) = health.filter(|health| is_good(health.counted_at)) else { return html! {} };
    let Health { states, quarantined, .. } = &*health.figures;
    let troubled = health.figures.troubled();
    let is_well = !states.is_empty() && troubled.is_empty() && late.is_some_and(|late| late.messages == 0);
    html! {
        @if states.is_empty() {
            a .chip .bad href="/providers" { "No processor runs: nothing is sent" }
        }
        @for (id, word, tone) in troubled {
            a class={ "chip " (tone.class()) } href={ "/providers#p-" (id) } { (id) " " (word) }
        }
        @if let Some(late) = late.filter(|late| late.messages > 0) {
            a .chip .waiting href="/outbox" {
                (thousands(late.messages)) @if late.messages == 1 { " waits, for " } @else { " wait, the oldest for " }
                (span(late.oldest_s as i64))
            }
        }
        @if is_well { a .chip .good href="/outbox" { "All works, nothing is late" } }
        @if *quarantined > 0 {
            a .chip href="/quarantine" { (thousands(*quarantined)) " in quarantine" }
        }
    }
}
