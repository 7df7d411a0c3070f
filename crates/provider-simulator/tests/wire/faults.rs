//! What a client sees of each scripted fault.

use http::Method;
use provider_simulator::{Fault, MAGIC, Matcher, Rule};
use serde_json::{Value, json};

use crate::rig::{PLAIN, Rig, Target, in_time, options, plain_mail};

async fn rig_with(fault: Value) -> Rig {
    let rig = Rig::start(options()).await;
    rig.fault(fault, json!({})).await;
    rig
}

#[tokio::test]
async fn throttle_answers_429_and_tells_the_wait_in_seconds() {
    let rig = rig_with(json!({ "type": "throttle", "retry_after_s": 7 })).await;
    let answer = rig.sms(&PLAIN).await;
    assert_eq!((answer.status, answer.json()["code"].clone()), (429, json!(20429)));
    assert_eq!(answer.headers["retry-after"], "7");
    let answer = rig.mail(&plain_mail()).await;
    assert_eq!(answer.status, 429);
    assert_eq!(rig.simulator.summary().count, 0);
}

#[tokio::test]
async fn throttle_tells_the_wait_as_a_date_or_as_a_reset_time() {
    let rig = rig_with(json!({ "type": "throttle", "retry_after_s": 60, "form": "http_date" })).await;
    let date = rig.sms(&PLAIN).await.headers["retry-after"].to_str().unwrap().to_owned();
    assert!(httpdate::parse_http_date(&date).is_ok(), "{date}");
    rig.simulator.clear_faults();
    rig.fault(json!({ "type": "throttle", "retry_after_s": 60, "form": "rate_limit_reset" }), json!({}))
        .await;
    let headers = rig.mail(&plain_mail()).await.headers;
    assert!(!headers.contains_key("retry-after"));
    assert!(headers["x-ratelimit-reset"].to_str().unwrap().parse::<u64>().unwrap() > 1_700_000_000);
}

#[tokio::test]
async fn status_answers_as_told_in_the_providers_form() {
    let rig = rig_with(json!({ "type": "status", "status": 400, "code": 21614, "message": "no" })).await;
    let answer = rig.sms(&PLAIN).await;
    assert_eq!(answer.status, 400);
    assert_eq!(
        (answer.json()["code"].clone(), answer.json()["message"].clone()),
        (json!(21614), json!("no"))
    );
    assert_eq!(rig.mail(&plain_mail()).await.json()["errors"][0]["message"], "no");
}

#[tokio::test]
async fn reset_breaks_the_connection_and_accepts_nothing() {
    let rig = rig_with(json!({ "type": "reset" })).await;
    assert!(rig.try_sms(&PLAIN).await.is_none());
    assert!(rig.try_mail(&plain_mail()).await.is_none());
    assert_eq!(rig.simulator.summary().count, 0);
    assert_eq!(rig.simulator.summary().calls_by_answer["reset"], 2);
}

#[tokio::test]
async fn accept_then_reset_breaks_the_connection_and_has_the_message() {
    let rig = rig_with(json!({ "type": "accept_then_reset" })).await;
    assert!(rig.try_sms(&PLAIN).await.is_none());
    let ledger = rig.get("/ledger").await;
    assert_eq!(ledger["count"], 1);
    assert_eq!(ledger["messages"][0]["faults"], json!(["accept_then_reset"]));
}

#[tokio::test]
async fn hang_answers_late_or_never_if_the_client_leaves() {
    let rig = rig_with(json!({ "type": "hang", "for_s": 0.01 })).await;
    assert_eq!(rig.sms(&PLAIN).await.status, 201);
    rig.simulator.clear_faults();
    rig.fault(json!({ "type": "hang", "for_s": 3600, "accept_first": true }), json!({})).await;
    tokio::select! {
        _ = rig.sms(&PLAIN) => panic!("it answered"),
        ledger = rig.get("/ledger?wait_count=2") => assert_eq!(ledger["count"], 2),
    }
    rig.simulator.clear_faults();
    rig.fault(json!({ "type": "hang", "for_s": 3600 }), json!({})).await;
    tokio::select! {
        _ = rig.sms(&PLAIN) => panic!("it answered"),
        () = async { while rig.simulator.summary().calls < 3 { tokio::task::yield_now().await } } => {}
    }
    assert_eq!(rig.simulator.summary().count, 2);
}

