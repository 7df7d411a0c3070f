#![allow(clippy::unwrap_used, reason = "a test reports by panicking")]

use super::*;

/// Beyond all limits of an orderly end: a test that reaches it has failed.
const TOO_LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_task_that_panics_ends_the_server_with_an_error_that_names_it() {
    let database = testkit::database().await;
    for task in TASKS {
        let config = Arc::new(Config::parse("", "app.toml", &|_| None).unwrap());
        let parts = Parts {
            pool: app_db::connect(&database.url, connections(&config)).unwrap(),
            config,
            metrics: Metrics::default(),
            clock: Clock::System,
            wake: Arc::new(Notify::new()),
            simulator_url: None,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let supervisor = Supervisor::with_fault(task);
        let running = run_supervised(parts, listener, CancellationToken::new(), supervisor);
        let error = timeout(TOO_LONG, running).await.unwrap().unwrap_err().to_string();
        assert!(error.contains(task) && error.contains("panicked"), "{error}");
    }
}
