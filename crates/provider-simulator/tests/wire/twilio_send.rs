//! Creating, listing and fetching messages; what is refused, with Twilio's codes.

use http::Method;
use provider_simulator::DEMO_TWILIO_ACCOUNT_SID;
use serde_json::{Value, json};

use crate::rig::{MESSAGE_ID, PLAIN, Rig, basic, messages_path, options};

/// The plain message with one parameter replaced, added or left out.
fn changed<'a>(name: &'a str, value: Option<&'a str>) -> Vec<(&'a str, &'a str)> {
    let kept = PLAIN.into_iter().filter(|(key, _)| *key != name);
    kept.chain(value.map(|value| (name, value))).collect()
}

#[tokio::test]
async fn a_message_is_answered_201_in_the_official_form() {
    let rig = Rig::start(options()).await;
    let answer = rig.sms(&PLAIN).await;
    assert_eq!(answer.status, 201);
    let message = answer.json();
    let sid = message["sid"].as_str().unwrap();
    assert!(sid.len() == 34 && sid.starts_with("SM"), "{sid}");
    assert!(sid[2..].bytes().all(|byte| byte.is_ascii_hexdigit()));
    for (field, value) in [
        ("account_sid", json!(DEMO_TWILIO_ACCOUNT_SID)),
        ("api_version", json!("2010-04-01")),
        ("body", json!("Hello")),
        ("direction", json!("outbound-api")),
        ("error_code", Value::Null),
        ("from", json!("+12025550100")),
        ("num_media", json!("0")),
        ("num_segments", json!("1")),
        ("price", Value::Null),
        ("status", json!("queued")),
        ("to", json!("+12025550199")),
        ("date_sent", Value::Null),
        ("uri", json!(format!("/2010-04-01/Accounts/{DEMO_TWILIO_ACCOUNT_SID}/Messages/{sid}.json"))),
    ] {
        assert_eq!(message[field], value, "{field}");
    }
    let created = message["date_created"].as_str().unwrap();
    assert!(created.ends_with(" +0000") && created.as_bytes()[3] == b',', "{created}");
}

#[tokio::test]
async fn media_makes_an_mms_and_a_messaging_service_an_accepted_message() {
    let rig = Rig::start(options()).await;
    let mut form = PLAIN.to_vec();
    form.extend([("MediaUrl", "https://example.com/a.jpg"), ("MediaUrl", "https://example.com/b.jpg")]);
    let message = rig.sms(&form).await.json();
    assert!(message["sid"].as_str().unwrap().starts_with("MM"));
    assert_eq!(message["num_media"], "2");
    let service = "MG0123456789abcdef0123456789abcdef";
    let form = [("MessagingServiceSid", service), ("To", "+12025550199"), ("Body", "Hello")];
    let message = rig.sms(&form).await.json();
    assert_eq!(message["status"], "accepted");
    assert_eq!(message["from"], Value::Null);
    assert_eq!(message["num_segments"], "0");
}

#[tokio::test]
async fn bad_parameters_are_refused_with_twilios_codes() {
    let rig = Rig::start(options()).await;
    let long = "x".repeat(1601);
    let cases: &[(&str, Option<&str>, u32)] = &[
        ("To", None, 21604),
        ("To", Some("12"), 21211),
        ("To", Some("+1202555019x"), 21211),
        ("To", Some("+15005550001"), 21211),
        ("To", Some("+15005550002"), 21612),
        ("To", Some("+15005550003"), 21408),
        ("To", Some("+15005550004"), 21610),
        ("To", Some("+15005550009"), 21614),
        ("From", None, 21603),
        ("From", Some("?"), 21212),
        ("From", Some("a name too long"), 21212),
        ("From", Some("+15005550008"), 21611),
        ("MessagingServiceSid", Some("MG1"), 21701),
        ("Body", None, 21602),
        ("Body", Some(&long), 21617),
        ("MediaUrl", Some("ftp://example.com/a"), 21620),
        ("StatusCallback", Some("/relative"), 21609),
        ("StatusCallback", Some("http://under_score.example.com/"), 21609),
        ("ValidityPeriod", Some("36001"), 21624),
    ];
    for (name, value, code) in cases {
        let answer = rig.sms(&changed(name, *value)).await;
        assert_eq!(answer.status, 400, "{name} {value:?}");
        let error = answer.json();
        assert_eq!(error["code"], *code, "{name} {value:?}");
        assert_eq!(error["status"], 400);
        assert_eq!(error["more_info"], format!("https://www.twilio.com/docs/errors/{code}"));
    }
    let mut form = PLAIN.to_vec();
    form.extend([("MediaUrl", "https://example.com/a.jpg"); 11]);
    assert_eq!(rig.sms(&form).await.json()["code"], 21623);
    assert_eq!(rig.simulator.summary().count, 0);
    assert_eq!(rig.simulator.summary().calls, cases.len() + 1);
}

