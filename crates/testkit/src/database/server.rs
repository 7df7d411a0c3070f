//! The PostgreSQL that this process's tests share.

use std::future::Future;
use std::sync::OnceLock;
use std::sync::mpsc;
use std::thread;

use app_db::embedded::Embedded;

use super::template;

#[derive(Debug)]
pub(super) struct Server {
    pub(super) admin_url: String,
    pub(super) template: String,
}

/// Started at first use.
///
/// # Panics
/// When it cannot be.
pub(super) fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let (ready, started) = mpsc::channel();
        // A thread with its own runtime: the server must outlive the runtime of the test that came first.
        thread::spawn(move || block_on(run(ready)));
        started.recv().expect("a PostgreSQL for tests; its error is above")
    })
}

async fn run(ready: mpsc::Sender<Server>) {
    let named = ["TEST_DATABASE_URL", "DATABASE_URL"].map(|name| std::env::var(name).ok());
    let (admin_url, embedded) = match named.into_iter().flatten().find(|url| !url.is_empty()) {
        Some(url) => {
            template::drop_leftovers(&url).await;
            (url, None)
        }
        None => {
            let embedded = Embedded::start_throwaway().await.unwrap_or_else(|error| panic!("{error}"));
            (embedded.url(), Some(embedded))
        }
    };
    let template = template::ensure(&admin_url).await;
    ready.send(Server { admin_url, template }).expect("the test waits");
    if embedded.is_some() {
        // Held until the process ends; then its supervisor stops it and removes its files.
        std::future::pending::<()>().await;
    }
}

pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(future)
}
