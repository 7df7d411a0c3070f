//! The simulator as a process.

use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::rig::{Caller, PLAIN, in_time, plain_mail};

/// Starts one on a free port and reads the port from its log.
async fn start(ledger: &Path) -> (Child, Caller) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_provider-simulator"))
        .args(["--listen", "127.0.0.1:0", "--ledger"])
        .arg(ledger)
        .env("RUST_LOG", "info")
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let line = in_time(lines.next_line()).await.unwrap().unwrap();
    let line: Value = serde_json::from_str(&line).unwrap();
    let url = format!("http://{}", line["address"].as_str().unwrap());
    (child, Caller::new(url))
}

#[tokio::test]
async fn a_killed_simulator_has_every_message_that_it_answered() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("ledger.ndjson");
    let (mut child, caller) = start(&ledger).await;
    for _ in 0..20 {
        assert_eq!(caller.sms(&PLAIN).await.status, 201);
        assert_eq!(caller.mail(&plain_mail()).await.status, 202);
    }
    in_time(child.kill()).await.unwrap();
    let (mut child, caller) = start(&ledger).await;
    let summary = caller.get("/ledger?summary=true").await;
    assert_eq!((&summary["count"], &summary["duplicates"]), (&40.into(), &19.into()));
    in_time(child.kill()).await.unwrap();
}

#[tokio::test]
async fn bad_arguments_end_it_with_a_sentence() {
    for arguments in [
        ["--twilio-account", "no-colon"],
        ["--sendgrid-signing-key", "AAAA"],
        ["--listen", "nowhere"],
        ["--event-webhook-url", "not a url"],
        ["--account", "kind=nobody"],
        ["--account", "kind=telnyx,colour=red"],
        ["--smtp-listen", "nowhere"],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_provider-simulator"))
            .args(["--listen", "127.0.0.1:0"].iter().filter(|_| arguments[0] != "--listen"))
            .args(arguments)
            .output();
        let output = in_time(output).await.unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        let words = String::from_utf8(output.stderr).unwrap();
        assert!(
            words.contains(arguments[0].trim_start_matches("--")) || words.contains(arguments[1]),
            "{words}"
        );
    }
}
