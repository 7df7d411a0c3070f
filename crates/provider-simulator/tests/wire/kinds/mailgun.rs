//! Mailgun.

use http::Method;
use provider_simulator::{DEMO_MAILGUN_API_KEY, DEMO_MAILGUN_SIGNING_KEY};
use serde_json::{Value, json};

use super::{assert_entry, basic, from_hex, is_hmac_sha256, start};
use crate::rig::{Answer, MESSAGE_ID, Rig};

const PATH: &str = "/v3/mg.example.com/messages";

async fn send(rig: &Rig, path: &str, password: &str, fields: &[(&str, &str)]) -> Answer {
    let mut body = String::new();
    for (name, value) in fields {
        let kind =
            if *name == "attachment" { "; filename=\"a.txt\"\r\nContent-Type: text/plain" } else { "" };
        body.push_str(&format!(
            "--b1\r\nContent-Disposition: form-data; name=\"{name}\"{kind}\r\n\r\n{value}\r\n"
        ));
    }
    body.push_str("--b1--\r\n");
    let authorization = basic("api", password);
    let headers = [("authorization", &*authorization), ("content-type", "multipart/form-data; boundary=b1")];
    rig.call(Method::POST, path, &headers, body).await.unwrap()
}

const MAIL: [(&str, &str); 8] = [
    ("from", "App <app@example.com>"),
    ("to", "ann@example.net"),
    ("subject", "Hi"),
    ("text", "Hello\r\nAnn"),
    ("o:tag", "welcome"),
    ("v:relay_id", MESSAGE_ID),
    ("v:relay_attempt", "2"),
    ("attachment", "hello"),
];

pub(super) fn assert_signed(signature: &Value, key: &str) {
    let text = |name: &str| signature[name].as_str().unwrap().to_owned();
    let signed = text("timestamp") + &text("token");
    assert!(is_hmac_sha256(key.as_bytes(), signed.as_bytes(), &from_hex(&text("signature"))));
}

#[tokio::test]
async fn a_mail_is_accepted_and_reported() {
    let (rig, mut target, _) = start("mailgun").await;
    let answer = send(&rig, PATH, DEMO_MAILGUN_API_KEY, &MAIL).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    let bare = id.strip_prefix('<').unwrap().strip_suffix('>').unwrap();
    let entry = rig.entry().await;
    assert_entry(&entry, "mailgun", "ann@example.net", &json!(bare));
    assert_eq!((&entry["body"], &entry["media"]), (&json!("Hello\r\nAnn"), &json!(["a.txt"])));
    for name in ["accepted", "delivered"] {
        let event = target.next().await.json();
        assert_signed(&event["signature"], DEMO_MAILGUN_SIGNING_KEY);
        let data = &event["event-data"];
        assert_eq!((&data["event"], &data["recipient"]), (&json!(name), &json!("ann@example.net")));
        assert_eq!(data["message"]["headers"]["message-id"], bare);
        assert_eq!(data["user-variables"]["relay_id"], MESSAGE_ID);
        assert_eq!(data["tags"], json!(["welcome"]));
    }
    rig.fault(json!({ "type": "undelivered", "code": 605 }), json!({})).await;
    send(&rig, PATH, DEMO_MAILGUN_API_KEY, &MAIL).await;
    target.next().await;
    let data = target.next().await.json()["event-data"].clone();
    assert_eq!((&data["event"], &data["severity"]), (&json!("failed"), &json!("permanent")));
    assert_eq!(data["delivery-status"]["code"], 605);
}

#[tokio::test]
async fn a_wrong_key_another_domain_and_a_bad_address_are_refused() {
    let (rig, _target, _) = start("mailgun").await;
    let answer = send(&rig, PATH, "wrong", &MAIL).await;
    assert_eq!((answer.status, &answer.body[..]), (401, &b"Forbidden"[..]));
    assert_eq!(send(&rig, "/v3/other.example.com/messages", DEMO_MAILGUN_API_KEY, &MAIL).await.status, 404);
    let answer = send(&rig, PATH, DEMO_MAILGUN_API_KEY, &[("to", "nobody"), MAIL[0], MAIL[3]]).await;
    assert_eq!(answer.status, 400);
    assert!(answer.json()["message"].as_str().unwrap().starts_with("'to' parameter is not a valid address"));
    assert_eq!(rig.simulator.summary().count, 0);
}

#[tokio::test]
async fn inbound_mail_is_a_signed_form() {
    let (rig, mut target, _) = start("mailgun").await;
    let request = json!({
        "kind": "mailgun", "from": "bob@example.net", "to": "app@example.com", "subject": "Grüße", "body": "x",
    });
    let id = rig.inbound(request).await;
    let form = target.next().await.form();
    assert_signed(&json!(form), DEMO_MAILGUN_SIGNING_KEY);
    assert_eq!((form["recipient"].as_str(), form["sender"].as_str()), ("app@example.com", "bob@example.net"));
    assert_eq!((form["subject"].as_str(), &form["Message-Id"]), ("Grüße", &format!("<{id}>")));
    let raw = json!({
        "kind": "mailgun", "from": "bob@example.net", "to": "app@example.com", "body": "x",
        "webhook_url": format!("{}/mime", target.url),
    });
    rig.inbound(raw).await;
    assert!(target.next().await.form()["body-mime"].contains("Message-ID: <"));
}
