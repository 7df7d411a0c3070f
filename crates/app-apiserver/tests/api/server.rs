//! A server in this process, on a database of its own.

use std::net::SocketAddr;
use std::sync::Arc;

use app_apiserver::{Parts, RunError, run};
use app_db::Pool;
use serde_json::{Value, json};
use service::metrics::Metrics;
use service::{Clock, Config};
use testkit::{Answer, HttpClient, TestDatabase};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const TWILIO_SID: &str = "AC00000000000000000000000000000001";
pub(crate) const TWILIO_TOKEN: &str = "twilio-token";
/// Of this machine: with it and simulated providers, a server without keys is open.
pub(crate) const PUBLIC_URL: &str = "https://msg.localhost";

pub(crate) const CONFIG: &str = r#"
[[providers]]
id = "twilio-main"
kind = "twilio"
account_sid = "AC00000000000000000000000000000001"
auth_token = "twilio-token"

[[providers]]
id = "sendgrid-main"
kind = "sendgrid"
api_key = "SG.key"
inbound_secret = "hush"
"#;

pub(crate) struct Server {
    pub database: TestDatabase,
    pub client: HttpClient,
    pub address: SocketAddr,
    pub wake: Arc<Notify>,
    pub shutdown: CancellationToken,
    pub running: JoinHandle<Result<(), RunError>>,
}

/// A server of the usual configuration, ready.
pub(crate) async fn server() -> Server {
    server_with(CONFIG, "127.0.0.1:0", Clock::System).await
}

pub(crate) async fn server_with(config: &str, listen: &str, clock: Clock) -> Server {
    let server = start(testkit::database().await, config, listen, clock).await;
    testkit::until("the server is ready", async || {
        let answer = server.client.get("/readyz").await;
        answer.json()["database"].as_str().filter(|text| *text == "ok").map(|_| ())
    })
    .await;
    server
}

/// Another server on a database that one has already, for as long as the test runs.
pub(crate) async fn another_on(first: &Server) -> HttpClient {
    another_with(first, CONFIG).await
}

/// As [`another_on`], of this configuration: what a restart with another one would be.
pub(crate) async fn another_with(first: &Server, config: &str) -> HttpClient {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = HttpClient::new(format!("http://{}", listener.local_addr().unwrap()));
    let parts = parts(first.database.pool.clone(), config, Clock::System);
    tokio::spawn(run(parts, listener, CancellationToken::new()));
    testkit::until("the other server is ready", async || {
        client.get("/readyz").await.status.is_success().then_some(())
    })
    .await;
    client
}

fn parts(pool: Pool, config: &str, clock: Clock) -> Parts {
    parts_at(pool, &simulated(config), PUBLIC_URL, clock)
}

/// The configuration, with every provider that names no address at one where nothing listens.
fn simulated(config: &str) -> String {
    let mut text = String::new();
    for (number, block) in config.split("[[providers]]").enumerate() {
        let is_named = ["base_url", "host ="].iter().any(|key| block.contains(key));
        match (number, is_named) {
            (0, _) => text.push_str(block),
            (_, true) => text.push_str(&format!("[[providers]]{block}")),
            (_, false) => text.push_str(&format!("[[providers]]\nbase_url = \"http://127.0.0.1:9\"{block}")),
        }
    }
    text
}

fn parts_at(pool: Pool, config: &str, public_url: &str, clock: Clock) -> Parts {
    let environment = |name: &str| (name == "APP_PUBLIC_URL").then(|| public_url.to_owned());
    let config = Config::parse(config, "app.toml", &environment).unwrap();
    let wake = Arc::new(Notify::new());
    Parts { config: Arc::new(config), pool, metrics: Metrics::default(), clock, wake, simulator_url: None }
}

/// A server that may not get ready.
pub(crate) async fn start(database: TestDatabase, config: &str, listen: &str, clock: Clock) -> Server {
    let parts = parts(database.pool.clone(), config, clock);
    start_of(database, parts, listen).await
}

/// As [`start`], with the configuration as it is: its providers may be real ones.
pub(crate) async fn start_as_it_is(database: TestDatabase, config: &str, public_url: &str) -> Server {
    let parts = parts_at(database.pool.clone(), config, public_url, Clock::System);
    start_of(database, parts, "127.0.0.1:0").await
}

async fn start_of(database: TestDatabase, parts: Parts, listen: &str) -> Server {
    let listener = TcpListener::bind(listen).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let shutdown = CancellationToken::new();
    let wake = Arc::clone(&parts.wake);
    let running = tokio::spawn(run(parts, listener, shutdown.clone()));
    let client = HttpClient::new(format!("http://{address}"));
    Server { database, client, address, wake, shutdown, running }
}

impl Server {
    /// How many rows a table has.
    pub(crate) async fn count(&self, table: &str) -> i64 {
        let client = self.database.pool.get().await.unwrap();
        client.query_one(&format!("select count(*) from {table}"), &[]).await.unwrap().get(0)
    }

    /// The one value of a query.
    pub(crate) async fn value(&self, sql: &str) -> String {
        let client = self.database.pool.get().await.unwrap();
        client.query_one(sql, &[]).await.unwrap().get(0)
    }

    /// As a processor leaves the message while it calls this provider.
    pub(crate) async fn lease(&self, message_id: &str, provider_id: &str) {
        self.execute(&format!(
            "update outbox set lease_no = lease_no + 1, leased_by = gen_random_uuid(),
                 leased_provider = '{provider_id}', leased_until = now() + interval '1 hour'
             where message_id = '{message_id}'"
        ))
        .await;
    }

    pub(crate) async fn execute(&self, sql: &str) {
        self.database.pool.get().await.unwrap().batch_execute(sql).await.unwrap();
    }

    /// Stores an outbound SMS; its JSON.
    pub(crate) async fn send_sms(&self, from: &str, to: &str, body: &str) -> Value {
        let request = json!({"from": from, "to": to, "body": body});
        self.client.post("/api/messages/sms", &request).await.expect(202).json()
    }

    pub(crate) async fn stop(self) -> Result<(), RunError> {
        self.shutdown.cancel();
        self.running.await.unwrap()
    }
}

/// The problem's `code`, after a look at its form.
#[track_caller]
pub(crate) fn code(answer: &Answer) -> String {
    assert_eq!(answer.header("content-type"), "application/problem+json", "{}", answer.text());
    let problem = answer.json();
    assert_eq!(problem["status"], answer.status.as_u16());
    for member in ["type", "title", "detail"] {
        assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{member} in {problem}");
    }
    problem["code"].as_str().unwrap().to_owned()
}

/// `field: code` of every wrong field.
#[track_caller]
pub(crate) fn field_codes(answer: &Answer) -> Vec<String> {
    assert_eq!(code(answer), "validation_failed", "{}", answer.text());
    let text = |error: &Value, member: &str| error[member].as_str().unwrap().to_owned();
    let problem = answer.json();
    let errors = problem["errors"].as_array().unwrap();
    errors.iter().map(|error| format!("{}: {}", text(error, "field"), text(error, "code"))).collect()
}
