//! The three binaries on a database of their own, with the providers that docs/simulator.md describes.

use std::path::Path;

use serde_json::{Value, json};
use service::Config;
use testkit::{HttpClient, Service, TestDatabase, free_port, until};

use super::lines::{LINES, Line};
use super::recorder::Recorder;

/// Retries at once, and processors that look for them; nothing here waits for a time that is not the provider's.
const IMPATIENT: &str = "[processor]\nbackoff_base_s = 0.05\nbackoff_cap_s = 0.5\npoll_interval_ms = 20\n";

pub(crate) struct Platform {
    pub(crate) api: HttpClient,
    pub(crate) simulator: HttpClient,
    pub(crate) recorder: Recorder,
    config: Config,
    _services: [Service; 3],
    _database: TestDatabase,
}

/// The `app.toml` of docs/simulator.md.
pub(crate) fn documented() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/simulator.md");
    let text = std::fs::read_to_string(path).unwrap();
    let blocks = text.split("```toml\n").skip(1).map(|block| block.split("```").next().unwrap());
    blocks.collect()
}

impl Platform {
    pub(crate) async fn start() -> Self {
        let database = testkit::database().await;
        let apiserver = testkit::service("app-apiserver").env("DATABASE_URL", &database.url);
        let recorder = Recorder::start(HttpClient::new(apiserver.url())).await;
        let smtp_port = free_port();
        let mut simulator = testkit::service("provider-simulator")
            .listens_by("SIMULATOR_LISTEN")
            .ready_path("/healthz")
            .env("SIMULATOR_SMTP_LISTEN", format!("127.0.0.1:{smtp_port}"));
        for line in LINES {
            let url = format!("{}/api/webhooks/{}{}", recorder.url, line.provider_id(), line.query);
            simulator = match line.kind {
                // They have options of their own. Twilio's messages say where their receipts go.
                "twilio" => simulator,
                "sendgrid" => simulator.arg(format!("--event-webhook-url={url}")),
                kind => simulator.arg(format!("--account=kind={kind},webhook_url={url}")),
            };
        }
        let simulator = simulator.start().await;

        let toml = documented()
            .replace("http://127.0.0.1:8090", &simulator.url())
            .replace("port = \"8025\"", &format!("port = \"{smtp_port}\""))
            .replace("\nkind = ", "\non_unknown = \"hold\"\nkind = ");
        let toml = format!("{IMPATIENT}\n{}", with_routes(&toml));
        let config = Config::parse(&toml, "app.toml", &|_| None).unwrap();
        let apiserver = apiserver.env("APP_PUBLIC_URL", &recorder.url).config(&toml).start().await;
        let processor = testkit::service("app-processor")
            .listens_by("APP_PROCESSOR_LISTEN")
            .ready_path("/healthz")
            .env("DATABASE_URL", &database.url)
            .env("APP_PUBLIC_URL", &recorder.url)
            .config(&toml);
        let processor = processor.start().await;
        Self {
            api: apiserver.client(),
            simulator: simulator.client(),
            recorder,
            config,
            _services: [apiserver, processor, simulator],
            _database: database,
        }
    }

    /// The channels of a kind, as it is configured.
    pub(crate) fn channels(&self, line: &Line) -> Vec<&'static str> {
        channels(&self.config, line)
    }

    /// The id of a message that was accepted by us.
    pub(crate) async fn send(&self, line: &Line, channel: &str, to: &str) -> String {
        let mut message = json!({
            "from": line.from, "to": to, "body": format!("Hello by {} of {}", channel, line.kind),
        });
        let path = match channel {
            "mms" => {
                message["type"] = json!(channel);
                message["attachments"] = json!(["https://example.net/cat.png"]);
                "sms"
            }
            "email" => {
                message["subject"] = json!("Greetings");
                channel
            }
            _ => channel,
        };
        let answer = self.api.post(&format!("/api/messages/{path}"), &message).await.expect(202).json();
        answer["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn message(&self, id: &str) -> Value {
        self.api.get(&format!("/api/messages/{id}")).await.expect(200).json()
    }

    /// The message, once it is in that status and delivery.
    pub(crate) async fn settled(&self, line: &Line, id: &str, status: &str, delivery: &str) -> Value {
        let what = format!("message {id} of {} is {status}, {delivery}", line.kind);
        until(&what, async || {
            let message = self.message(id).await;
            let is_it = message["status"] == status && message["delivery"] == delivery;
            // Some ends are final: there is nothing to wait for then.
            assert!(is_it || message["status"] != "failed", "{what}? {message}");
            is_it.then_some(message)
        })
        .await
    }

    /// What the simulator accepted of a message.
    pub(crate) async fn accepted(&self, id: &str) -> Vec<Value> {
        let ledger = self.simulator.get(&format!("/ledger?message_id={id}")).await.expect(200).json();
        ledger["messages"].as_array().unwrap().clone()
    }

    /// Every call about a message that the simulator saw.
    pub(crate) async fn calls(&self, id: &str) -> Vec<Value> {
        let calls = self.simulator.get(&format!("/calls?message_id={id}")).await.expect(200).json();
        calls["calls"].as_array().unwrap().clone()
    }
}

fn channels(config: &Config, line: &Line) -> Vec<&'static str> {
    let provider = config.provider(&line.provider_id()).unwrap();
    provider.channels.iter().map(|channel| channel.as_str()).collect()
}

/// Every message goes to the kind that its recipient's address names; and SES once more, with `verify`.
fn with_routes(providers: &str) -> String {
    let (before, ses) = providers.split_once("[[providers]]\nid = \"sim-ses\"").unwrap();
    let ses = format!("[[providers]]\nid = \"sim-ses\"{}", ses.split("\n[[").next().unwrap());
    let verifying = ses.replace("sim-ses", "sim-ses-verifying").replace("verify = false", "");
    assert!(before.contains("sim-sendgrid") && verifying != ses);
    let config = Config::parse(providers, "app.toml", &|_| None).unwrap();
    let mut toml = format!("{providers}\n{verifying}\n");
    for line in LINES {
        let to = line.recipient(0);
        let channels = channels(&config, line);
        let condition = match to.split_once('@') {
            Some((_, domain)) => format!("to_domain = \"{domain}\""),
            None => format!("to_prefix = \"{}\"", &to[..to.len() - 2]),
        };
        toml += &format!(
            "[[routes]]\nname = \"{0}\"\nchannel = {channels:?}\n{condition}\nproviders = [\"sim-{0}\"]\n",
            line.kind
        );
    }
    toml
}
