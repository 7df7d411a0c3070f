//! `app providers` and `app messages explain`: the real binary, providers that the simulator plays.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::path::Path;
use std::process::Output;

use provider_simulator::{DEMO_SENDGRID_API_KEY, DEMO_TWILIO_ACCOUNT_SID, DEMO_TWILIO_AUTH_TOKEN};
use serde_json::Value;
use testkit::{Service, free_port, until};
use tokio::process::Command;

fn config(simulator_port: u16) -> String {
    let base_url = format!("http://127.0.0.1:{simulator_port}");
    format!(
        "[[providers]]\nid = \"phones\"\nkind = \"twilio\"\nbase_url = \"{base_url}\"\n\
         account_sid = \"{DEMO_TWILIO_ACCOUNT_SID}\"\nauth_token = \"{DEMO_TWILIO_AUTH_TOKEN}\"\n\
         [[providers]]\nid = \"mails\"\nkind = \"sendgrid\"\nbase_url = \"{base_url}\"\n\
         api_key = \"{DEMO_SENDGRID_API_KEY}\"\n"
    )
}

/// `app up` with the simulator in it, and its address.
async fn up() -> (Service, String) {
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    let starting = testkit::service("app").arg("up").config(&config(port));
    (starting.env("SIMULATOR_LISTEN", address.as_str()).start().await, format!("http://{address}"))
}

async fn app_in(dir: &Path, url: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(testkit::service::binary("app"));
    command.args(arguments).current_dir(dir).env_remove("DATABASE_URL").env_remove("APP_CONFIG");
    command.env("APP_URL", url).output().await.unwrap()
}

async fn app(service: &Service, arguments: &[&str]) -> Output {
    app_in(service.dir(), &service.url(), arguments).await
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn json_lines(output: &Output) -> Vec<Value> {
    stdout(output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn kinds_are_a_line_each_and_one_array() {
    let dir = tempfile::tempdir().unwrap();
    let listed = app_in(dir.path(), "http://127.0.0.1:9", &["providers", "kinds"]).await;
    assert!(listed.status.success());
    let lines: Vec<String> = stdout(&listed).lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), providers::KINDS.len());
    for (line, kind) in lines.iter().zip(providers::KINDS) {
        assert_eq!(line.split_whitespace().next(), Some(kind.name));
        assert!(line.ends_with(kind.signature), "{line}");
    }
    assert!(String::from_utf8_lossy(&listed.stderr).starts_with("KIND"), "the head is no data");
    let array =
        json_lines(&app_in(dir.path(), "http://127.0.0.1:9", &["providers", "kinds", "--json"]).await);
    let kinds = array[0].as_array().unwrap();
    assert_eq!((array.len(), kinds.len()), (1, providers::KINDS.len()));
    for key in ["kind", "channels", "send", "receipts", "inbound", "signature"] {
        assert!(kinds.iter().all(|kind| !kind[key].is_null()), "{key}");
    }
}

#[tokio::test]
async fn a_check_tells_each_provider_and_sends_nothing_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let check = async |text: &str, arguments: &[&str]| {
        std::fs::write(dir.path().join("app.toml"), text).unwrap();
        app_in(dir.path(), "http://127.0.0.1:9", &[&["providers", "check"], arguments].concat()).await
    };
    // Nobody listens there: a call would fail the check.
    let good = config(free_port());
    let checked = check(&good, &[]).await;
    assert!(checked.status.success(), "{}", stdout(&checked));
    let lines: Vec<String> = stdout(&checked).lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].starts_with("phones  twilio    sms,mms") && lines[0].ends_with("ok"), "{lines:?}");
    assert!(lines[1].starts_with("mails   sendgrid  email "), "{lines:?}");

    let bad = format!("[processor]\nlease_s = 0\n{}", good.replace("api_key", "api_kee"));
    let checked = check(&bad, &["--json"]).await;
    assert_eq!(checked.status.code(), Some(1));
    let records = json_lines(&checked);
    assert_eq!((&records[0]["provider_id"], &records[0]["ok"]), (&"phones".into(), &true.into()));
    assert_eq!((&records[1]["provider_id"], &records[1]["ok"]), (&"mails".into(), &false.into()));
    assert!(records[1]["problems"][0].as_str().unwrap().starts_with("api_kee"), "{}", records[1]);
    assert!(records[2]["problem"].as_str().unwrap().contains("processor.lease_s"), "{records:?}");

    let to = ["--send-to", "+12025550199", "--from", "+12025550100", "--json"];
    let checked = check(&good, &to).await;
    assert_eq!(checked.status.code(), Some(1), "nobody answers");
    assert_eq!(json_lines(&checked)[2]["outcome"], "unreachable");
    let checked = check(&bad, &to).await;
    assert_eq!(json_lines(&checked).len(), 3, "nothing is sent with a bad configuration");
}