#[tokio::test]
async fn a_body_of_1600_characters_a_short_code_and_a_name_are_taken() {
    let rig = Rig::start(options()).await;
    let longest = "ü".repeat(1600);
    assert_eq!(rig.sms(&changed("Body", Some(&longest))).await.status, 201);
    assert_eq!(rig.sms(&changed("From", Some("12345"))).await.status, 201);
    assert_eq!(rig.sms(&changed("From", Some("Acme Inc"))).await.status, 201);
    assert_eq!(rig.sms(&changed("From", Some("+15005550006"))).await.status, 201);
}

#[tokio::test]
async fn wrong_credentials_and_another_account_are_refused() {
    let rig = Rig::start(options()).await;
    let answer = rig.call(Method::POST, &messages_path(), &[], "").await.unwrap();
    assert_eq!((answer.status, answer.json()["code"].clone()), (401, json!(20003)));
    let wrong = [("authorization", "Basic QUM6eA==")];
    assert_eq!(rig.call(Method::POST, &messages_path(), &wrong, "").await.unwrap().status, 401);
    let path = "/2010-04-01/Accounts/AC00000000000000000000000000000009/Messages.json";
    let answer = rig.call(Method::POST, path, &[("authorization", &basic())], "").await.unwrap();
    assert_eq!((answer.status, answer.json()["code"].clone()), (404, json!(20404)));
}

#[tokio::test]
async fn messages_are_listed_by_address_and_fetched_by_sid() {
    let rig = Rig::start(options()).await;
    let sid = rig.sms(&PLAIN).await.json()["sid"].clone();
    rig.sms(&changed("To", Some("+12025550111"))).await;
    let headers = [("authorization", &*basic())];
    let path = format!("{}?To=%2B12025550199&From=%2B12025550100", messages_path());
    let page = rig.call(Method::GET, &path, &headers, "").await.unwrap().json();
    assert_eq!(page["messages"].as_array().unwrap().len(), 1);
    assert_eq!(page["messages"][0]["sid"], sid);
    let path = messages_path().replace(".json", &format!("/{}.json", sid.as_str().unwrap()));
    assert_eq!(rig.call(Method::GET, &path, &headers, "").await.unwrap().json()["sid"], sid);
    let missing = rig.call(Method::GET, &path.replace("SM", "SX"), &headers, "").await.unwrap();
    assert_eq!((missing.status, missing.json()["code"].clone()), (404, json!(20404)));
}

#[tokio::test]
async fn the_senders_id_and_attempt_are_read_from_the_callback() {
    let rig = Rig::start(options()).await;
    let callback = format!("http://127.0.0.1:9/hook?message={MESSAGE_ID}&attempt=3");
    let mut form = PLAIN.to_vec();
    form.push(("StatusCallback", &callback));
    rig.sms(&form).await;
    let ledger = rig.get("/ledger").await;
    assert_eq!(ledger["messages"][0]["message_id"], MESSAGE_ID);
    assert_eq!(ledger["messages"][0]["attempt"], 3);
    assert_eq!(ledger["messages"][0]["channel"], "sms");
}
