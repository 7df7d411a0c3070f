//! The ledger's file: what was accepted outlives the process.

use std::io::Write as _;

use http::Method;
use provider_simulator::{Options, Receipts, Simulator};
use serde_json::json;

use crate::rig::{PLAIN, Rig, Target, options, plain_mail};

#[tokio::test]
async fn a_restarted_simulator_has_its_messages_and_makes_new_ids() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { ledger_file: Some(folder.path().join("ledger.ndjson")), ..options() };
    let rig = Rig::start(options.clone()).await;
    rig.mail(&plain_mail()).await;
    let sid = rig.sms(&PLAIN).await.json()["sid"].clone();
    let before = rig.get("/ledger").await;
    rig.stop().await;

    let rig = Rig::start(options.clone()).await;
    let after = rig.get("/ledger").await;
    for (before, after) in
        before["messages"].as_array().unwrap().iter().zip(after["messages"].as_array().unwrap())
    {
        for field in
            ["provider_message_id", "from", "to", "body", "subject", "message_id", "attempt", "received_at"]
        {
            assert_eq!(before[field], after[field], "{field}");
        }
    }
    assert_eq!(after["count"], 2);
    assert_ne!(rig.sms(&PLAIN).await.json()["sid"], sid);
    rig.call(Method::DELETE, "/ledger", &[], "").await.unwrap();
    rig.stop().await;
    assert_eq!(Simulator::new(options).unwrap().summary().count, 0);
}

#[tokio::test]
async fn receipts_that_were_not_delivered_are_delivered_by_the_next_process() {
    let folder = tempfile::tempdir().unwrap();
    let mut target = Target::start().await;
    let receipts = Receipts { enabled: true, sent_after_ms: 3_600_000, delivered_after_ms: 3_600_000 };
    let later = Options { ledger_file: Some(folder.path().join("ledger.ndjson")), receipts, ..options() };
    let rig = Rig::start(later.clone()).await;
    let callback = format!("{}/hook", target.url);
    let mut form = PLAIN.to_vec();
    form.push(("StatusCallback", &callback));
    let sid = rig.sms(&form).await.json()["sid"].clone();
    rig.stop().await;
    assert!(target.is_empty());

    let rig = Rig::start(Options { receipts: options().receipts, ..later.clone() }).await;
    for status in ["sent", "delivered"] {
        let form = target.next().await.form();
        assert_eq!((json!(form["MessageSid"]), form["MessageStatus"].as_str()), (sid.clone(), status));
    }
    rig.stop().await;
}

#[tokio::test]
async fn a_line_cut_short_by_a_kill_is_dropped_and_other_nonsense_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.ndjson");
    let options = Options { ledger_file: Some(path.clone()), ..options() };
    let rig = Rig::start(options.clone()).await;
    rig.sms(&PLAIN).await;
    rig.stop().await;
    let append = |text: &str| {
        std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(text.as_bytes()).unwrap();
    };
    append("{\"kind\":\"twi");
    let rig = Rig::start(options.clone()).await;
    rig.sms(&PLAIN).await;
    rig.stop().await;
    assert_eq!(Simulator::new(options.clone()).unwrap().summary().count, 2);
    append("nonsense\n");
    assert!(Simulator::new(options).unwrap_err().to_string().contains("is not of a ledger"));
}
