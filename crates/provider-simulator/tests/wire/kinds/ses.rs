//! Amazon SES and SNS.

use http::Method;
use provider_simulator::{DEMO_SES_ACCESS_KEY_ID, DEMO_SES_SECRET_ACCESS_KEY, DEMO_SES_TOPIC_ARN};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::{Value, json};

use super::{assert_entry, from_base64, hex, hmac_sha256, sha256_hex, start};
use crate::rig::{Answer, Hook, MESSAGE_ID, Rig};

const PATH: &str = "/v2/email/outbound-emails";

fn mail() -> Value {
    json!({
        "FromEmailAddress": "App <app@example.com>", "Destination": { "ToAddresses": ["ann@example.net"] },
        "Content": { "Simple": {
            "Subject": { "Data": "Hi", "Charset": "UTF-8" }, "Body": { "Text": { "Data": "Hello", "Charset": "UTF-8" } },
        } },
        "EmailTags": [{ "Name": "relay_id", "Value": MESSAGE_ID }, { "Name": "relay_attempt", "Value": "2" }],
        "ConfigurationSetName": "relay",
    })
}

/// Signature Version 4 as Amazon's guide derives it, step by step.
async fn send(rig: &Rig, access_key_id: &str, secret: &str, mail: &Value) -> Answer {
    let body = mail.to_string();
    let host = rig.url.strip_prefix("http://").unwrap();
    let time = service::Clock::System.now();
    let (date, time) = (time.strftime("%Y%m%d").to_string(), time.strftime("%Y%m%dT%H%M%SZ").to_string());
    let canonical = format!(
        "POST\n{PATH}\n\ncontent-type:application/json\nhost:{host}\nx-amz-date:{time}\n\n\
         content-type;host;x-amz-date\n{}",
        sha256_hex(body.as_bytes())
    );
    let scope = format!("{date}/eu-central-1/ses/aws4_request");
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", sha256_hex(canonical.as_bytes()));
    let mut key = format!("AWS4{secret}").into_bytes();
    for part in scope.split('/') {
        key = hmac_sha256(&key, part.as_bytes());
    }
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={access_key_id}/{scope}, SignedHeaders=content-type;host;x-amz-date, \
         Signature={}",
        hex(&hmac_sha256(&key, text.as_bytes()))
    );
    let headers =
        [("authorization", &*authorization), ("x-amz-date", &*time), ("content-type", "application/json")];
    rig.call(Method::POST, PATH, &headers, body).await.unwrap()
}

async fn send_right(rig: &Rig, mail: &Value) -> Answer {
    send(rig, DEMO_SES_ACCESS_KEY_ID, DEMO_SES_SECRET_ACCESS_KEY, mail).await
}

/// The `RSAPublicKey` (RFC 8017 appendix A.1.1) of 2048 bits within a certificate.
fn key_of(pem: &[u8]) -> Vec<u8> {
    let pem = std::str::from_utf8(pem).unwrap();
    let base64: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let der = from_base64(&base64);
    let begins = [0x30, 0x82, 0x01, 0x0a, 0x02, 0x82, 0x01, 0x01];
    let at = der.windows(begins.len()).position(|window| window == begins).unwrap();
    der[at..at + 4 + 0x010a].to_vec()
}

/// The fields that count, in their order; the subject only where there is one.
pub(super) fn assert_signed(envelope: &Value, certificate: &[u8]) {
    let names = ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"];
    let lines = names.iter().filter_map(|name| Some(format!("{name}\n{}\n", envelope[*name].as_str()?)));
    let signed: String = lines.collect();
    let key = key_of(certificate);
    let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &key);
    let signature = from_base64(envelope["Signature"].as_str().unwrap());
    assert!(key.verify(signed.as_bytes(), &signature).is_ok());
    assert!(key.verify(&signed.as_bytes()[1..], &signature).is_err());
}

/// What the envelope carries. The key that the signature is checked with comes from the certificate that is served.
async fn event(rig: &Rig, hook: &Hook) -> Value {
    assert_eq!(hook.header("content-type"), "text/plain; charset=UTF-8");
    assert_eq!(hook.header("x-amz-sns-message-type"), "Notification");
    let envelope = hook.json();
    let field = |name: &str| envelope[name].as_str().unwrap();
    assert_eq!((field("TopicArn"), field("SignatureVersion")), (DEMO_SES_TOPIC_ARN, "2"));
    let path = field("SigningCertURL").strip_prefix("https://sns.eu-central-1.amazonaws.com").unwrap();
    let certificate = rig.call(Method::GET, path, &[], "").await.unwrap();
    assert_eq!(certificate.status, 200);
    assert_signed(&envelope, &certificate.body);
    serde_json::from_str(field("Message")).unwrap()
}

