//! What was accepted, and every call that was seen. In memory; the file behind it is `ledger/file.rs`.
//! Locks are held for pushes and pointer copies only: the simulator is the sink of load tests.

mod file;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use uuid::Uuid;

use crate::kind::Kind;
use crate::message::{Accepted, Answered, Call};
use file::LedgerFile;

/// The ledger of a simulator.
#[derive(Debug)]
pub(crate) struct Ledger {
    state: Mutex<State>,
    count: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct State {
    messages: Vec<Arc<Accepted>>,
    by_provider_message_id: HashMap<Box<str>, usize>,
    message_ids: HashSet<Uuid>,
    duplicates: usize,
    calls: Vec<Call>,
    calls_by_answer: HashMap<Answered, usize>,
    file: Option<LedgerFile>,
    clearings: u64,
}

/// Counts alone.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Summary {
    pub count: usize,
    pub distinct_message_ids: usize,
    /// Messages whose sender's id had been accepted before.
    pub duplicates: usize,
    pub calls: usize,
    pub calls_by_answer: BTreeMap<String, usize>,
}

/// Names a call in the ledger; void after the ledger was cleared.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallNumber {
    clearing: u64,
    index: usize,
}

impl Ledger {
    /// Opens the file, if there is one. Returns also the messages whose receipts were not all delivered.
    pub(crate) fn open(path: Option<&Path>) -> io::Result<(Self, Vec<Arc<Accepted>>)> {
        let mut state = State::default();
        let mut unfinished = Vec::new();
        if let Some(path) = path {
            let (file, messages, finished) = LedgerFile::open(path)?;
            for message in messages {
                let message = Arc::new(message);
                if !finished.contains(message.receipts_key().as_str()) {
                    unfinished.push(Arc::clone(&message));
                }
                state.push(message);
            }
            state.file = Some(file);
        }
        let count = watch::Sender::new(state.messages.len());
        Ok((Self { state: Mutex::new(state), count }, unfinished))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records accepted messages, in the file first.
    pub(crate) fn accept(&self, messages: &[Arc<Accepted>]) -> io::Result<()> {
        let count = {
            let mut state = self.state();
            if let Some(file) = &mut state.file {
                file.append_messages(messages)?;
            }
            for message in messages {
                state.push(Arc::clone(message));
            }
            state.messages.len()
        };
        self.count.send_replace(count);
        Ok(())
    }

    /// Notes that a message has nothing more to report.
    pub(crate) fn finish(&self, message: &Accepted) -> io::Result<()> {
        match &mut self.state().file {
            Some(file) => file.append_finished(message.receipts_key()),
            None => Ok(()),
        }
    }

    pub(crate) fn begin_call(&self, call: Call) -> CallNumber {
        let mut state = self.state();
        *state.calls_by_answer.entry(call.answer).or_default() += 1;
        state.calls.push(call);
        CallNumber { clearing: state.clearings, index: state.calls.len() - 1 }
    }

    pub(crate) fn end_call(&self, number: CallNumber, answer: Answered) {
        let mut state = self.state();
        if number.clearing != state.clearings {
            return;
        }
        let Some(call) = state.calls.get_mut(number.index) else { return };
        let before = std::mem::replace(&mut call.answer, answer);
        if let Some(count) = state.calls_by_answer.get_mut(&before) {
            *count = count.saturating_sub(1);
        }
        *state.calls_by_answer.entry(answer).or_default() += 1;
    }

    /// The newest messages that pass, oldest first.
    pub(crate) fn messages(&self, limit: usize, pass: impl Fn(&Accepted) -> bool) -> Vec<Arc<Accepted>> {
        let mut newest: Vec<_> =
            self.state().messages.iter().rev().filter(|message| pass(message)).take(limit).cloned().collect();
        newest.reverse();
        newest
    }

    pub(crate) fn message(&self, provider_message_id: &str) -> Option<Arc<Accepted>> {
        let state = self.state();
        let index = *state.by_provider_message_id.get(provider_message_id)?;
        state.messages.get(index).cloned()
    }

    /// The newest message of a provider.
    pub(crate) fn last_of(&self, kind: Kind, account: usize) -> Option<Arc<Accepted>> {
        let of_it = |message: &&Arc<Accepted>| message.kind == kind && message.account == account;
        self.state().messages.iter().rev().find(of_it).cloned()
    }

    /// The newest calls that pass, oldest first.
    pub(crate) fn calls(&self, limit: usize, pass: impl Fn(&Call) -> bool) -> Vec<Call> {
        let mut newest: Vec<Call> =
            self.state().calls.iter().rev().filter(|call| pass(call)).take(limit).cloned().collect();
        newest.reverse();
        newest
    }

    pub(crate) fn each_call(&self, visit: impl FnMut(&Call)) {
        self.state().calls.iter().for_each(visit);
    }

    pub(crate) fn summary(&self) -> Summary {
        let state = self.state();
        let answers = state.calls_by_answer.iter().filter(|&(_, &count)| count > 0);
        Summary {
            count: state.messages.len(),
            distinct_message_ids: state.message_ids.len(),
            duplicates: state.duplicates,
            calls: state.calls.len(),
            calls_by_answer: answers.map(|(answer, &count)| (answer.to_string(), count)).collect(),
        }
    }

    /// Follows the number of accepted messages.
    pub(crate) fn watch_count(&self) -> watch::Receiver<usize> {
        self.count.subscribe()
    }

    pub(crate) fn clear(&self) -> io::Result<()> {
        {
            let mut state = self.state();
            let mut file = state.file.take();
            if let Some(file) = &mut file {
                file.truncate()?;
            }
            *state = State { file, clearings: state.clearings + 1, ..State::default() };
        }
        self.count.send_replace(0);
        Ok(())
    }
}

impl State {
    fn push(&mut self, message: Arc<Accepted>) {
        if let Some(id) = message.message_id
            && !self.message_ids.insert(id)
        {
            self.duplicates += 1;
        }
        self.by_provider_message_id.insert(message.provider_message_id.clone(), self.messages.len());
        self.messages.push(message);
    }
}