#[tokio::test]
async fn garbage_is_a_success_that_cannot_be_read() {
    let rig = rig_with(json!({ "type": "garbage" })).await;
    let answer = rig.sms(&PLAIN).await;
    assert_eq!(answer.status, 201);
    assert!(serde_json::from_slice::<Value>(&answer.body).is_err());
    let answer = rig.mail(&plain_mail()).await;
    assert_eq!(answer.status, 202);
    assert!(!answer.headers.contains_key("x-message-id"));
    assert_eq!(rig.simulator.summary().count, 2);
}

#[tokio::test]
async fn truncated_ends_the_connection_within_the_body() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let rig = rig_with(json!({ "type": "truncated" })).await;
    let address = rig.url.strip_prefix("http://").unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(PLAIN).finish();
    let request = format!(
        "POST {} HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\ncontent-length: {}\r\n\r\n{body}",
        crate::rig::messages_path(),
        crate::rig::basic(),
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // How it ends, orderly or by a reset, does not matter: the promised length is not reached.
    let _ = in_time(stream.read_to_end(&mut answer)).await;
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 201"), "{head}");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    assert_eq!(body.len(), length.parse::<usize>().unwrap() / 2);
    assert_eq!(rig.simulator.summary().count, 1);
}

#[tokio::test]
async fn slow_body_sends_the_head_and_then_the_whole_answer_bit_by_bit() {
    let rig = rig_with(json!({ "type": "slow_body", "for_s": 0.05 })).await;
    let answer = rig.sms(&PLAIN).await;
    assert_eq!((answer.status, answer.json()["status"].clone()), (201, json!("queued")));
    assert_eq!(answer.headers.get("transfer-encoding").unwrap(), "chunked");
}

#[tokio::test]
async fn an_outage_meets_its_kind_alone_and_ends() {
    let rig = rig_with(json!({ "type": "status", "status": 418 })).await;
    rig.simulator.clear_faults();
    rig.fault(json!({ "type": "outage", "for_s": 3600 }), json!({ "kind": "twilio" })).await;
    assert_eq!(rig.sms(&PLAIN).await.status, 503);
    assert_eq!(rig.mail(&plain_mail()).await.status, 202);
    rig.call(Method::DELETE, "/faults", &[], "").await.unwrap();
    rig.fault(json!({ "type": "outage", "for_s": 3600, "how": "reset" }), json!({ "kind": "twilio" })).await;
    assert!(rig.try_sms(&PLAIN).await.is_none());
    rig.call(Method::DELETE, "/faults", &[], "").await.unwrap();
    rig.fault(json!({ "type": "outage", "for_s": 0 }), json!({ "kind": "twilio" })).await;
    assert_eq!(rig.sms(&PLAIN).await.status, 201);
}

