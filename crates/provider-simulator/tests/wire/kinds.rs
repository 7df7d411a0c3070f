//! Each kind as its provider's documentation shows it: a call, a wrong credential, receipts whose signatures are
//! checked here by other code than signs them, and an inbound message.

mod bandwidth;
mod bird;
mod http;
mod infobip;
mod mailgun;
mod messagebird;
mod plivo;
mod postmark;
mod resend;
mod ses;
mod sinch;
mod smtp;
mod telnyx;
mod vectors;
mod vonage;
mod whatsapp;

use ::http::Method;
use hmac::{Hmac, KeyInit as _, Mac as _};
use provider_simulator::{Account, Kind, Options};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::rig::{Answer, Hook, MESSAGE_ID, Rig, Target, options};

/// A simulator with the demo account of a kind, whose webhooks all go to the target.
pub(crate) async fn start(kind: &str) -> (Rig, Target, Account) {
    let target = Target::start().await;
    let account = Account {
        webhook_url: Some(format!("{}/hook?x=1", target.url).parse().unwrap()),
        ..Kind::named(kind).unwrap().demo_account()
    };
    let rig = Rig::start(Options { accounts: vec![account.clone()], ..options() }).await;
    (rig, target, account)
}

impl Rig {
    pub(crate) async fn send_json(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        let headers = [headers, &[("content-type", "application/json")]].concat();
        self.call(Method::POST, path, &headers, body.to_string()).await.expect("the connection broke")
    }

    /// The newest entry of the ledger.
    pub(crate) async fn entry(&self) -> Value {
        self.get("/ledger?limit=1").await["messages"][0].clone()
    }

    /// Somebody writes to us; the webhook is what was asked for.
    pub(crate) async fn inbound(&self, request: Value) -> String {
        let answer = self.post("/inbound", request).await;
        assert_eq!((answer.status, &answer.json()["statuses"]), (200, &json!([200])), "{answer:?}");
        answer.json()["provider_message_id"].as_str().unwrap().to_owned()
    }
}

/// What every entry has that these tests send.
pub(crate) fn assert_entry(entry: &Value, kind: &str, to: &str, provider_message_id: &Value) {
    assert_eq!((&entry["kind"], &entry["to"]), (&json!(kind), &json!(to)));
    assert_eq!((&entry["message_id"], &entry["attempt"]), (&json!(MESSAGE_ID), &json!(2)));
    assert_eq!(&entry["provider_message_id"], provider_message_id);
}

impl Hook {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {:?}", self.body))
    }
}

pub(crate) fn is_hmac_sha256(key: &[u8], text: &[u8], signature: &[u8]) -> bool {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text);
    mac.verify_slice(signature).is_ok()
}

pub(crate) fn hmac_sha256(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

pub(crate) fn from_hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

pub(crate) fn from_base64(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

pub(crate) fn basic(user: &str, password: &str) -> String {
    use base64::Engine as _;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}")))
}

/// The claims of a token whose signature is right.
pub(crate) fn claims(token: &str, key: &str) -> Value {
    use base64::Engine as _;
    let decode = |text| base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).unwrap();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    assert!(is_hmac_sha256(key.as_bytes(), signed.as_bytes(), &decode(signature)));
    let (head, claims) = signed.split_once('.').unwrap();
    let head: Value = serde_json::from_slice(&decode(head)).unwrap();
    assert_eq!(head["alg"], "HS256");
    serde_json::from_slice(&decode(claims)).unwrap()
}

#[test]
fn every_kind_is_in_the_guide_with_its_demonstration_account() {
    let guide = include_str!("../../../../docs/simulator.md");
    for kind in Kind::all() {
        let (name, account) = (kind.as_str(), kind.demo_account());
        assert!(guide.contains(&format!("| `{name}` |")), "{name} is not in the table");
        let its = match name {
            "twilio" | "sendgrid" => guide,
            _ => guide.split(&format!("kind = \"{name}\"\n")).nth(1).unwrap().split("[[").next().unwrap(),
        };
        for value in [&account.name, &account.secret] {
            assert!(its.contains(value.as_str()), "{name}: {value}");
        }
    }
}
