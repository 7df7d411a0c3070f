//! What follows a commit: processors are woken and conversations move up their list. Both are hints, coalesced,
//! outside the message's transaction; losing one costs time only.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use app_db::Pool;
use tokio::sync::Notify;
use tokio::time::Instant;
use uuid::Uuid;

/// Between two NOTIFY; the first after a pause goes at once.
const NOTIFY_INTERVAL: Duration = Duration::from_millis(5);
const TOUCH_INTERVAL: Duration = Duration::from_secs(1);
/// A round of touches is followed by a rest of so many times what it took: a touch moves its row in every index of
/// `conversations`, and when thousands are active each second, their order within seconds is nobody's concern.
const TOUCH_REST: u32 = 20;
/// Above this, activity goes unnoted rather than memory.
const TOUCHED_MAX: usize = 50_000;
const TOUCH_BATCH: usize = 1_000;

pub(crate) struct AfterCommit {
    /// A processor in this process.
    in_process: Arc<Notify>,
    due: Notify,
    active: Notify,
    touched: Mutex<Touched>,
}

/// Conversations in which something happened, each with the number of its last touch: the later, the higher.
#[derive(Default)]
struct Touched {
    last_number: u64,
    numbers: HashMap<Uuid, u64>,
}

impl Touched {
    fn add(&mut self, id: Uuid) {
        if self.numbers.len() < TOUCHED_MAX || self.numbers.contains_key(&id) {
            self.last_number += 1;
            self.numbers.insert(id, self.last_number);
        }
    }

    /// All of them, in the order of their last touch.
    fn take(&mut self) -> Vec<Uuid> {
        let mut numbered: Vec<(Uuid, u64)> = mem::take(&mut self.numbers).into_iter().collect();
        numbered.sort_unstable_by_key(|(_, number)| *number);
        numbered.into_iter().map(|(id, _)| id).collect()
    }
}

impl AfterCommit {
    pub(crate) fn new(in_process: Arc<Notify>) -> Self {
        Self { in_process, due: Notify::new(), active: Notify::new(), touched: Mutex::default() }
    }

    /// Something is due now.
    pub(crate) fn wake(&self) {
        self.in_process.notify_one();
        self.due.notify_one();
    }

    /// Something happened in these conversations.
    pub(crate) fn touch(&self, conversation_ids: impl Iterator<Item = Uuid>) {
        let mut touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        conversation_ids.for_each(|id| touched.add(id));
        drop(touched);
        self.active.notify_one();
    }

    /// Runs until it is dropped.
    pub(crate) async fn notify_processors(&self, pool: &Pool) {
        loop {
            self.due.notified().await;
            let notified = async { app_db::wake::notify(&app_db::pool::get(pool).await?).await };
            if let Err(error) = notified.await {
                tracing::debug!(error = %error, "processors were not notified; they find the work by polling");
            }
            tokio::time::sleep(NOTIFY_INTERVAL).await;
        }
    }

    /// Runs until it is dropped.
    pub(crate) async fn touch_conversations(&self, pool: &Pool) {
        loop {
            self.active.notified().await;
            let began = Instant::now();
            let ids = self.touched.lock().unwrap_or_else(PoisonError::into_inner).take();
            for batch in ids.chunks(TOUCH_BATCH) {
                let touched =
                    async { app_db::conversations::touch(&app_db::pool::get(pool).await?, batch).await };
                if let Err(error) = touched.await {
                    tracing::debug!(error = %error, "activity of conversations was not noted");
                }
            }
            tokio::time::sleep(TOUCH_INTERVAL.max(began.elapsed() * TOUCH_REST)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn touched_conversations_come_once_each_in_the_order_of_their_last_activity() {
        let [first, second] = [1, 2].map(Uuid::from_u128);
        let mut touched = Touched::default();
        [first, second, first].into_iter().for_each(|id| touched.add(id));
        assert_eq!(touched.take(), [second, first]);
        assert!(touched.take().is_empty());
    }
}
