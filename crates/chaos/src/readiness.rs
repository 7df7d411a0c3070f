//! What `/readyz` of a process answers over time.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::client::HttpClient;
use crate::figure::Figure;
use crate::process::Process;

const POLL: Duration = Duration::from_millis(100);
/// An answer that takes longer is none: an orchestrator does not wait longer either.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);

/// Asks until it is dropped.
#[derive(Debug)]
pub struct ReadinessLog {
    name: &'static str,
    changes: Arc<Mutex<Vec<(Instant, Answered)>>>,
    asking: JoinHandle<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answered {
    Ready,
    NotReady,
    Nothing,
    /// No such page, or an error.
    Other(u16),
}

impl ReadinessLog {
    pub fn start(name: &'static str, process: &Process) -> Self {
        let changes = Arc::default();
        let asking = tokio::spawn(ask(process.http().with_timeout(ANSWER_LIMIT), Arc::clone(&changes)));
        Self { name, changes, asking }
    }

    /// The figures of a fault that began at `began`.
    pub fn figures(&self, began: Instant) -> Vec<Figure> {
        let changes = self.since(began);
        let was_not_ready =
            changes.iter().any(|(_, answered)| matches!(answered, Answered::NotReady | Answered::Nothing));
        let is_ready = changes.last().is_some_and(|(_, answered)| *answered == Answered::Ready);
        vec![
            Figure::told(format!("{} /readyz", self.name), text(&changes)),
            Figure::exactly(format!("{}: not ready meanwhile", self.name), was_not_ready, true),
            Figure::exactly(format!("{}: ready in the end", self.name), is_ready, true),
        ]
    }

    /// Whether it answers that it is ready, now.
    pub fn is_ready(&self) -> bool {
        let changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        changes.last().is_some_and(|(_, answered)| *answered == Answered::Ready)
    }

    /// What it answered when the fault began, and every change since, with the time after it.
    fn since(&self, began: Instant) -> Vec<(Duration, Answered)> {
        let changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let first = changes.iter().rposition(|(at, _)| *at <= began).unwrap_or(0);
        changes
            .iter()
            .skip(first)
            .map(|(at, answered)| (at.saturating_duration_since(began), *answered))
            .collect()
    }
}

impl Drop for ReadinessLog {
    fn drop(&mut self) {
        self.asking.abort();
    }
}

async fn ask(http: HttpClient, changes: Arc<Mutex<Vec<(Instant, Answered)>>>) {
    let mut tick = interval(POLL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let answered = match http.get("/readyz").await {
            Ok(answer) if answer.status == 200 => Answered::Ready,
            Ok(answer) if answer.status == 503 => Answered::NotReady,
            Ok(answer) => Answered::Other(answer.status),
            Err(_) => Answered::Nothing,
        };
        let mut changes = changes.lock().unwrap_or_else(PoisonError::into_inner);
        if changes.last().is_none_or(|(_, last)| *last != answered) {
            changes.push((Instant::now(), answered));
        }
    }
}

fn text(changes: &[(Duration, Answered)]) -> String {
    let mut text = String::new();
    for (index, (after, answered)) in changes.iter().enumerate() {
        let word = match answered {
            Answered::Ready => "ready".to_owned(),
            Answered::NotReady => "not ready".to_owned(),
            Answered::Nothing => "no answer".to_owned(),
            Answered::Other(status) => format!("status {status}"),
        };
        let _ = match index {
            0 => write!(text, "{word}"),
            _ => write!(text, ", {word} after {:.1} s", after.as_secs_f64()),
        };
    }
    text
}
