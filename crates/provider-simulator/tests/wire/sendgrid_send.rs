//! Sending mail; what is refused, and the field that is named.

use http::Method;
use serde_json::{Value, json};

use crate::rig::{MESSAGE_ID, Rig, options, plain_mail};

#[tokio::test]
async fn a_mail_is_answered_202_with_an_id_and_no_body() {
    let rig = Rig::start(options()).await;
    let answer = rig.mail(&plain_mail()).await;
    assert_eq!(answer.status, 202);
    assert!(answer.body.is_empty());
    let id = answer.headers["x-message-id"].to_str().unwrap();
    assert_eq!(id.len(), 22);
    let entry = &rig.get("/ledger").await["messages"][0];
    assert_eq!(entry["provider_message_id"], id);
    assert_eq!(entry["message_id"], MESSAGE_ID);
    assert_eq!(entry["attempt"], 2);
    assert_eq!(entry["subject"], "Hi");
    assert_eq!(entry["body"], "Hello Ann");
    assert_eq!(entry["channel"], "email");
}

#[tokio::test]
async fn every_recipient_is_an_entry_under_one_id() {
    let rig = Rig::start(options()).await;
    let mut mail = plain_mail();
    mail["personalizations"][0]["cc"] = json!([{ "email": "bob@example.net" }]);
    rig.mail(&mail).await;
    let ledger = rig.get("/ledger").await;
    let entries = ledger["messages"].as_array().unwrap();
    assert_eq!(
        entries.iter().map(|it| &it["to"]).collect::<Vec<_>>(),
        ["ann@example.net", "bob@example.net"]
    );
    assert_eq!(entries[0]["provider_message_id"], entries[1]["provider_message_id"]);
}

#[tokio::test]
async fn bad_mails_are_refused_with_the_field() {
    let rig = Rig::start(options()).await;
    let cases: &[(&str, Value, Value)] = &[
        ("/personalizations", json!([]), json!("personalizations")),
        ("/personalizations/0/to", json!([]), json!("personalizations.0.to")),
        ("/personalizations/0/to/0/email", json!("nobody"), json!("personalizations.0.to.0.email")),
        (
            "/personalizations/0/to",
            json!([{ "email": "a@example.net" }, { "email": "A@example.net" }]),
            json!("personalizations.0.to"),
        ),
        ("/personalizations/0/custom_args/app_attempt", json!(2), Value::Null),
        ("/from", Value::Null, json!("from.email")),
        ("/from/email", json!("a b@example.com"), json!("from.email")),
        ("/subject", json!(""), json!("subject")),
        ("/content", json!([]), json!("content")),
        ("/content/0/value", json!(""), json!("content.0.value")),
        (
            "/content",
            json!([{ "type": "text/html", "value": "x" }, { "type": "text/plain", "value": "x" }]),
            json!("content"),
        ),
    ];
    for (place, value, field) in cases {
        let mut mail = plain_mail();
        *mail.pointer_mut(place).unwrap() = value.clone();
        let answer = rig.mail(&mail).await;
        assert_eq!(answer.status, 400, "{place}");
        let error = &answer.json()["errors"][0];
        assert_eq!(error["field"], *field, "{place}");
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()));
    }
    let mut mail = plain_mail();
    mail["headers"] = json!({ "Reply-To": "x@example.com" });
    assert_eq!(rig.mail(&mail).await.json()["errors"][0]["field"], "headers");
    let mut mail = plain_mail();
    mail["attachments"] = json!([{ "content": "?", "filename": "a.txt" }]);
    assert_eq!(rig.mail(&mail).await.json()["errors"][0]["field"], "attachments.0.content");
    assert_eq!(rig.simulator.summary().count, 0);
}

#[tokio::test]
async fn a_wrong_key_a_wrong_type_and_no_json_are_refused() {
    let rig = Rig::start(options()).await;
    let json = ("content-type", "application/json");
    let wrong_key = [("authorization", "Bearer SG.wrong"), json];
    let mail = plain_mail().to_string();
    let send = |headers: Vec<(&'static str, &'static str)>, body: String| {
        let rig = &rig;
        async move { rig.call(Method::POST, "/v3/mail/send", &headers, body).await.unwrap().status }
    };
    assert_eq!(send(wrong_key.to_vec(), mail.clone()).await, 401);
    assert_eq!(send(vec![json], mail.clone()).await, 401);
    let key = ("authorization", "Bearer SG.simulator");
    assert_eq!(send(vec![key, ("content-type", "text/plain")], mail).await, 415);
    assert_eq!(send(vec![key, json], "{".to_owned()).await, 400);
}

#[tokio::test]
async fn the_sandbox_checks_and_sends_nothing() {
    let rig = Rig::start(options()).await;
    let mut mail = plain_mail();
    mail["mail_settings"] = json!({ "sandbox_mode": { "enable": true } });
    assert_eq!(rig.mail(&mail).await.status, 200);
    assert_eq!(rig.simulator.summary().count, 0);
}
