//! Receipts and replies on their way: one queue for all messages, ordered by due time, and a bounded number of
//! webhook calls at once. A message has one entry at a time; its next receipt is queued when the one before is
//! delivered, so receipts of a message arrive in order and half a million of them are half a million pointers.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::kind::{Hook, Inbound};
use crate::message::Accepted;
use crate::numbers;
use crate::simulator::Shared;

/// Tries of one webhook call. The waits between them double from 100 ms: 12.7 s in all.
const TRIES_MAX: u8 = 8;
/// Events in one Event Webhook call.
const BATCH_MAX: usize = 100;

#[derive(Debug, Default)]
pub(crate) struct Schedule {
    queue: Mutex<Queue>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    heap: BinaryHeap<Errand>,
    next_number: u64,
}

/// Something to deliver about a message.
#[derive(Clone, Debug)]
struct Errand {
    due: Instant,
    /// Keeps errands of one due time in order.
    number: u64,
    accepted_at: Instant,
    tries: u8,
    /// The reply's own id, made once, so that a repeated delivery is the same message. Nothing: a receipt.
    reply_id: Option<Box<str>>,
    message: Arc<Accepted>,
}

impl Ord for Errand {
    /// The heap gives its greatest: that is to be the earliest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.due, other.number).cmp(&(self.due, self.number))
    }
}

impl PartialOrd for Errand {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Errand {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Errand {}

impl Schedule {
    fn push(&self, mut errand: Errand) {
        let is_first = {
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            errand.number = queue.next_number;
            queue.next_number += 1;
            let is_first = queue.heap.peek().is_none_or(|first| errand.due < first.due);
            queue.heap.push(errand);
            is_first
        };
        if is_first {
            self.wake.notify_one();
        }
    }

