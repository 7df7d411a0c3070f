//! `app up` as a newcomer meets it: the real binary, its own PostgreSQL, the simulator.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::path::Path;
use std::process::Output;

use serde_json::Value;
use testkit::{HttpClient, Service, until};
use tokio::process::Command;

async fn up() -> Service {
    testkit::service("app").arg("up").env("SIMULATOR_LISTEN", "127.0.0.1:0").start().await
}

/// A command of `app` in the folder of a running one.
async fn app(service: &Service, arguments: &[&str]) -> Output {
    let mut command = Command::new(testkit::service::binary("app"));
    command
        .args(arguments)
        .current_dir(service.dir())
        .env_remove("DATABASE_URL")
        .env("APP_URL", service.url());
    command.output().await.unwrap()
}

async fn json_lines(service: &Service, arguments: &[&str]) -> Vec<Value> {
    let output = app(service, &[arguments, &["--json"]].concat()).await;
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    let stdout = String::from_utf8(output.stdout).unwrap();
    stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn delivered(client: &HttpClient, id: &str) -> Value {
    until(&format!("message {id} is delivered"), async || {
        let message = client.get(&format!("/api/messages/{id}")).await.expect(200).json();
        (message["delivery"] == "delivered").then_some(message)
    })
    .await
}

#[tokio::test]
async fn the_printed_call_is_delivered_and_answered_in_the_same_conversation() {
    let mut service = up().await;
    let block = until("the block is printed", async || {
        let stdout = service.stdout();
        stdout.contains("Stop: Ctrl-C").then_some(stdout)
    })
    .await;
    let (_, after) = block.split_once("Try it:\n").unwrap();
    let (call, _) = after.split_once("\n\n").unwrap();
    let call = Command::new("sh").args(["-c", call]).output().await.unwrap();
    let sent: Value = serde_json::from_slice(&call.stdout).unwrap();

    let message = delivered(&service.client(), sent["id"].as_str().unwrap()).await;
    assert_eq!(message["status"], "ok");
    assert_eq!(message["provider_id"], "sim-twilio");
    assert!(message["provider_message_id"].is_string());

    let path = format!("/api/conversations/{}/messages", message["conversation_id"].as_str().unwrap());
    let messages = until("the reply has come", async || {
        let list = service.client().get(&path).await.expect(200).json();
        let messages = list["messages"].as_array().unwrap().clone();
        (messages.len() == 2).then_some(messages)
    })
    .await;
    assert_eq!(messages[0]["id"], message["id"]);
    assert_eq!(messages[1]["direction"], "inbound");

    until("a line tells of the message", async || {
        let stdout = service.stdout();
        stdout.lines().any(|line| line.contains("sms ok, delivered ") && !line.contains('(')).then_some(())
    })
    .await;
    assert!(service.terminate().await.success());
    assert!(
        !service.said().contains('\u{1b}'),
        "no escape codes where nobody sees colors: {}",
        service.said()
    );
    let (_, told) =
        service.stdout().split_once("Stop: Ctrl-C").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    assert!(!told.contains("+1202555"), "no addresses: {told}");
}

#[tokio::test]
async fn whatsapp_is_delivered_and_answered_in_a_conversation_of_its_own() {
    let mut service = up().await;
    let ends = ["--from", "+12025550100", "--to", "+12025550199", "--wait", "Hello"];
    let sms = json_lines(&service, &[&["send", "sms"], &ends[..]].concat()).await.remove(0);
    let sent = json_lines(&service, &[&["send", "whatsapp"], &ends[..]].concat()).await.remove(0);
    assert_eq!((&sent["type"], &sent["delivery"]), (&"whatsapp".into(), &"delivered".into()));
    assert_ne!(sent["conversation_id"], sms["conversation_id"]);

    let path = format!("/api/conversations/{}/messages", sent["conversation_id"].as_str().unwrap());
    let reply = until("the reply has come", async || {
        let list = service.client().get(&path).await.expect(200).json();
        list["messages"].get(1).cloned()
    })
    .await;
    assert_eq!((&reply["type"], &reply["from"]), (&"whatsapp".into(), &"+12025550199".into()));
    let back = service.client().post(&path, &serde_json::json!({ "body": "Bye" })).await.expect(202).json();
    assert_eq!((&back["type"], &back["to"]), (&"whatsapp".into(), &"+12025550199".into()));
    delivered(&service.client(), back["id"].as_str().unwrap()).await;
    assert!(service.terminate().await.success());
}

#[tokio::test]
async fn sigterm_stops_the_database_too() {
    let mut service = up().await;
    let pid_file = service.dir().join("data/postgres/cluster/postmaster.pid");
    assert!(pid_file.exists());
    assert!(service.terminate().await.success());
    assert!(!pid_file.exists(), "PostgreSQL ended in order");
}

#[tokio::test]
async fn what_was_accepted_before_a_kill_is_delivered_after_it() {
    let mut service = up().await;
    let hello = serde_json::json!({ "from": "+12025550100", "to": "+12025550199", "body": "Hello" });
    let sent = service.client().post("/api/messages/sms", &hello).await.expect(202).json();
    service.kill().await;
    service.start_again().await;
    delivered(&service.client(), sent["id"].as_str().unwrap()).await;
    assert!(service.terminate().await.success());
}

/// Killed while nothing is under way, and again while a message is.
#[tokio::test]
async fn a_killed_database_comes_back() {
    let mut service = up().await;
    let pid_file = service.dir().join("data/postgres/cluster/postmaster.pid");
    let hello = serde_json::json!({ "from": "+12025550100", "to": "+12025550199", "body": "Hello" });
    kill(&pid_file).await;
    let sent = until("a message is accepted again", async || {
        let answer = service.client().post("/api/messages/sms", &hello).await;
        (answer.status == 202).then(|| answer.json())
    })
    .await;
    kill(&pid_file).await;
    // Each connection of before is found broken by who uses it first, and answered 503.
    let path = format!("/api/messages/{}", sent["id"].as_str().unwrap());
    until("it is delivered", async || {
        let answer = service.client().get(&path).await;
        (answer.status != 503 && answer.expect(200).json()["delivery"] == "delivered").then_some(())
    })
    .await;
    assert!(service.terminate().await.success());
}

#[tokio::test]
async fn it_ends_while_its_database_is_started_again() {
    let mut service = up().await;
    kill(&service.dir().join("data/postgres/cluster/postmaster.pid")).await;
    until("its end is noticed", async || service.said().contains("starting it again").then_some(())).await;
    assert!(service.terminate().await.success());
    service.start_again().await;
    service.client().get("/api/messages").await.expect(200);
    assert!(service.terminate().await.success());
}

/// The process of this file.
async fn kill(pid_file: &Path) {
    let pid = until("it has written its id", async || {
        std::fs::read_to_string(pid_file).ok()?.lines().next()?.parse::<i32>().ok()
    })
    .await;
    // Gone already, where it was killed before and has not come back yet.
    let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).output().await.unwrap();
}

