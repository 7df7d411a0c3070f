//! What comes in: generic and providers' own webhooks, receipts, files, and what is kept.

use bytes::Bytes;
use http::Method;
use provider_simulator::twilio_signature;
use serde_json::{Value, json};
use service::Clock;
use testkit::Answer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::server::{CONFIG, PUBLIC_URL, Server, TWILIO_SID, TWILIO_TOKEN, code, server, server_with};

pub(crate) const TWILIO: &str = "/api/webhooks/twilio-main";

fn form(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

pub(crate) async fn post_twilio(
    server: &Server,
    target: &str,
    signed_for: &str,
    form: &[(String, String)],
) -> Answer {
    let signature = twilio_signature(TWILIO_TOKEN, signed_for, form);
    let headers =
        [("content-type", "application/x-www-form-urlencoded"), ("x-twilio-signature", signature.as_str())];
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    server.client.send(Method::POST, target, &headers, Bytes::from(body)).await
}

pub(crate) fn inbound_sms(sid: &str) -> Vec<(String, String)> {
    form(&[
        ("AccountSid", TWILIO_SID),
        ("MessageSid", sid),
        ("SmsSid", sid),
        ("SmsStatus", "received"),
        ("From", "+12025550199"),
        ("To", "+12025550100"),
        ("Body", "Hello back"),
        ("NumMedia", "0"),
    ])
}

pub(crate) const SID: &str = "SM00000000000000000000000000000001";

#[tokio::test]
async fn a_signed_inbound_sms_joins_the_conversation_and_is_stored_once() {
    let server = server().await;
    let sent = server.send_sms("+12025550100", "+12025550199", "Hello").await;
    let url = format!("{PUBLIC_URL}{TWILIO}");
    for _ in 0..2 {
        let answer = post_twilio(&server, TWILIO, &url, &inbound_sms(SID)).await.expect(200);
        assert_eq!((answer.text().as_str(), answer.header("content-type")), ("<Response/>", "text/xml"));
    }
    let path = format!("/api/conversations/{}/messages", sent["conversation_id"].as_str().unwrap());
    let messages = server.client.get(&path).await.expect(200).json();
    let messages = messages["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 2);
    let inbound = &messages[1];
    assert_eq!((&inbound["direction"], &inbound["status"]), (&json!("inbound"), &json!("ok")));
    assert_eq!(
        (&inbound["provider_id"], &inbound["provider_message_id"]),
        (&json!("twilio-main"), &json!(SID))
    );
    let metrics = server.client.get("/metrics").await.text();
    for (result, count) in [("received", 1), ("duplicate", 1)] {
        let line =
            format!("app_webhooks_received_total{{provider_id=\"twilio-main\",result=\"{result}\"}} {count}");
        assert!(metrics.contains(&line), "{line}");
    }
}

#[tokio::test]
async fn whatsapp_through_twilio_is_answered_on_whatsapp_and_found_by_its_channel() {
    let server = server().await;
    let sms = server.send_sms("+12025550100", "+12025550199", "Hello").await;
    let url = format!("{PUBLIC_URL}{TWILIO}");
    let on_whatsapp = |(name, value): (String, String)| match name.as_str() {
        "From" | "To" => (name, format!("whatsapp:{value}")),
        _ => (name, value),
    };
    let inbound: Vec<(String, String)> = inbound_sms(SID).into_iter().map(on_whatsapp).collect();
    post_twilio(&server, TWILIO, &url, &inbound).await.expect(200);
    for filter in ["channel=whatsapp", "channel=whatsapp&from=%2B12025550199", "from=%2B12025550199"] {
        let list = server.client.get(&format!("/api/messages?{filter}")).await.expect(200).json();
        assert_eq!(list["messages"].as_array().unwrap().len(), 1, "{filter}");
    }
    let list = server.client.get("/api/messages?channel=whatsapp").await.expect(200).json();
    let received = &list["messages"][0];
    assert_eq!((&received["type"], &received["from"]), (&json!("whatsapp"), &json!("+12025550199")));
    assert_ne!(received["conversation_id"], sms["conversation_id"]);

    let path = format!("/api/conversations/{}/messages", received["conversation_id"].as_str().unwrap());
    let reply = server.client.post(&path, &json!({"body": "Hi"})).await.expect(202).json();
    assert_eq!((&reply["type"], &reply["to"]), (&json!("whatsapp"), &json!("+12025550199")));
    assert_eq!(
        (&reply["from"], &reply["conversation_id"]),
        (&json!("+12025550100"), &received["conversation_id"])
    );
}

/// A provider of the kind `whatsapp` beside the usual ones.
fn with_whatsapp() -> String {
    format!(
        "{CONFIG}\n[[providers]]\nid = \"wa\"\nkind = \"whatsapp\"\naccess_token = \"t\"\n\
         phone_numbers = \"+12025550100=1\"\napp_secret = \"s\"\nverify_token = \"v\"\nverify = false\n"
    )
}

#[tokio::test]
async fn a_subscriptions_challenge_is_echoed() {
    let server = server_with(&with_whatsapp(), "127.0.0.1:0", Clock::System).await;
    let target = "/api/webhooks/wa?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=v";
    let answer = server.client.get(target).await.expect(200);
    assert_eq!((answer.text().as_str(), answer.header("content-type")), ("1158201444", "text/plain"));
}

#[tokio::test]
async fn whatsapp_loses_no_message_for_an_odd_sender_or_form() {
    let server = server_with(&with_whatsapp(), "127.0.0.1:0", Clock::System).await;
    let message = |from: &str, id: &str| {
        json!({
            "from": from, "id": id, "timestamp": "1700000000", "type": "reaction",
            "reaction": {"message_id": "wamid.y", "emoji": "!"}
        })
    };
    let messages = [
        message("999123456", "wamid.1"),
        message("US.13491208655302741918", "wamid.2"),
        message("12025550199", "wamid.3"),
    ];
    let notice = json!({
        "object": "whatsapp_business_account",
        "entry": [{"id": "1", "changes": [{"field": "messages", "value": {
            "metadata": {"phone_number_id": "1"}, "messages": messages
        }}]}]
    });
    server.client.post("/api/webhooks/wa", &notice).await.expect(200);
    for from in ["%2B999123456", "US.13491208655302741918", "%2B12025550199"] {
        let list = server.client.get(&format!("/api/messages?from={from}")).await.expect(200).json();
        let message = &list["messages"][0];
        assert_eq!((&message["type"], &message["body"]), (&json!("whatsapp"), &json!("!")), "{from}");
        let file = message["attachments"][0].as_str().unwrap().strip_prefix(PUBLIC_URL).unwrap().to_owned();
        assert_eq!(server.client.get(&file).await.expect(200).json()["reaction"]["message_id"], "wamid.y");
    }
}

#[tokio::test]
async fn a_wrong_signature_is_403_and_the_webhook_is_kept() {
    let server = server().await;
    let url = "https://elsewhere.example.com/api/webhooks/twilio-main";
    let answer = post_twilio(&server, TWILIO, url, &inbound_sms(SID)).await.expect(403);
    assert_eq!(code(&answer), "webhook_not_verified");
    assert_eq!(server.count("messages").await, 0);
    let kept =
        "select provider_id || ' ' || reason || ' ' || method || ' ' || target from webhook_deliveries";
    assert_eq!(server.value(kept).await, "twilio-main unverified POST /api/webhooks/twilio-main");
    assert_eq!(server.count("webhook_deliveries where headers ? 'x-twilio-signature'").await, 1);
}

#[tokio::test]
async fn a_verified_webhook_that_cannot_be_understood_is_400_and_kept() {
    let server = server().await;
    let url = format!("{PUBLIC_URL}{TWILIO}");
    let without_sid: Vec<(String, String)> =
        inbound_sms(SID).into_iter().filter(|(name, _)| !name.ends_with("Sid")).collect();
    let bad_address: Vec<(String, String)> = inbound_sms(SID)
        .into_iter()
        .map(
            |(name, value)| {
                if name == "From" { (name, "a sender that is none".to_owned()) } else { (name, value) }
            },
        )
        .collect();
    for form in [without_sid, bad_address] {
        let answer = post_twilio(&server, TWILIO, &url, &form).await.expect(400);
        assert_eq!(code(&answer), "webhook_not_understood");
    }
    assert_eq!(server.count("webhook_deliveries where reason = 'unparsable'").await, 2);
    assert_eq!(server.count("messages").await, 0);
}

#[tokio::test]
async fn an_unknown_provider_is_404() {
    let server = server().await;
    let answer = server.client.post("/api/webhooks/nobody", &json!({})).await.expect(404);
    assert_eq!(code(&answer), "provider_not_found");
    assert_eq!(server.count("webhook_deliveries").await, 0);
}

fn receipt(status: &str) -> Vec<(String, String)> {
    form(&[
        ("AccountSid", TWILIO_SID),
        ("MessageSid", SID),
        ("MessageStatus", status),
        ("From", "+12025550100"),
        ("To", "+12025550199"),
    ])
}

#[tokio::test]
async fn a_receipt_that_names_our_message_settles_it_and_never_regresses() {
    let server = server().await;
    let message = server.send_sms("+12025550100", "+12025550199", "Hello").await;
    let target = format!("{TWILIO}?message_id={}&attempt=1", message["id"].as_str().unwrap());
    let url = format!("{PUBLIC_URL}{target}");
    let path = format!("/api/messages/{}", message["id"].as_str().unwrap());
    server.lease(message["id"].as_str().unwrap(), "twilio-main").await;
    for (status, delivery) in
        [("sent", "sent"), ("delivered", "delivered"), ("sent", "delivered"), ("delivered", "delivered")]
    {
        post_twilio(&server, &target, &url, &receipt(status)).await.expect(200);
        let message = server.client.get(&path).await.expect(200).json();
        assert_eq!((&message["status"], &message["delivery"]), (&json!("ok"), &json!(delivery)));
        assert_eq!(message["provider_message_id"], SID);
    }
    let metrics = server.client.get("/metrics").await.text();
    let line = "app_receipts_total{provider_id=\"twilio-main\",delivery=\"delivered\"} 1";
    assert!(metrics.contains(line), "{metrics}");
    assert_eq!(server.count("outbox").await, 0);
}

#[tokio::test]
async fn a_receipt_about_no_call_of_its_provider_is_200_counted_and_changes_nothing() {
    let server = server().await;
    let message = server.send_sms("+12025550100", "+12025550199", "Hello").await;
    let id = message["id"].as_str().unwrap();
    let stranger = "019a2f7e-3c41-70a4-8000-3f1c52d0a7b1";
    let post = async |id: &str, attempt: u32| {
        let target = format!("{TWILIO}?message_id={id}&attempt={attempt}");
        let url = format!("{PUBLIC_URL}{target}");
        post_twilio(&server, &target, &url, &receipt("delivered")).await.expect(200);
    };
    post(id, 1).await;
    server.lease(id, "sendgrid-main").await;
    post(id, 1).await;
    server.lease(id, "twilio-main").await;
    post(id, 2).await;
    post(stranger, 1).await;
    assert_eq!(server.value("select status_tag || ' ' || delivery_tag from messages").await, "outbox none");
    assert_eq!(server.count("webhook_deliveries").await, 0, "none of them can match later");
    let metrics = server.client.get("/metrics").await.text();
    for (result, count) in [("not_asked", 2), ("wrong_attempt", 1), ("unknown_message", 1)] {
        let line = format!(
            "app_receipts_not_applied_total{{provider_id=\"twilio-main\",result=\"{result}\"}} {count}"
        );
        assert!(metrics.contains(&line), "{line}: {metrics}");
    }
    post(id, 1).await;
    assert_eq!(server.value("select status_tag || ' ' || delivery_tag from messages").await, "ok delivered");
}

#[tokio::test]
async fn a_receipt_for_a_message_that_is_not_known_is_200_and_parked() {
    let server = server().await;
    let url = format!("{PUBLIC_URL}{TWILIO}");
    post_twilio(&server, TWILIO, &url, &receipt("delivered")).await.expect(200);
    assert_eq!(server.count("webhook_deliveries where reason = 'unmatched'").await, 1);
    let client = server.database.pool.get().await.unwrap();
    let hash = app_db::receive::key_hash("twilio-main", SID);
    let parked = app_db::parked::look(&client, &[hash]).await.unwrap();
    assert_eq!(parked.len(), 1);
    assert_eq!(parked[0].receipt.delivery, model::Delivery::Delivered);
}

#[tokio::test]
async fn control_characters_lose_no_message_that_came_in_a_providers_own_format() {
    let server = server().await;
    let url = format!("{PUBLIC_URL}{TWILIO}");
    let mut form = inbound_sms(SID);
    form.retain(|(name, _)| name != "Body");
    form.push(("Body".to_owned(), "a\u{0}b\u{7}".to_owned()));
    post_twilio(&server, TWILIO, &url, &form).await.expect(200);
    let list = server.client.get("/api/messages").await.expect(200).json();
    assert_eq!(list["messages"][0]["body"], "a\u{fffd}b\u{7}");
}

#[tokio::test]
async fn a_generic_webhook_may_have_line_breaks_tabs_and_more_fields() {
    let server = server().await;
    let webhook = json!({
        "from": "+12025550199", "to": "+12025550100", "body": "a\r\n\tb\u{85}", "x_id": "1", "unknown": {"y_id": 1}
    });
    let received = server.client.post("/api/webhooks/sms", &webhook).await.expect(200).json();
    let path = format!("/api/messages/{}", received["id"].as_str().unwrap());
    let message = server.client.get(&path).await.expect(200).json();
    assert_eq!((&message["body"], &message["provider_id"]), (&json!("a\r\n\tb\u{85}"), &json!("x")));
}

#[tokio::test]
async fn announced_bodies_that_never_come_keep_nobody_from_sending() {
    let server = server().await;
    let mut stalled = Vec::new();
    for path in ["/api/webhooks/sms", TWILIO].into_iter().cycle().take(32) {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
             expect: 100-continue\r\n\r\n",
            32 << 20
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        // The server asks for the body: it waits for it now.
        let mut asked = [0; 25];
        stream.read_exact(&mut asked).await.unwrap();
        assert!(asked.starts_with(b"HTTP/1.1 100"));
        stalled.push(stream);
    }
    server.send_sms("+12025550100", "+12025550199", "Hello").await;
    let url = format!("{PUBLIC_URL}{TWILIO}");
    post_twilio(&server, TWILIO, &url, &inbound_sms(SID)).await.expect(200);
}

#[tokio::test]
async fn the_same_id_of_two_providers_is_two_messages() {
    let server = server().await;
    for name in ["messaging_provider_id", "xillio_id", "messaging_provider_id"] {
        let mut webhook = json!({"from": "+12025550199", "to": "+12025550100", "body": "Hi"});
        webhook[name] = json!("1");
        server.client.post("/api/webhooks/sms", &webhook).await.expect(200);
    }
    assert_eq!(server.count("messages").await, 2);
}

#[tokio::test]
async fn files_of_an_inbound_email_are_served_as_downloads() {
    let server = server().await;
    let raw = "From: Ann <ann@example.org>\r\nTo: shop@example.com\r\nSubject: Look\r\nMessage-ID: <1@example.org>\r\n\
               MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=inner\r\n\r\n--inner\r\n\
               Content-Type: text/plain\r\n\r\nHere it is\r\n--inner\r\nContent-Type: text/html; name=\"page.html\"\r\n\
               Content-Disposition: attachment; filename=\"page.html\"\r\n\r\n<script>alert(1)</script>\r\n--inner--\r\n";
    let part = |name: &str, value: &str| {
        format!("--outer\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let envelope = r#"{"to":["shop@example.com"],"from":"ann@example.org"}"#;
    let body = format!("{}{}--outer--\r\n", part("envelope", envelope), part("email", raw));
    let headers = [("content-type", "multipart/form-data; boundary=outer")];
    let target = "/api/webhooks/sendgrid-main?secret=hush";
    server.client.send(Method::POST, target, &headers, Bytes::from(body.clone())).await.expect(200);

    let list = server.client.get("/api/messages?direction=inbound").await.expect(200).json();
    let message = &list["messages"][0];
    assert_eq!((&message["subject"], &message["type"]), (&json!("Look"), &json!("email")));
    let url = message["attachments"][0].as_str().unwrap();
    let path = url.strip_prefix(PUBLIC_URL).unwrap();
    let file = server.client.get(path).await.expect(200);
    assert!(file.text().contains("alert(1)"), "{}", file.text());
    assert!(file.header("content-disposition").starts_with("attachment"));
    assert_eq!(file.header("x-content-type-options"), "nosniff");
    assert_eq!(file.header("content-security-policy"), "default-src 'none'; sandbox");

    let wrong = "/api/webhooks/sendgrid-main?secret=guess";
    let answer = server.client.send(Method::POST, wrong, &headers, Bytes::from(body)).await.expect(403);
    assert_eq!(code(&answer), "webhook_not_verified");
    let kept = server.value("select target from webhook_deliveries").await;
    assert_eq!(kept, "/api/webhooks/sendgrid-main?secret=…(5)");
    assert_eq!(list["messages"].as_array().map(Vec::len), Some(1));
    assert_eq!(list["next_cursor"], Value::Null);
}

#[tokio::test]
async fn a_bounce_that_is_posted_as_a_mail_tells_that_the_message_was_not_delivered() {
    let config = "[[providers]]\nid = \"mail-main\"\nkind = \"smtp\"\nhost = \"127.0.0.1\"\n\
                  webhook_secret = \"hush\"\n";
    let server = server_with(config, "127.0.0.1:0", Clock::System).await;
    let email = json!({ "from": "app@example.com", "to": "ann@example.net", "subject": "Hi", "body": "Hi" });
    let message = server.client.post("/api/messages/email", &email).await.expect(202).json();
    let id = message["id"].as_str().unwrap();
    let report = |action: &str, status: &str| {
        let lines = [
            "From: MAILER-DAEMON@mail.example.com",
            "To: app@example.com",
            "Content-Type: multipart/report; report-type=delivery-status; boundary=b",
            "",
            "--b",
            "Content-Type: message/delivery-status",
            "",
            "Reporting-MTA: dns; mail.example.com",
            &format!("Original-Envelope-Id: {id}"),
            "",
            "Final-Recipient: rfc822; ann@example.net",
            &format!("Action: {action}"),
            &format!("Status: {status}"),
            "--b--",
            "",
        ];
        Bytes::from(lines.join("\r\n"))
    };
    server.lease(id, "mail-main").await;
    let target = "/api/webhooks/mail-main?secret=hush";
    let headers = [("content-type", "message/rfc822")];
    for report in [report("relayed", "2.0.0"), report("failed", "5.1.1")] {
        server.client.send(Method::POST, target, &headers, report).await.expect(200);
    }
    let message = server.client.get(&format!("/api/messages/{id}")).await.expect(200).json();
    assert_eq!(message["delivery"], "undelivered");
    assert_eq!(message["status_payload"]["provider_code"], "5.1.1");
    assert_eq!(server.count("webhook_deliveries").await, 0);
}
