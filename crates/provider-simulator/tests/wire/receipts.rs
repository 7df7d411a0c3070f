//! Receipts: signed, in order, as often and as late as told.

use provider_simulator::{Options, Receipts, SendgridAccount};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpSocket};

use crate::rig::{MESSAGE_ID, PLAIN, Rig, Target, options, plain_mail};

fn with_events(target: &Target) -> Options {
    let event_webhook_url = Some(format!("{}/events?x=1", target.url).parse().unwrap());
    let account = SendgridAccount { event_webhook_url, ..SendgridAccount::default() };
    Options { sendgrid: vec![account], ..options() }
}

async fn sms_to(rig: &Rig, target: &Target) -> String {
    // An escape that a parser would rewrite: the query has to come back as it was given.
    let callback = format!("{}/api/webhooks/twilio-main?m={MESSAGE_ID}&attempt=1&k=a%20b", target.url);
    let mut form = PLAIN.to_vec();
    form.push(("StatusCallback", &callback));
    let answer = rig.sms(&form).await;
    answer.json()["sid"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn twilio_reports_sent_then_delivered_signed_to_the_callbacks_exact_url() {
    let mut target = Target::start().await;
    let rig = Rig::start(options()).await;
    let sid = sms_to(&rig, &target).await;
    for status in ["sent", "delivered"] {
        let hook = target.next().await;
        assert!(hook.url.ends_with(&format!("/api/webhooks/twilio-main?m={MESSAGE_ID}&attempt=1&k=a%20b")));
        assert!(hook.header("content-type").starts_with("application/x-www-form-urlencoded"));
        hook.assert_signed_by_twilio();
        let form = hook.form();
        assert_eq!(form["MessageStatus"], status);
        assert_eq!(form["SmsStatus"], status);
        assert_eq!(form["MessageSid"], sid);
        assert_eq!(form["From"], "+12025550100");
        assert_eq!(form["To"], "+12025550199");
        assert_eq!(form.contains_key("RawDlrDoneDate"), status == "delivered");
    }
}

#[tokio::test]
async fn sendgrid_reports_processed_then_delivered_signed_with_the_custom_arguments() {
    let mut target = Target::start().await;
    let rig = Rig::start(with_events(&target)).await;
    let answer = rig.mail(&plain_mail()).await;
    let id = answer.headers["x-message-id"].to_str().unwrap();
    for name in ["processed", "delivered"] {
        let hook = target.next().await;
        assert!(hook.url.ends_with("/events?x=1"));
        let events = hook.signed_events();
        assert_eq!(events.len(), 1);
        assert_eq!(events[0]["event"], name);
        assert_eq!(events[0]["email"], "ann@example.net");
        assert_eq!(events[0]["app_message_id"], MESSAGE_ID);
        assert_eq!(events[0]["app_attempt"], "2");
        assert_eq!(events[0]["sg_message_id"].as_str().unwrap().split_once('.').unwrap().0, id);
    }
}

#[tokio::test]
async fn an_undelivered_message_reports_the_code() {
    let mut target = Target::start().await;
    let rig = Rig::start(with_events(&target)).await;
    rig.fault(json!({ "type": "undelivered", "code": 30005 }), json!({ "kind": "twilio" })).await;
    let sid = sms_to(&rig, &target).await;
    assert_eq!(target.next().await.form()["MessageStatus"], "sent");
    let form = target.next().await.form();
    assert_eq!((form["MessageStatus"].as_str(), form["ErrorCode"].as_str()), ("undelivered", "30005"));
    rig.fault(json!({ "type": "undelivered", "code": "5.2.2" }), json!({ "kind": "sendgrid" })).await;
    rig.mail(&plain_mail()).await;
    assert_eq!(target.next().await.signed_events()[0]["event"], "processed");
    let bounce = target.next().await.signed_events().remove(0);
    assert_eq!(
        (&bounce["event"], &bounce["type"], &bounce["status"]),
        (&json!("bounce"), &json!("bounce"), &json!("5.2.2"))
    );
    let path = crate::rig::messages_path().replace(".json", &format!("/{sid}.json"));
    let headers = [("authorization", &*crate::rig::basic())];
    let message = rig.call(http::Method::GET, &path, &headers, "").await.unwrap().json();
    assert_eq!((&message["status"], &message["error_code"]), (&json!("undelivered"), &json!(30005)));
}

#[tokio::test]
async fn duplicate_receipts_are_the_same_receipt_again() {
    let mut target = Target::start().await;
    let rig = Rig::start(with_events(&target)).await;
    rig.fault(json!({ "type": "duplicate_receipts", "copies": 2 }), json!({})).await;
    sms_to(&rig, &target).await;
    let first = target.next().await;
    for _ in 0..2 {
        let copy = target.next().await;
        assert_eq!(copy.body, first.body);
        copy.assert_signed_by_twilio();
    }
    for _ in 0..3 {
        assert_eq!(target.next().await.form()["MessageStatus"], "delivered");
    }
    rig.mail(&plain_mail()).await;
    let events = target.next().await.signed_events();
    assert_eq!(events.len(), 3);
    assert!(events.iter().all(|event| event["sg_event_id"] == events[0]["sg_event_id"]));
}

#[tokio::test]
async fn a_message_without_receipts_lets_others_report() {
    let mut target = Target::start().await;
    let rig = Rig::start(options()).await;
    rig.fault(json!({ "type": "no_receipts" }), json!({ "to": "+12025550199" })).await;
    sms_to(&rig, &target).await;
    let callback = format!("{}/other", target.url);
    let other =
        [("From", "+12025550100"), ("To", "+12025550200"), ("Body", "x"), ("StatusCallback", &*callback)];
    rig.sms(&other).await;
    for status in ["sent", "delivered"] {
        let form = target.next().await.form();
        assert_eq!((form["To"].as_str(), form["MessageStatus"].as_str()), ("+12025550200", status));
    }
    assert!(target.is_empty());
}

#[tokio::test]
async fn late_receipts_come_after_the_receipts_of_later_messages() {
    let mut target = Target::start().await;
    let rig = Rig::start(options()).await;
    rig.fault(json!({ "type": "late_receipts", "delay_ms": 1500 }), json!({ "to": "+12025550199" })).await;
    sms_to(&rig, &target).await;
    let callback = format!("{}/other", target.url);
    let other =
        [("From", "+12025550100"), ("To", "+12025550200"), ("Body", "x"), ("StatusCallback", &*callback)];
    rig.sms(&other).await;
    let mut order = Vec::new();
    for _ in 0..4 {
        let form = target.next().await.form();
        order.push(format!("{} {}", form["To"], form["MessageStatus"]));
    }
    let expected =
        ["+12025550200 sent", "+12025550200 delivered", "+12025550199 sent", "+12025550199 delivered"];
    assert_eq!(order, expected);
}

#[tokio::test]
async fn a_receipt_waits_for_a_target_that_is_not_there_yet() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    let rig = Rig::start(options()).await;
    let callback = format!("http://{address}/hook");
    let mut form = PLAIN.to_vec();
    form.push(("StatusCallback", &callback));
    assert_eq!(rig.sms(&form).await.status, 201);
    // Bound but not listening: connections are refused until here.
    let listener: TcpListener = socket.listen(64).unwrap();
    let mut target = Target::on(listener);
    assert_eq!(target.next().await.form()["MessageStatus"], "sent");
    assert_eq!(target.next().await.form()["MessageStatus"], "delivered");
}

#[tokio::test]
async fn sendgrid_repeats_a_batch_until_it_is_taken_and_twilio_does_not() {
    let mut target = Target::start().await;
    let rig = Rig::start(with_events(&target)).await;
    target.answer_with(&[503, 500]);
    rig.mail(&plain_mail()).await;
    let ids: Vec<Value> = [target.next().await, target.next().await, target.next().await]
        .iter()
        .map(|hook| hook.signed_events()[0]["sg_event_id"].clone())
        .collect();
    assert!(ids.iter().all(|id| *id == ids[0]));
    assert_eq!(target.next().await.signed_events()[0]["event"], "delivered");
    target.answer_with(&[503]);
    sms_to(&rig, &target).await;
    assert_eq!(target.next().await.form()["MessageStatus"], "sent");
    assert_eq!(target.next().await.form()["MessageStatus"], "delivered");
}

#[tokio::test]
async fn events_of_many_mails_share_calls_and_none_is_lost() {
    const MAILS: usize = 500;
    let mut target = Target::start().await;
    let receipts = Receipts { enabled: true, sent_after_ms: 200, delivered_after_ms: 200 };
    let rig = Rig::start(Options { receipts, max_deliveries: 2, ..with_events(&target) }).await;
    for number in 0..MAILS {
        let mut mail = plain_mail();
        mail["personalizations"][0]["to"][0]["email"] = json!(format!("ann{number}@example.net"));
        rig.mail(&mail).await;
    }
    let (mut delivered, mut calls) = (std::collections::HashSet::new(), 0);
    while delivered.len() < MAILS {
        calls += 1;
        for event in target.next().await.signed_events() {
            if event["event"] == "delivered" {
                assert!(delivered.insert(event["email"].to_string()));
            }
        }
    }
    assert!(calls < 2 * MAILS, "{calls} calls");
}
