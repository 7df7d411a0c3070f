//! Scripted faults: which rule meets a call, and what it asks for. Pure bookkeeping; `answer.rs`, `server.rs` and
//! the schedule make them felt.

mod fault;
mod magic;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::kind::Kind;
use crate::message::ReceiptPlan;

pub use fault::{Code, Fault, OutageForm, WaitForm};
pub use magic::{MAGIC, Magic};

/// Which calls a rule meets: those that fit every field that is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Matcher {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// The account's name: Twilio's account SID, SendGrid's API key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_prefix: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}

/// A call, as rules see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    pub kind: Kind,
    pub account: &'a str,
    pub to: &'a str,
    pub from: &'a str,
    /// What stays the same over the attempts of a message.
    pub message_key: &'a str,
}

impl Matcher {
    fn fits(&self, subject: &Subject<'_>) -> bool {
        let is =
            |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
        self.kind.is_none_or(|kind| kind == subject.kind)
            && is(&self.account, subject.account)
            && is(&self.to, subject.to)
            && is(&self.from, subject.from)
            && self.to_prefix.as_deref().is_none_or(|prefix| subject.to.starts_with(prefix))
    }
}

/// A fault and whom it meets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    #[serde(default, rename = "match")]
    pub matches: Matcher,
    pub fault: Fault,
    /// After how many calls the rule is spent. Nothing: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
    /// The share of fitting calls that it meets, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probability: Option<f64>,
}

/// A rule in force.
#[derive(Clone, Debug, Serialize)]
pub struct ActiveRule {
    pub id: u64,
    #[serde(flatten)]
    pub rule: Rule,
    /// Calls that it met.
    pub hits: u64,
    /// Of an outage, as of when it was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends_in_s: Option<f64>,
    #[serde(skip)]
    until: Option<Instant>,
}

/// Why a rule is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    #[error("`probability` must be between 0 and 1")]
    Probability,
    #[error("`for_s` must be between 0 and 86400")]
    Duration,
    #[error("`status` must be between 400 and 599")]
    Status,
    #[error(
        "an outage that refuses connections meets every call: it takes no `match`, `times` or `probability`"
    )]
    RefusalIsTotal,
}

/// What a call meets: at most one fault of the call itself, and what its receipts will do.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Met {
    pub call: Option<Fault>,
    pub plan: ReceiptPlan,
    pub names: Vec<String>,
}

/// The rules of a simulator.
#[derive(Debug)]
pub(crate) struct Faults(Mutex<State>);

#[derive(Debug)]
struct State {
    rules: Vec<ActiveRule>,
    next_id: u64,
    dice: fastrand::Rng,
    /// Calls of messages to magic recipients, by message.
    magic_calls: HashMap<Box<str>, u32>,
}

impl Faults {
    pub(crate) fn seeded(seed: u64) -> Self {
        let dice = fastrand::Rng::with_seed(seed);
        Self(Mutex::new(State { rules: Vec::new(), next_id: 1, dice, magic_calls: HashMap::new() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a rule in force; an outage runs from now.
    pub(crate) fn add(&self, rule: Rule) -> Result<ActiveRule, RuleError> {
        rule.check()?;
        let until = match rule.fault {
            Fault::Outage { for_s, .. } => Some(Instant::now() + Duration::from_secs_f64(for_s)),
            _ => None,
        };
        let mut state = self.state();
        let active = ActiveRule { id: state.next_id, rule, hits: 0, ends_in_s: None, until };
        state.next_id += 1;
        state.rules.push(active.clone());
        Ok(active)
    }

    pub(crate) fn list(&self) -> Vec<ActiveRule> {
        let mut state = self.state();
        state.drop_spent();
        let now = Instant::now();
        let seen = |rule: &ActiveRule| ActiveRule {
            ends_in_s: rule.until.map(|until| until.saturating_duration_since(now).as_secs_f64()),
            ..rule.clone()
        };
        state.rules.iter().map(seen).collect()
    }

    /// Removes one rule, or all; and forgets which messages met magic recipients.
    pub(crate) fn remove(&self, id: Option<u64>) -> usize {
        let mut state = self.state();
        let before = state.rules.len();
        state.rules.retain(|active| id.is_some_and(|id| id != active.id));
        if id.is_none() {
            state.magic_calls.clear();
        }
        before - state.rules.len()
    }

    /// Until when nobody is to listen.
    pub(crate) fn refusal_until(&self) -> Option<Instant> {
        let mut state = self.state();
        state.drop_spent();
        let refuses =
            |active: &&ActiveRule| matches!(active.rule.fault, Fault::Outage { how: OutageForm::Refuse, .. });
        state.rules.iter().filter(refuses).filter_map(|active| active.until).max()
    }

    /// What this call meets. The oldest fitting rule about the call wins; rules about receipts add up.
    pub(crate) fn meet(&self, subject: &Subject<'_>) -> Met {
        let mut met = Met::default();
        let mut guard = self.state();
        let state = &mut *guard;
        if !state.rules.is_empty() {
            state.drop_spent();
            for active in &mut state.rules {
                let is_about_receipts = active.rule.fault.is_about_receipts();
                if (met.call.is_some() && !is_about_receipts) || !active.rule.matches.fits(subject) {
                    continue;
                }
                if active.rule.probability.is_some_and(|share| state.dice.f64() >= share) {
                    continue;
                }
                active.hits += 1;
                met.add(active.rule.fault.clone());
            }
        }
        if let Some(magic) = magic::of(subject) {
            let calls = state.magic_calls.entry(subject.message_key.into()).or_default();
            *calls += 1;
            if met.call.is_none() && magic.first_calls.is_none_or(|first| *calls <= first) {
                met.add(magic.fault.clone());
            }
        }
        met
    }
}

impl State {
    fn drop_spent(&mut self) {
        let now = Instant::now();
        self.rules.retain(|active| {
            active.rule.times.is_none_or(|times| active.hits < u64::from(times))
                && active.until.is_none_or(|until| now < until)
        });
    }
}

impl Met {
    fn add(&mut self, fault: Fault) {
        self.names.push(fault.name().to_owned());
        match fault {
            Fault::DuplicateReceipts { copies } => self.plan.copies = copies,
            Fault::LateReceipts { delay_ms } => self.plan.late_ms = delay_ms,
            Fault::ReceiptsBeforeAnswer => self.plan.before_answer = true,
            Fault::NoReceipts => self.plan.none = true,
            Fault::Read => self.plan.read = true,
            Fault::Undelivered { code } => {
                self.plan.undelivered = Some(code.map(|code| code.to_string()).unwrap_or_default());
            }
            fault => self.call = Some(fault),
        }
    }
}

impl Rule {
    fn check(&self) -> Result<(), RuleError> {
        if self.probability.is_some_and(|share| !(0.0..=1.0).contains(&share)) {
            return Err(RuleError::Probability);
        }
        let for_s = match self.fault {
            Fault::Hang { for_s, .. } | Fault::SlowBody { for_s } | Fault::Outage { for_s, .. } => for_s,
            _ => 0.0,
        };
        if !(0.0..=86_400.0).contains(&for_s) {
            return Err(RuleError::Duration);
        }
        if let Fault::Status { status, .. } = self.fault
            && !(400..600).contains(&status)
        {
            return Err(RuleError::Status);
        }
        let is_partial =
            self.matches != Matcher::default() || self.times.is_some() || self.probability.is_some();
        if is_partial && matches!(self.fault, Fault::Outage { how: OutageForm::Refuse, .. }) {
            return Err(RuleError::RefusalIsTotal);
        }
        Ok(())
    }
}