#[tokio::test]
async fn an_outage_that_refuses_closes_the_port_and_opens_it_again() {
    let rig = Rig::start(options()).await;
    assert_eq!(rig.sms(&PLAIN).await.status, 201);
    rig.fault(json!({ "type": "outage", "for_s": 3600, "how": "refuse" }), json!({})).await;
    let address = rig.url.strip_prefix("http://").unwrap().to_owned();
    in_time(async {
        while tokio::net::TcpStream::connect(&address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    rig.simulator.clear_faults();
    in_time(async {
        while tokio::net::TcpStream::connect(&address).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(rig.sms(&PLAIN).await.status, 201);
}

#[tokio::test]
async fn rules_match_by_address_are_spent_and_leave_others_alone() {
    let rig = Rig::start(options()).await;
    let body = json!({
        "match": { "kind": "twilio", "to_prefix": "+1202555019" }, "times": 2,
        "fault": { "type": "status", "status": 503 },
    });
    let rule = rig.post("/faults", body).await.json();
    assert_eq!(rule["id"], 1);
    let other = [("From", "+12025550100"), ("To", "+12025550200"), ("Body", "Hello")];
    assert_eq!(rig.sms(&other).await.status, 201);
    assert_eq!(rig.sms(&PLAIN).await.status, 503);
    assert_eq!(rig.get("/faults").await["faults"][0]["hits"], 1);
    assert_eq!(rig.sms(&PLAIN).await.status, 503);
    assert_eq!(rig.sms(&PLAIN).await.status, 201);
    assert_eq!(rig.get("/faults").await["faults"], json!([]));
}

#[tokio::test]
async fn a_share_of_calls_is_the_same_share_for_the_same_seed() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let rig = Rig::start(options()).await;
        let rule = json!({ "fault": { "type": "status", "status": 503 }, "probability": 0.5 });
        assert_eq!(rig.post("/faults", rule).await.status, 201);
        let mut run = Vec::new();
        for _ in 0..40 {
            run.push(rig.sms(&PLAIN).await.status);
        }
        assert!(run.contains(&201) && run.contains(&503));
        runs.push(run);
    }
    assert_eq!(runs[0], runs[1]);
}

#[tokio::test]
async fn rules_that_make_no_sense_are_refused_with_a_sentence() {
    let rig = Rig::start(options()).await;
    for rule in [
        json!({ "fault": { "type": "explode" } }),
        json!({ "fault": { "type": "status", "status": 200 } }),
        json!({ "fault": { "type": "hang", "for_s": -1 } }),
        json!({ "fault": { "type": "reset" }, "probability": 2 }),
        json!({ "fault": { "type": "reset" }, "tiems": 1 }),
        json!({ "fault": { "type": "outage", "for_s": 1, "how": "refuse" }, "match": { "kind": "twilio" } }),
    ] {
        let answer = rig.post("/faults", rule.clone()).await;
        assert_eq!(answer.status, 400, "{rule}");
        assert!(answer.json()["error"].as_str().is_some_and(|sentence| sentence.len() > 10));
    }
}

#[tokio::test]
async fn magic_recipients_meet_the_first_call_of_a_message_and_not_its_retry() {
    let rig = Rig::start(options()).await;
    let to_429 = [("From", "+12025550100"), ("To", "+15005550429"), ("Body", "Hello")];
    assert_eq!(rig.sms(&to_429).await.headers["retry-after"], "2");
    assert_eq!(rig.sms(&to_429).await.status, 201);
    let mut mail = plain_mail();
    mail["personalizations"][0]["to"][0]["email"] = json!("fault-accept-then-reset@example.net");
    assert!(rig.try_mail(&mail).await.is_none());
    assert_eq!(rig.mail(&mail).await.status, 202);
    assert_eq!(rig.simulator.summary().duplicates, 1);
    let to_500 = [("From", "+12025550100"), ("To", "+15005550500"), ("Body", "Hello")];
    assert_eq!(rig.sms(&to_500).await.status, 500);
    assert_eq!(rig.sms(&to_500).await.status, 500);
}

#[test]
fn magic_recipients_are_distinct_and_documented() {
    let guide = include_str!("../../../../docs/simulator.md");
    let mut seen = std::collections::HashSet::new();
    for magic in MAGIC {
        assert!(seen.insert(magic.number) && seen.insert(magic.local_part));
        assert!(guide.contains(&format!("| `{}` | `{}@` |", magic.number, magic.local_part)), "{magic:?}");
        assert!(guide.contains(&format!("`{}`", magic.fault.name())));
    }
}

#[tokio::test]
async fn faults_of_the_library_are_those_of_the_control_api() {
    let rig = Rig::start(options()).await;
    let matches = Matcher { to: Some("+12025550199".to_owned()), ..Matcher::default() };
    let rule = Rule { matches, fault: Fault::Reset, times: None, probability: None };
    rig.simulator.add_fault(rule).unwrap();
    let listed = &rig.get("/faults").await["faults"][0];
    assert_eq!(listed["match"], json!({ "to": "+12025550199" }));
    assert_eq!(listed["fault"], json!({ "type": "reset" }));
}

#[tokio::test]
async fn a_receipt_can_come_before_the_answer() {
    let mut target = Target::start().await;
    let rig = rig_with(json!({ "type": "receipts_before_answer" })).await;
    rig.fault(json!({ "type": "hang", "for_s": 3600, "accept_first": true }), json!({})).await;
    let callback = format!("{}/hook", target.url);
    let mut form = PLAIN.to_vec();
    form.push(("StatusCallback", &callback));
    tokio::select! {
        _ = rig.sms(&form) => panic!("it answered"),
        () = async {
            assert_eq!(target.next().await.form()["MessageStatus"], "sent");
            assert_eq!(target.next().await.form()["MessageStatus"], "delivered");
        } => {}
    }
    assert_eq!(rig.simulator.summary().calls_by_answer.get("201"), None);
}
