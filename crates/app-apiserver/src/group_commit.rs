//! Group commit: requests that arrive together share a transaction. A worker takes all that waits, writes it, and
//! answers; while it writes, the next group gathers. While nothing is written nobody waits: an idle queue is free.
//! Further workers write beside the first what is worth a transaction of its own, or what has waited long for it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use app_db::Error;
use futures_util::FutureExt;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Mutex, Notify, mpsc, oneshot};
use tokio_util::task::TaskTracker;

use crate::body::Share;
use crate::problem::Problem;

/// Larger groups gain nothing and answer their first member later.
const GROUP_MAX: usize = 500;

/// While another group is being written, one of fewer members waits for more or for that one's end: what a transaction
/// costs beside its rows is as much as a dozen of them.
const GROUP_WORTH: usize = 32;

/// But not longer than this after its first member: the other one may hang at a lock.
const GATHER_TIME: Duration = Duration::from_millis(50);

struct Waiting<T, R> {
    member: T,
    answer: oneshot::Sender<Result<R, Error>>,
    /// Of the memory for bodies; given back when the member is written, whether or not anybody waits.
    share: Share,
}

/// What waits to be committed. Bounded: when it is full, requests are turned away.
pub(crate) struct Queue<T, R> {
    sender: mpsc::Sender<Waiting<T, R>>,
}

impl<T, R> Clone for Queue<T, R> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone() }
    }
}

/// A member's place in a group.
pub(crate) struct Ticket<R>(oneshot::Receiver<Result<R, Error>>);

impl<T: Send + 'static, R: Send + 'static> Queue<T, R> {
    /// A queue of at most `capacity`, written by `workers` at a time; `write` answers for each member in order.
    /// The workers end when the queue is dropped and empty.
    pub(crate) fn start<W, F>(workers: usize, capacity: usize, tracker: &TaskTracker, write: W) -> Self
    where
        W: Fn(Vec<T>) -> F + Clone + Send + 'static,
        F: Future<Output = Vec<Result<R, Error>>> + Send + 'static,
    {
        let (sender, receiver) = mpsc::channel(capacity);
        let queue = Arc::new(Gathering {
            receiver: Mutex::new(receiver),
            writing: AtomicUsize::new(0),
            written: Notify::new(),
        });
        for _ in 0..workers {
            tracker.spawn(work(Arc::clone(&queue), write.clone()));
        }
        Self { sender }
    }

    /// Takes a place, or turns the request away. Once taken, the member is written whether or not anybody waits.
    pub(crate) fn enter(&self, member: T, share: Share) -> Result<Ticket<R>, Problem> {
        let (answer, result) = oneshot::channel();
        match self.sender.try_send(Waiting { member, answer, share }) {
            Ok(()) => Ok(Ticket(result)),
            Err(TrySendError::Full(_)) => Err(Problem::overloaded()),
            Err(TrySendError::Closed(_)) => Err(Problem::unavailable("the server is stopping")),
        }
    }

    /// Takes a place and waits for the commit.
    pub(crate) async fn commit(&self, member: T, share: Share) -> Result<R, Problem> {
        self.enter(member, share)?.committed().await
    }
}

impl<R> Ticket<R> {
    pub(crate) async fn committed(self) -> Result<R, Problem> {
        match self.0.await {
            Ok(result) => Ok(result?),
            // The worker broke in the middle: whether it was written is unknown.
            Err(_) => Err(Problem::internal()),
        }
    }
}

/// The workers' end of the queue.
struct Gathering<T, R> {
    receiver: Mutex<mpsc::Receiver<Waiting<T, R>>>,
    /// Groups that are being written.
    writing: AtomicUsize,
    /// One of them is.
    written: Notify,
}

impl<T, R> Gathering<T, R> {
    /// The next group to write; empty at the queue's end. One worker gathers, the others wait for it to go.
    async fn next(&self) -> Vec<Waiting<T, R>> {
        let mut group = Vec::new();
        let mut receiver = self.receiver.lock().await;
        if receiver.recv_many(&mut group, GROUP_MAX).await == 0 {
            return group;
        }
        // From the first member on: one deadline, however many arrive meanwhile.
        let deadline = tokio::time::Instant::now() + GATHER_TIME;
        while group.len() < GROUP_WORTH && self.writing.load(Ordering::Acquire) > 0 {
            let room = GROUP_MAX - group.len();
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(deadline) => break,
                () = self.written.notified() => {}
                more = receiver.recv_many(&mut group, room) => if more == 0 { break },
            }
        }
        self.writing.fetch_add(1, Ordering::AcqRel);
        group
    }

    fn end(&self) {
        self.writing.fetch_sub(1, Ordering::AcqRel);
        self.written.notify_one();
    }
}

