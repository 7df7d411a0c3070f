//! Tasks that must run as long as their process works. One that ends or panics without being told to is reported, so
//! that its binary ends with an error and is started again, instead of going on without it.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt;
use tokio::sync::watch;

/// A task that ended although its process goes on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the task `{task}` ended unexpectedly: {why}")]
pub struct TaskEnded {
    pub task: &'static str,
    pub why: String,
}

/// Watches the tasks of a process. Clones watch together.
#[derive(Clone, Debug)]
pub struct Supervisor {
    first_failure: Arc<watch::Sender<Option<TaskEnded>>>,
    is_stopping: Arc<AtomicBool>,
    /// The task that panics when it starts; for tests.
    fault: Option<&'static str>,
}

impl Default for Supervisor {
    fn default() -> Self {
        Self {
            first_failure: Arc::new(watch::channel(None).0),
            is_stopping: Arc::new(AtomicBool::new(false)),
            fault: None,
        }
    }
}

impl Supervisor {
    /// Makes the task of this name panic when it starts, to test what follows.
    pub fn with_fault(task: &'static str) -> Self {
        Self { fault: Some(task), ..Self::default() }
    }

    /// The task under supervision. A task that is aborted or dropped is not reported.
    pub fn guard<F>(&self, name: &'static str, task: F) -> impl Future<Output = ()> + Send + use<F>
    where
        F: Future<Output = ()> + Send,
    {
        let supervisor = self.clone();
        async move {
            let faulty = async {
                assert!(supervisor.fault != Some(name), "a fault was injected");
                task.await;
            };
            let why = match AssertUnwindSafe(faulty).catch_unwind().await {
                Ok(()) if supervisor.is_stopping.load(Ordering::Acquire) => return,
                Ok(()) => "it returned".to_owned(),
                Err(panic) => format!("it panicked: {}", message(panic.as_ref())),
            };
            supervisor.report(TaskEnded { task: name, why });
        }
    }

    /// From now on tasks may return.
    pub fn expect_ends(&self) {
        self.is_stopping.store(true, Ordering::Release);
    }

    /// Resolves when the first task has failed.
    pub async fn failure(&self) -> TaskEnded {
        let mut failures = self.first_failure.subscribe();
        let failure = failures.wait_for(Option::is_some).await.ok().and_then(|failure| failure.clone());
        match failure {
            Some(failure) => failure,
            // The sender lives as long as this supervisor: waiting cannot fail.
            None => std::future::pending().await,
        }
    }

    fn report(&self, failure: TaskEnded) {
        tracing::error!(task = failure.task, why = failure.why, "a task ended unexpectedly");
        self.first_failure.send_if_modified(|first| {
            let is_first = first.is_none();
            if is_first {
                *first = Some(failure);
            }
            is_first
        });
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_and_an_early_return_are_reported_and_the_first_counts() {
        let supervisor = Supervisor::default();
        supervisor.guard("returns", async {}).await;
        supervisor.guard("panics", async { panic!("out of order") }).await;
        let failure = supervisor.failure().await;
        assert_eq!(failure.to_string(), "the task `returns` ended unexpectedly: it returned");

        let supervisor = Supervisor::default();
        supervisor.guard("panics", async { panic!("out of {}", "order") }).await;
        assert_eq!(supervisor.failure().await.why, "it panicked: out of order");
    }

    #[tokio::test]
    async fn a_task_may_return_once_the_process_stops_and_an_aborted_one_is_not_reported() {
        let supervisor = Supervisor::default();
        drop(supervisor.guard("dropped", std::future::pending()));
        supervisor.expect_ends();
        supervisor.guard("returns", async {}).await;
        assert!(supervisor.failure().now_or_never().is_none());
    }

    #[tokio::test]
    async fn a_fault_is_injected_into_the_task_of_its_name_alone() {
        let supervisor = Supervisor::with_fault("second");
        supervisor.expect_ends();
        supervisor.guard("first", async {}).await;
        assert!(supervisor.failure().now_or_never().is_none());
        supervisor.guard("second", async {}).await;
        assert_eq!(supervisor.failure().await.task, "second");
    }
}