#[tokio::test]
async fn a_taken_port_is_refused_with_its_holder_and_the_variable() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (status, said) = testkit::service("app").arg("up").env("APP_LISTEN", address.as_str()).run().await;
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains(&address) && said.contains("set another address, such as APP_LISTEN="), "{said}");
}

#[tokio::test]
async fn a_bad_configuration_is_refused_with_every_mistake() {
    let (status, said) = testkit::service("app")
        .arg("config")
        .arg("check")
        .config("[processor]\nlease_s = 0\nmax_attempts = 0\n")
        .run()
        .await;
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("processor.lease_s") && said.contains("processor.max_attempts"), "{said}");
}

#[tokio::test]
async fn an_operator_works_from_the_command_line() {
    let mut service = up().await;
    let send = ["send", "sms", "--from", "+12025550100", "--to", "+12025550199", "--wait", "Hello"];
    let sent = json_lines(&service, &send).await.remove(0);
    assert_eq!(sent["delivery"], "delivered");
    let id = sent["id"].as_str().unwrap();
    let conversation_id = sent["conversation_id"].as_str().unwrap();

    let shown = json_lines(&service, &["messages", "show", id]).await.remove(0);
    assert_eq!(shown["message"]["body"], "Hello");
    assert!(!shown["events"].as_array().unwrap().is_empty());
    let short = format!("{}…{}", &id[..4], &id[24..]);
    assert_eq!(json_lines(&service, &["messages", "show", &short]).await.remove(0)["message"]["id"], id);
    let text = String::from_utf8(app(&service, &["messages", "show", id]).await.stdout).unwrap();
    let first = shown["events"][0]["type"].as_str().unwrap();
    assert!(text.lines().any(|line| line.split_whitespace().nth(1) == Some(first)), "{first} in {text}");

    let outbound = ["messages", "list", "--direction", "outbound", "--limit", "10"];
    let listed = json_lines(&service, &outbound).await;
    assert_eq!(listed.iter().map(|message| &message["id"]).collect::<Vec<_>>(), [id]);

    let replied = json_lines(&service, &["conversations", "reply", conversation_id, "Bye"]).await.remove(0);
    assert_eq!(replied["conversation_id"], conversation_id);
    let conversations = json_lines(&service, &["conversations", "list"]).await;
    assert_eq!(conversations[0]["id"], conversation_id);
    assert!(json_lines(&service, &["conversations", "show", conversation_id]).await.len() >= 2);

    let forged = service.client().post("/api/webhooks/sim-twilio", &serde_json::json!({})).await;
    assert_eq!(forged.status, 403);
    let kept = json_lines(&service, &["webhooks", "list", "--reason", "unverified"]).await.remove(0);
    let kept_id = kept["id"].as_str().unwrap();
    assert_eq!(json_lines(&service, &["webhooks", "show", kept_id]).await[0]["body"], "{}");
    for which in [kept_id, "--all"] {
        let still = app(&service, &["webhooks", "replay", which]).await;
        let said = String::from_utf8_lossy(&still.stdout);
        assert!(said.contains(kept_id) && said.contains("still is not verified"), "{said}");
        assert_eq!(still.status.code(), Some(1));
    }
    assert_eq!(
        app(&service, &["webhooks", "replay", "--all", "--reason", "unmatched"]).await.status.code(),
        Some(0)
    );

    assert_eq!(json_lines(&service, &["status"]).await[0]["ready"], true);
    let refused = app(&service, &["messages", "cancel", id]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("409"), "a settled message is not canceled");

    assert!(service.terminate().await.success());
}