async fn work<T, R, W, F>(queue: Arc<Gathering<T, R>>, write: W)
where
    W: Fn(Vec<T>) -> F,
    F: Future<Output = Vec<Result<R, Error>>>,
{
    loop {
        let group = queue.next().await;
        if group.is_empty() {
            return;
        }
        let (members, answers): (Vec<T>, Vec<_>) =
            group.into_iter().map(|waiting| (waiting.member, (waiting.answer, waiting.share))).unzip();
        // A panic costs this group its answers, not the worker.
        let results = AssertUnwindSafe(write(members)).catch_unwind().await;
        queue.end();
        let Ok(results) = results else {
            tracing::error!(group.size = answers.len(), "writing a group panicked");
            continue;
        };
        for ((answer, _share), result) in answers.into_iter().zip(results) {
            // Nobody waits any more where the client left.
            let _ = answer.send(result);
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::body::Budget;

    #[tokio::test]
    async fn what_gathers_while_a_group_is_written_is_written_together() {
        let (tracker, gate) = (TaskTracker::new(), Arc::new(Semaphore::new(0)));
        let (sizes, mut groups) = mpsc::unbounded_channel();
        let held = Arc::clone(&gate);
        let queue = Queue::start(1, 10, &tracker, move |group: Vec<u32>| {
            let (sizes, gate) = (sizes.clone(), Arc::clone(&held));
            async move {
                sizes.send(group.len()).unwrap();
                gate.acquire().await.unwrap().forget();
                group.into_iter().map(|n| Ok(n * 2)).collect()
            }
        });
        let first = queue.enter(1, Share::default()).ok().unwrap();
        assert_eq!(groups.recv().await, Some(1));
        let later: Vec<_> = (2..=4).map(|n| queue.enter(n, Share::default()).ok().unwrap()).collect();
        gate.add_permits(2);
        assert_eq!(groups.recv().await, Some(3));
        assert_eq!(first.committed().await.ok(), Some(2));
        for (ticket, expected) in later.into_iter().zip([4, 6, 8]) {
            assert_eq!(ticket.committed().await.ok(), Some(expected));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn beside_a_group_that_hangs_a_worthy_one_is_written_at_once_and_a_small_one_a_moment_later() {
        for (size, wait) in [(GROUP_WORTH, Duration::ZERO), (1, GATHER_TIME)] {
            let (sizes, mut groups) = mpsc::unbounded_channel();
            let queue = Queue::start(2, 100, &TaskTracker::new(), move |group: Vec<usize>| {
                sizes.send(group.len()).unwrap();
                std::future::pending::<Vec<Result<usize, Error>>>()
            });
            let enter = |n| drop(queue.enter(n, Share::default()).ok().unwrap());
            enter(0);
            assert_eq!(groups.recv().await, Some(1));
            let began = tokio::time::Instant::now();
            (0..size).for_each(enter);
            assert_eq!((groups.recv().await, began.elapsed()), (Some(size), wait));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_trickle_of_members_does_not_put_off_the_group_that_they_join() {
        let (sizes, mut groups) = mpsc::unbounded_channel();
        let queue = Queue::start(2, 100, &TaskTracker::new(), move |group: Vec<usize>| {
            sizes.send(group.len()).unwrap();
            std::future::pending::<Vec<Result<usize, Error>>>()
        });
        let enter = |n| drop(queue.enter(n, Share::default()).ok().unwrap());
        enter(0);
        assert_eq!(groups.recv().await, Some(1));
        let began = tokio::time::Instant::now();
        let mut arrivals = tokio::time::interval(GATHER_TIME / 5);
        let trickle = async {
            for n in 1..GROUP_WORTH {
                arrivals.tick().await;
                enter(n);
            }
            std::future::pending().await
        };
        let size = tokio::select! {
            size = groups.recv() => size.unwrap(),
            () = trickle => 0,
        };
        assert!((5..=6).contains(&size), "{size} members");
        assert_eq!(began.elapsed(), GATHER_TIME);
    }

    #[tokio::test]
    async fn a_full_queue_turns_away_with_503_and_a_dropped_one_is_emptied() {
        let (tracker, gate) = (TaskTracker::new(), Arc::new(Semaphore::new(0)));
        let held = Arc::clone(&gate);
        let (started, mut starts) = mpsc::unbounded_channel();
        let queue = Queue::start(1, 1, &tracker, move |group: Vec<u32>| {
            let (started, gate) = (started.clone(), Arc::clone(&held));
            async move {
                started.send(()).unwrap();
                gate.acquire().await.unwrap().forget();
                group.into_iter().map(Ok).collect()
            }
        });
        let written = queue.enter(1, Share::default()).ok().unwrap();
        starts.recv().await.unwrap();
        let waiting = queue.enter(2, Share::default()).ok().unwrap();
        assert_eq!(
            queue.enter(3, Share::default()).err().map(|problem| problem.status().as_u16()),
            Some(503)
        );
        drop(queue);
        tracker.close();
        gate.add_permits(2);
        tracker.wait().await;
        assert_eq!((written.committed().await.ok(), waiting.committed().await.ok()), (Some(1), Some(2)));
    }

    #[tokio::test]
    async fn a_body_keeps_its_share_of_the_memory_until_it_is_written() {
        let (tracker, gate, bodies) = (TaskTracker::new(), Arc::new(Semaphore::new(0)), Budget::of_units(1));
        let held = Arc::clone(&gate);
        let queue = Queue::start(1, 1, &tracker, move |group: Vec<u32>| {
            let gate = Arc::clone(&held);
            async move {
                gate.acquire().await.unwrap().forget();
                group.into_iter().map(Ok).collect()
            }
        });
        let no_head = http::Request::new(()).into_parts().0;
        let read = async || bodies.read(&no_head, Body::from(vec![b'x'; 20 << 10]), 1 << 20).await;
        // Nobody waits for the answer: the client left.
        drop(queue.enter(1, read().await.unwrap().share).ok().unwrap());
        assert_eq!(read().await.unwrap_err().status().as_u16(), 503);
        gate.add_permits(1);
        drop(queue);
        tracker.close();
        tracker.wait().await;
        assert!(read().await.is_ok());
    }
}