    /// What is due, or when something will be. Neighbouring receipts of an account share a call, where its kind has
    /// such calls.
    fn take_due(&self, now: Instant) -> Result<Vec<Errand>, Option<Instant>> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        match queue.heap.peek() {
            Some(first) if first.due <= now => {}
            first => return Err(first.map(|errand| errand.due)),
        }
        let mut batch: Vec<Errand> = queue.heap.pop().into_iter().collect();
        while batch.len() < BATCH_MAX
            && let Some(next) = queue.heap.peek()
            && next.due <= now
            && batch.first().is_some_and(|first| first.shares_a_call_with(next))
        {
            batch.extend(queue.heap.pop());
        }
        Ok(batch)
    }
}

impl Errand {
    fn shares_a_call_with(&self, other: &Self) -> bool {
        self.message.kind.protocol().batches_receipts()
            && self.reply_id.is_none()
            && other.reply_id.is_none()
            && self.message.kind == other.message.kind
            && self.message.account == other.message.account
    }
}

/// Queues what a freshly accepted message has to report: its first receipt, or else its reply.
pub(crate) fn begin(shared: &Shared, message: Arc<Accepted>) {
    let now = Instant::now();
    let done = if reports(shared, &message) { 0 } else { message.receipts() };
    message.receipts_done.store(done, SeqCst);
    queue_next(shared, message, now);
}

fn reports(shared: &Shared, message: &Accepted) -> bool {
    let kind = message.kind;
    let account = shared.accounts(kind.as_str()).get(message.account);
    shared.options.receipts.enabled
        && !message.plan.none
        && account.is_some_and(|account| kind.protocol().receipt_url(account, message).is_some())
}

/// Queues the next receipt; after the last one the reply, and the file hears that the receipts are done.
fn queue_next(shared: &Shared, message: Arc<Accepted>, accepted_at: Instant) {
    let receipts = &shared.options.receipts;
    let after_ms = match message.receipts_done.load(SeqCst) {
        done if done < message.receipts() => match done {
            0 => receipts.sent_after_ms,
            // Who reads it does so at once.
            _ => receipts.delivered_after_ms,
        },
        _ => {
            if let Err(problem) = shared.ledger.finish(&message) {
                tracing::error!(%problem, "the ledger's file cannot be written");
            }
            if shared.options.auto_reply.enabled {
                queue_reply(shared, message, accepted_at);
            }
            return;
        }
    };
    let due = accepted_at + Duration::from_millis(after_ms.saturating_add(message.plan.late_ms));
    shared.schedule.push(Errand { due, number: 0, accepted_at, tries: 0, reply_id: None, message });
}

fn queue_reply(shared: &Shared, message: Arc<Accepted>, accepted_at: Instant) {
    let due = Instant::now() + Duration::from_millis(shared.options.auto_reply.after_ms);
    let reply_id = Some(shared.hex_id().into());
    shared.schedule.push(Errand { due, number: 0, accepted_at, tries: 0, reply_id, message });
}

/// Delivers all receipts of a message before its call is answered; what follows them is queued as usual.
pub(crate) async fn deliver_now(shared: &Shared, message: &Arc<Accepted>) {
    if reports(shared, message) {
        for done in 0..message.receipts() {
            message.receipts_done.store(done, SeqCst);
            let _ = post_receipts(shared, &[message]).await;
        }
    }
    message.receipts_done.store(message.receipts(), SeqCst);
    queue_next(shared, Arc::clone(message), Instant::now());
}

/// Works the queue off until `ended`.
pub(crate) async fn run(shared: Arc<Shared>, ended: CancellationToken) {
    let slots = Arc::new(Semaphore::new(shared.options.max_deliveries.max(1)));
    let mut running = JoinSet::new();
    loop {
        let slot = tokio::select! {
            () = ended.cancelled() => return,
            Some(_) = running.join_next() => continue,
            slot = Arc::clone(&slots).acquire_owned() => slot,
        };
        let batch = loop {
            let due = match shared.schedule.take_due(Instant::now()) {
                Ok(batch) => break batch,
                Err(due) => due,
            };
            tokio::select! {
                () = ended.cancelled() => return,
                () = shared.schedule.wake.notified() => {}
                () = until(due) => {}
            }
        };
        let shared = Arc::clone(&shared);
        running.spawn(async move {
            deliver(&shared, batch).await;
            drop(slot);
        });
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

async fn deliver(shared: &Shared, batch: Vec<Errand>) {
    let Some(first) = batch.first() else { return };
    let is_taken = match &first.reply_id {
        Some(reply_id) => post_reply(shared, &first.message, reply_id).await,
        None => {
            let messages: Vec<_> = batch.iter().map(|errand| &errand.message).collect();
            post_receipts(shared, &messages).await
        }
    };
    for mut errand in batch {
        errand.tries += 1;
        if !is_taken && errand.tries < TRIES_MAX {
            errand.due = Instant::now() + Duration::from_millis(100 << (errand.tries - 1));
            shared.schedule.push(errand);
            continue;
        }
        if !is_taken {
            tracing::warn!(
                kind = errand.message.kind.as_str(),
                provider_message.id = &*errand.message.provider_message_id,
                "a webhook was given up: its target refused it {TRIES_MAX} times"
            );
        }
        if errand.reply_id.is_none() {
            errand.message.receipts_done.fetch_add(1, SeqCst);
            queue_next(shared, errand.message, errand.accepted_at);
        }
    }
}

/// Whether the target took them. All messages are of one account; more than one only where the kind batches.
async fn post_receipts(shared: &Shared, messages: &[&Arc<Accepted>]) -> bool {
    let Some(first) = messages.first() else { return true };
    let protocol = first.kind.protocol();
    let account = shared.accounts(first.kind.as_str()).get(first.account);
    let url = account.and_then(|account| protocol.receipt_url(account, first));
    let (Some(account), Some(url)) = (account, url) else { return true };
    let messages: Vec<&Accepted> = messages.iter().map(|message| &***message).collect();
    for post in protocol.receipts(&Hook { shared, account, url: &url }, &messages) {
        if !protocol.is_taken(&shared.poster.post(post).await) {
            return false;
        }
    }
    true
}

/// True also where there is nobody to reply to.
async fn post_reply(shared: &Shared, message: &Accepted, reply_id: &str) -> bool {
    let protocol = message.kind.protocol();
    let account = shared.accounts(message.kind.as_str()).get(message.account);
    let url = account.and_then(|account| protocol.inbound_url(account, Some(message)));
    let (Some(account), Some(url)) = (account, url) else { return true };
    let is_mail = &*message.channel == "email";
    if message.from.is_empty() || (!is_mail && !numbers::is_number(&message.from)) {
        // Nobody can answer an alphanumeric sender.
        return true;
    }
    let body = if is_mail { reply_text(&without_tags(&message.body)) } else { reply_text(&message.body) };
    let subject = message.subject.as_deref().map(|subject| format!("Re: {subject}"));
    let answered = is_mail.then(|| protocol.arrived_as(message));
    let inbound = Inbound {
        id: &protocol.inbound_id(reply_id, false),
        in_reply_to: answered.as_deref(),
        from: &message.to,
        to: &message.from,
        subject: subject.as_deref().unwrap_or_default(),
        body: &body,
        date: message.received_at,
        ..Inbound::default()
    };
    let post = protocol.inbound(&Hook { shared, account, url: &url }, &inbound);
    protocol.is_taken(&shared.poster.post(post).await)
}

/// Enough to quote the first words of HTML; not a sanitizer.
fn without_tags(body: &str) -> String {
    let mut text = String::new();
    let mut is_tag = false;
    for character in body.chars() {
        match character {
            '<' => is_tag = true,
            '>' if is_tag => {
                is_tag = false;
                text.push(' ');
            }
            _ if !is_tag => text.push(character),
            _ => {}
        }
    }
    text
}

/// What the person at the other end writes: they saw the first words.
fn reply_text(body: &str) -> String {
    const WORDS: usize = 6;
    let mut words = body.split_whitespace();
    let first: Vec<&str> = words.by_ref().take(WORDS).collect();
    let more = if words.next().is_some() { " ..." } else { "" };
    // A single word may be as long as a message.
    let first: String = first.join(" ").chars().take(80).collect();
    format!("Got it: \"{first}{more}\"")
}

#[cfg(test)]
mod tests {
    use super::{reply_text, without_tags};

    #[test]
    fn tags_are_not_quoted() {
        assert_eq!(
            without_tags("<p>Hello <b>you</b></p>").split_whitespace().collect::<Vec<_>>(),
            ["Hello", "you"]
        );
    }

    #[test]
    fn a_reply_quotes_the_first_words() {
        assert_eq!(reply_text("Hello"), "Got it: \"Hello\"");
        assert_eq!(
            reply_text("one two  three four five six seven"),
            "Got it: \"one two three four five six ...\""
        );
        assert_eq!(reply_text(&"x".repeat(1600)).chars().count(), 90);
    }
}
