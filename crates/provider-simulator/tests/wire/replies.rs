//! Auto-replies, and inbound messages by hand.

use provider_simulator::{AutoReply, DEMO_SENDGRID_INBOUND_SECRET, Options, Receipts, SendgridAccount};
use serde_json::json;

use crate::rig::{Hook, PLAIN, Rig, Target, options, plain_mail};

fn replying(target: &Target, raw: bool) -> Options {
    let url = format!("{}/inbound?secret={DEMO_SENDGRID_INBOUND_SECRET}", target.url);
    let account = SendgridAccount {
        inbound_parse_url: Some(url.parse().unwrap()),
        inbound_parse_raw: raw,
        ..SendgridAccount::default()
    };
    let auto_reply = AutoReply { enabled: true, after_ms: 0 };
    Options { auto_reply, sendgrid: vec![account], ..options() }
}

/// The fields of a multipart form.
fn fields(hook: &Hook) -> std::collections::BTreeMap<String, String> {
    let boundary = hook.header("content-type").strip_prefix("multipart/form-data; boundary=").unwrap();
    let body = String::from_utf8(hook.body.to_vec()).unwrap();
    let mut parts = body.split(&format!("--{boundary}")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(parts.remove(0), "");
    assert_eq!(parts.pop().unwrap(), "--\r\n");
    let parts = parts.iter().map(|part| {
        let (head, content) = part.split_once("\r\n\r\n").unwrap();
        let name = head.split_once("name=\"").unwrap().1.split_once('"').unwrap().0;
        (name.to_owned(), content.strip_suffix("\r\n").unwrap().to_owned())
    });
    parts.collect()
}

#[tokio::test]
async fn a_text_message_is_answered_after_its_receipts_at_the_callback_without_its_query() {
    let mut target = Target::start().await;
    let rig = Rig::start(replying(&target, false)).await;
    let callback = format!("{}/api/webhooks/twilio-main?m=1", target.url);
    let mut form = PLAIN.to_vec();
    form.push(("StatusCallback", &callback));
    let sid = rig.sms(&form).await.json()["sid"].clone();
    assert_eq!(target.next().await.form()["MessageStatus"], "sent");
    assert_eq!(target.next().await.form()["MessageStatus"], "delivered");
    let hook = target.next().await;
    assert_eq!(hook.url, format!("{}/api/webhooks/twilio-main", target.url));
    hook.assert_signed_by_twilio();
    let form = hook.form();
    assert_eq!((form["From"].as_str(), form["To"].as_str()), ("+12025550199", "+12025550100"));
    assert_eq!(form["Body"], "Got it: \"Hello\"");
    assert_eq!((form["SmsStatus"].as_str(), form["NumMedia"].as_str()), ("received", "0"));
    assert_eq!(form["FromCity"], "");
    assert_ne!(json!(form["MessageSid"]), sid);
}

#[tokio::test]
async fn a_mail_is_answered_in_parsed_fields_or_as_its_source() {
    for raw in [false, true] {
        let mut target = Target::start().await;
        let rig = Rig::start(replying(&target, raw)).await;
        rig.mail(&plain_mail()).await;
        let hook = target.next().await;
        assert!(hook.url.ends_with(&format!("/inbound?secret={DEMO_SENDGRID_INBOUND_SECRET}")));
        let fields = fields(&hook);
        assert_eq!(fields["from"], "ann@example.net");
        assert_eq!(fields["subject"], "Re: Hi");
        assert_eq!(fields["envelope"], r#"{"from":"ann@example.net","to":["app@example.com"]}"#);
        assert_eq!(fields.contains_key("email"), raw);
        assert_eq!(fields.contains_key("text"), !raw);
        let headers = if raw { &fields["email"] } else { &fields["headers"] };
        assert!(headers.contains("Message-ID: <"));
        assert!(headers.contains("In-Reply-To: <"));
        if !raw {
            assert_eq!(fields["text"], "Got it: \"Hello Ann\"");
        }
    }
}

#[tokio::test]
async fn without_auto_reply_nobody_answers() {
    let mut target = Target::start().await;
    let receipts = Receipts { enabled: false, ..Receipts::default() };
    let rig =
        Rig::start(Options { receipts, auto_reply: AutoReply::default(), ..replying(&target, false) }).await;
    rig.mail(&plain_mail()).await;
    let inbound =
        json!({ "kind": "sendgrid", "from": "bob@example.net", "to": "app@example.com", "body": "x" });
    rig.post("/inbound", inbound).await;
    assert_eq!(fields(&target.next().await)["from"], "bob@example.net");
    assert!(target.is_empty());
}

#[tokio::test]
async fn inbound_by_hand_is_delivered_as_often_as_asked_as_the_same_message() {
    let mut target = Target::start().await;
    let rig = Rig::start(options()).await;
    let request = json!({
        "kind": "twilio", "from": "+12025550199", "to": "+12025550100", "body": "Grüße & 👍", "times": 50,
        "concurrent": 50, "media": ["https://example.com/a.png"], "webhook_url": format!("{}/hook?a=b", target.url),
    });
    let answer = rig.post("/inbound", request).await.json();
    assert_eq!(answer["statuses"], json!(vec![200; 50]));
    assert_eq!(answer["failures"], json!([]));
    let id = answer["provider_message_id"].as_str().unwrap();
    assert!(id.starts_with("MM"));
    for _ in 0..50 {
        let hook = target.next().await;
        hook.assert_signed_by_twilio();
        let form = hook.form();
        assert_eq!((form["MessageSid"].as_str(), form["Body"].as_str()), (id, "Grüße & 👍"));
        assert_eq!(form["MediaUrl0"], "https://example.com/a.png");
        assert_eq!(form["MediaContentType0"], "image/png");
    }
}

#[tokio::test]
async fn inbound_mail_by_hand_carries_files() {
    let mut target = Target::start().await;
    let rig = Rig::start(replying(&target, false)).await;
    let request = json!({
        "kind": "sendgrid", "from": "ann@example.net", "to": "app@example.com", "subject": "Grüße",
        "body": "text", "html": "<p>text</p>",
        "files": [{ "filename": "a.txt", "content_type": "text/plain", "content_base64": "aGVsbG8=" }],
    });
    assert_eq!(rig.post("/inbound", request).await.json()["statuses"], json!([200]));
    let fields = fields(&target.next().await);
    assert_eq!(fields["attachments"], "1");
    assert_eq!(fields["attachment1"], "hello");
    assert!(fields["attachment-info"].contains("\"filename\":\"a.txt\""));
    assert_eq!(fields["html"], "<p>text</p>");
    assert!(fields["headers"].contains("Subject: =?UTF-8?B?"));
}

#[tokio::test]
async fn inbound_without_a_known_target_says_what_is_missing() {
    let rig = Rig::start(options()).await;
    let request = json!({ "kind": "twilio", "from": "+12025550199", "to": "+12025550100", "body": "x" });
    let answer = rig.post("/inbound", request).await;
    assert_eq!(answer.status, 400);
    assert!(answer.json()["error"].as_str().unwrap().contains("webhook_url"));
}
