//! Signals, sent to the real binaries while they work: none but SIGKILL ends them in the middle of a send.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::fs;

use rustix::process::Signal;
use serde_json::{Value, json};
use testkit::{HttpClient, Service, until};

const MESSAGES: usize = 20;

async fn send(client: &HttpClient, number: usize) -> String {
    let hello = json!({ "from": "+12025550100", "to": format!("+120255501{number:02}"), "body": "Hello" });
    let sent = client.post("/api/messages/sms", &hello).await.expect(202).json();
    sent["id"].as_str().unwrap().to_owned()
}

/// Every message is delivered by the first attempt, which had a known outcome.
async fn delivered_once(client: &HttpClient, ids: &[String]) {
    for id in ids {
        let message: Value = until(&format!("message {id} is delivered"), async || {
            let message = client.get(&format!("/api/messages/{id}")).await.expect(200).json();
            (message["delivery"] == "delivered").then_some(message)
        })
        .await;
        assert_eq!(message["attempt"], 1, "{message}");
        let events = client.get(&format!("/api/messages/{id}/events")).await.expect(200).json();
        let is_unknown = |event: &&Value| event["kind"] == "outcome_unknown";
        assert_eq!(events["events"].as_array().unwrap().iter().filter(is_unknown).count(), 0, "{events}");
    }
}

/// Whether this test, and so each program that it starts, runs with SIGHUP ignored, as under `nohup`. `SigIgn` is a mask
/// in hexadecimal whose lowest bit is SIGHUP (proc(5)).
fn hangups_are_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

#[tokio::test]
async fn app_up_goes_on_at_usr1_and_drains_when_its_terminal_closes() {
    let mut service: Service =
        testkit::service("app").arg("up").env("SIMULATOR_LISTEN", "127.0.0.1:0").start().await;
    let client = service.client();
    let mut ids = Vec::new();
    for number in 0..MESSAGES {
        ids.push(send(&client, number).await);
        for harmless in [Signal::USR1, Signal::USR2, Signal::ALARM, Signal::PIPE] {
            service.signal(harmless);
        }
    }
    service.signal(Signal::HUP);
    if hangups_are_ignored() {
        // As documented, `app up` ignores the hang-up under `nohup`. It still accepts, and SIGTERM drains it.
        ids.push(send(&client, MESSAGES).await);
        service.signal(Signal::TERM);
    }
    let status = service.ended().await;
    assert!(status.success(), "{status}: {}", service.said());
    service.start_again().await;
    delivered_once(&service.client(), &ids).await;
    println!(
        "{MESSAGES} messages, each by one attempt, across SIGUSR1, SIGUSR2, SIGALRM, SIGPIPE and SIGHUP"
    );
    assert!(service.terminate().await.success());
}

#[tokio::test]
async fn the_servers_open_their_logs_again_at_hup_and_go_on() {
    let database = testkit::database().await;
    let simulator = testkit::service("provider-simulator")
        .listens_by("SIMULATOR_LISTEN")
        .ready_path("/healthz")
        .start()
        .await;
    let config = format!(
        "[[providers]]\nid = \"p\"\nkind = \"twilio\"\nbase_url = \"{}\"\naccount_sid = \"{}\"\nauth_token = \"{}\"\n",
        simulator.url(),
        provider_simulator::DEMO_TWILIO_ACCOUNT_SID,
        provider_simulator::DEMO_TWILIO_AUTH_TOKEN,
    );
    let start = async |name: &str| {
        let starting = testkit::service(name).config(&config).env("DATABASE_URL", database.url.as_str());
        let starting = match name {
            "app-processor" => starting.listens_by("APP_PROCESSOR_LISTEN").ready_path("/healthz"),
            _ => starting,
        };
        let log = starting.dir().join("server.log");
        starting.env("APP_LOG_FILE", log).start().await
    };
    let (mut apiserver, mut processor) = (start("app-apiserver").await, start("app-processor").await);
    let client = apiserver.client();
    let mut ids = Vec::new();
    for number in 0..MESSAGES {
        ids.push(send(&client, number).await);
        for server in [&apiserver, &processor] {
            server.signal(Signal::USR1);
            server.signal(Signal::HUP);
        }
    }
    for server in [&apiserver, &processor] {
        let (log, moved) = (server.dir().join("server.log"), server.dir().join("server.log.1"));
        assert!(!fs::read_to_string(&log).unwrap().is_empty());
        fs::rename(&log, &moved).unwrap();
        server.signal(Signal::HUP);
        until("the log is open again", async || {
            fs::read_to_string(&log).is_ok_and(|text| text.contains("SIGHUP")).then_some(())
        })
        .await;
    }
    let mut unreported = 0;
    for id in &ids {
        let message: Value = until(&format!("message {id} is accepted by the provider"), async || {
            let message = client.get(&format!("/api/messages/{id}")).await.expect(200).json();
            (message["status"] == "ok").then_some(message)
        })
        .await;
        assert_eq!(message["attempt"], 1, "{message}");
        unreported += usize::from(message["delivery"] == "pending");
    }
    println!(
        "{MESSAGES} messages by one attempt each, {unreported} without a receipt yet; both servers go on"
    );
    assert!(apiserver.terminate().await.success());
    assert!(processor.terminate().await.success());
}