#[tokio::test]
async fn an_operator_sends_through_providers_pauses_them_and_asks_about_a_message() {
    let (mut service, simulator) = up().await;
    let arguments = [
        ["providers", "check", "--json"].as_slice(),
        &["--send-to", "+12025550199", "--from", "+12025550100"],
        &["--send-to", "you@example.net", "--from", "me@example.com"],
    ];
    let checked = app(&service, &arguments.concat()).await;
    assert!(checked.status.success(), "{}", stdout(&checked));
    let sent = json_lines(&checked).split_off(2);
    for (sent, (id, channel)) in sent.iter().zip([("phones", "sms"), ("mails", "email")]) {
        assert_eq!((&sent["provider_id"], &sent["channel"]), (&id.into(), &channel.into()));
        assert_eq!(sent["outcome"], "accepted");
        assert!(sent["provider_message_id"].is_string() && sent["latency_ms"].is_u64(), "{sent}");
    }
    let ledger = testkit::HttpClient::new(simulator).get("/ledger?summary=true").await.expect(200).json();
    assert_eq!(ledger["count"], 2, "{ledger}");
    let refused = ["providers", "check", "--send-to", "+15005550400", "--from", "+12025550100"];
    let refused = app(&service, &refused).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(stdout(&refused).contains("phones  sms  +15005550400  rejected"), "{}", stdout(&refused));

    let paused = app(&service, &["providers", "pause", "mails", "--note", "invoice disputed"]).await;
    assert_eq!(stdout(&paused), "paused mails\n");
    let listed = json_lines(&app(&service, &["providers", "list", "--json"]).await);
    assert_eq!(
        listed.iter().map(|provider| &provider["provider_id"]).collect::<Vec<_>>(),
        ["phones", "mails"]
    );
    assert_eq!(
        (&listed[0]["paused"], &listed[1]["paused"]["note"]),
        (&Value::Null, &"invoice disputed".into())
    );
    let listed = stdout(&app(&service, &["providers", "list"]).await);
    assert!(listed.lines().nth(1).unwrap().contains("paused by an operator"), "{listed}");
    let resumed = app(&service, &["providers", "resume", "mails", "--json"]).await;
    assert_eq!(json_lines(&resumed)[0]["changed"], true);
    let unknown = app(&service, &["providers", "pause", "no-such"]).await;
    assert_eq!(unknown.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("there are phones, mails"));

    let send = ["send", "sms", "--from", "+12025550100", "--to", "+15005550473", "--json", "Hello"];
    let sent = json_lines(&app(&service, &send).await).remove(0);
    let id = sent["id"].as_str().unwrap();
    let explained = until("its provider accepted it", async || {
        let explained = json_lines(&app(&service, &["messages", "explain", id, "--json"]).await).remove(0);
        (explained["state"]["code"] == "waiting_for_receipt").then_some(explained)
    })
    .await;
    assert_eq!(explained["attempts"][0]["outcome"], "accepted");
    let text = stdout(&app(&service, &["messages", "explain", id]).await);
    assert!(text.starts_with("phones accepted it at ") && text.contains("\nattempts\n  1  "), "{text}");
    assert!(service.terminate().await.success());
}