#[tokio::test]
async fn a_key_opens_the_api_until_it_is_revoked() {
    let mut service = up().await;
    let created = json_lines(&service, &["keys", "create", "billing"]).await.remove(0);
    let (id, key) = (created["id"].as_str().unwrap(), created["key"].as_str().unwrap());
    assert!(key.starts_with("app_"), "{key}");
    let listed = json_lines(&service, &["keys", "list"]).await;
    assert_eq!(listed[0]["name"], "billing");
    assert!(!listed[0].to_string().contains(key), "a key is shown once");

    assert_eq!(listed[0]["role"], "operator");
    let application = ["keys", "create", "shop", "--role", "application"];
    assert_eq!(json_lines(&service, &application).await[0]["role"], "application");
    let text = String::from_utf8(app(&service, &["keys", "list"]).await.stdout).unwrap();
    assert!(text.lines().any(|line| line.contains("application") && line.contains("shop")), "{text}");

    let last_operators = app(&service, &["keys", "revoke", id]).await;
    assert!(last_operators.status.success());
    assert!(String::from_utf8_lossy(&last_operators.stderr).contains("nobody can log in to the console"));
    let last = app(&service, &["keys", "revoke", "shop"]).await;
    assert!(last.status.success());
    assert!(String::from_utf8_lossy(&last.stderr).contains("every request is refused from now on"));
    let again = app(&service, &["keys", "revoke", id]).await;
    assert_eq!(again.status.code(), Some(1));
    assert!(service.terminate().await.success());
}

#[tokio::test]
async fn where_a_key_is_needed_app_up_makes_the_first_and_prints_it_once() {
    let mut service = testkit::service("app")
        .arg("up")
        .env("SIMULATOR_LISTEN", "127.0.0.1:0")
        .env("APP_PUBLIC_URL", "https://msg.example.com")
        .start()
        .await;
    let stdout = until("the welcome is printed", async || {
        let stdout = service.stdout();
        stdout.contains("Stop: Ctrl-C").then_some(stdout)
    })
    .await;
    let (why, after) = stdout.split_once("export APP_API_KEY=").unwrap();
    assert!(why.contains("APP_PUBLIC_URL, https://msg.example.com, is not a loopback address"), "{why}");
    let key = after.split_whitespace().next().unwrap().to_owned();
    assert!(stdout.contains("Bearer $APP_API_KEY"), "{stdout}");
    service.client().get("/api/messages").await.expect(401);
    let operator = service.client().with_header("authorization", &format!("Bearer {key}"));
    operator.get("/api/webhook_deliveries").await.expect(200);
    assert!(service.terminate().await.success());
    service.start_again().await;
    operator.get("/api/messages").await.expect(200);
    assert!(service.terminate().await.success());
    assert_eq!(service.said().matches(&key).count(), 1, "it is printed once");
    assert_eq!(service.stdout().matches("export APP_API_KEY=").count(), 1, "only the first is made");
    let log = std::fs::read_to_string(service.dir().join("data/app.log")).unwrap();
    assert!(!log.contains(&key), "never in the log");
}

#[tokio::test]
async fn without_a_server_a_command_says_where_it_looked() {
    let url = format!("http://127.0.0.1:{}", testkit::free_port());
    let (status, said) =
        testkit::service("app").arg("messages").arg("list").env("APP_URL", url.as_str()).run().await;
    assert_eq!(status.code(), Some(1));
    assert!(said.contains(&url) && said.contains("is `app up` running?"), "{said}");
}