#[tokio::test]
async fn a_mail_is_accepted_and_its_events_are_signed() {
    let (rig, mut target, _) = start("ses").await;
    let answer = send_right(&rig, &mail()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let id = &answer.json()["MessageId"];
    assert_entry(&rig.entry().await, "ses", "ann@example.net", id);
    for name in ["Send", "Delivery"] {
        let event = event(&rig, &target.next().await).await;
        assert_eq!((&event["eventType"], &event["mail"]["messageId"]), (&json!(name), id));
        assert_eq!(event["mail"]["tags"]["relay_id"], json!([MESSAGE_ID]));
        assert!(event[name.to_lowercase()].is_object());
    }
    rig.fault(json!({ "type": "undelivered", "code": "5.2.2" }), json!({})).await;
    let mut mail = mail();
    mail.as_object_mut().unwrap().remove("ConfigurationSetName");
    send_right(&rig, &mail).await;
    let bounce = event(&rig, &target.next().await).await;
    assert_eq!(
        (&bounce["notificationType"], &bounce["bounce"]["bounceType"]),
        (&json!("Bounce"), &json!("Permanent"))
    );
    assert_eq!(bounce["bounce"]["bouncedRecipients"][0]["status"], "5.2.2");
}

#[tokio::test]
async fn a_raw_mail_is_read_from_its_source() {
    let (rig, _target, _) = start("ses").await;
    use base64::Engine as _;
    let source = format!(
        "From: app@example.com\r\nTo: ann@example.net\r\nSubject: Hi\r\nMessage-ID: <{MESSAGE_ID}.2@example.com>\r\n\
         Content-Type: text/plain\r\n\r\nHello raw\r\n"
    );
    let data = base64::engine::general_purpose::STANDARD.encode(source);
    let answer = send_right(&rig, &json!({ "Content": { "Raw": { "Data": data } } })).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let entry = rig.entry().await;
    assert_entry(&entry, "ses", "ann@example.net", &answer.json()["MessageId"]);
    assert_eq!((&entry["body"], &entry["subject"]), (&json!("Hello raw"), &json!("Hi")));
}

#[tokio::test]
async fn wrong_keys_and_signatures_are_refused_in_a_header() {
    let (rig, _target, _) = start("ses").await;
    let code = |answer: &Answer| answer.headers["x-amzn-errortype"].to_str().unwrap().to_owned();
    let answer = rig.send_json(PATH, &[], &mail()).await;
    assert_eq!((answer.status, code(&answer).as_str()), (403, "MissingAuthenticationTokenException"));
    let answer = send(&rig, "AKIAOTHER", DEMO_SES_SECRET_ACCESS_KEY, &mail()).await;
    assert_eq!((answer.status, code(&answer).as_str()), (403, "UnrecognizedClientException"));
    let answer = send(&rig, DEMO_SES_ACCESS_KEY_ID, "wrong", &mail()).await;
    assert_eq!((answer.status, code(&answer).as_str()), (403, "InvalidSignatureException"));
    let mut wrong = mail();
    wrong["Destination"]["ToAddresses"] = json!(["nobody"]);
    let answer = send_right(&rig, &wrong).await;
    assert_eq!((answer.status, code(&answer).as_str()), (400, "BadRequestException"));
    rig.fault(json!({ "type": "status", "status": 400, "code": "AccountSuspendedException" }), json!({}))
        .await;
    let answer = send_right(&rig, &mail()).await;
    assert_eq!((answer.status, code(&answer).as_str()), (400, "AccountSuspendedException"));
}

#[tokio::test]
async fn inbound_mail_comes_whole_in_a_notification() {
    let (rig, mut target, _) = start("ses").await;
    let request = json!({
        "kind": "ses", "from": "bob@example.net", "to": "app@example.com", "subject": "Re: Hi", "body": "Yes",
        "in_reply_to": "abc@email.amazonses.com",
    });
    let id = rig.inbound(request).await;
    let received = event(&rig, &target.next().await).await;
    assert_eq!(
        (&received["notificationType"], &received["mail"]["messageId"]),
        (&json!("Received"), &json!(id))
    );
    assert_eq!(received["receipt"]["recipients"], json!(["app@example.com"]));
    let content = received["content"].as_str().unwrap();
    assert!(content.contains("In-Reply-To: <abc@email.amazonses.com>"));
}
