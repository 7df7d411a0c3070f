//! What SES tells, and SNS carries: events about our mail and mail for us, in envelopes signed by RSA.
//! <https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html>

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::{Value, json};

use crate::digest;
use crate::kind::{Hook, Inbound};
use crate::mail;
use crate::message::{Accepted, Stage};
use crate::numbers::mailbox;
use crate::post::Post;

/// Of nobody but the demonstration: its key is beside it.
pub(super) const CERTIFICATE: &str = include_str!("certificate.pem");
pub(super) const CERTIFICATE_PATH: &str = "/SimpleNotificationService-simulator.pem";
const KEY: &str = include_str!("key.pem");

/// In the words of a configuration set where the call named one, else of an identity, which tells less.
/// <https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html>
pub(super) fn event(hook: &Hook<'_>, message: &Accepted) -> Option<Value> {
    let now = hook.now().to_string();
    let is_of_set = message.event_fields.contains_key("ConfigurationSetName");
    let (name, details) = match message.stage() {
        Stage::Sent if is_of_set => ("Send", json!({})),
        Stage::Read if is_of_set => {
            ("Open", json!({ "timestamp": now, "ipAddress": "127.0.0.1", "userAgent": "" }))
        }
        Stage::Sent | Stage::Read => return None,
        Stage::Delivered => (
            "Delivery",
            json!({
                "timestamp": now, "recipients": [message.to], "processingTimeMillis": 10,
                "reportingMTA": "a8-1.smtp-out.simulator.invalid", "smtpResponse": "250 2.0.0 OK",
                "remoteMtaIp": "127.0.0.1",
            }),
        ),
        Stage::Undelivered(code) => {
            let code = if code.is_empty() { "5.1.1" } else { code };
            let details = json!({
                "bounceType": "Permanent", "bounceSubType": "General", "timestamp": now,
                "reportingMTA": "dns; simulator.invalid", "remoteMtaIp": "127.0.0.1",
                "feedbackId": digest::stable_uuid(&[&message.receipts_key()]),
                "bouncedRecipients": [{
                    "emailAddress": message.to, "status": code, "action": "failed",
                    "diagnosticCode": format!("smtp; 550 {code} The recipient was refused by a scripted fault."),
                }],
            });
            ("Bounce", details)
        }
    };
    let kind = if is_of_set { "eventType" } else { "notificationType" };
    let mut event = json!({ kind: name, "mail": {
        "timestamp": message.received_at.to_string(), "source": message.from,
        "sourceArn": "arn:aws:ses:simulator:123456789012:identity/example.com",
        "sendingAccountId": "123456789012", "messageId": message.provider_message_id,
        "destination": [message.to], "headersTruncated": false, "headers": [],
        "commonHeaders": { "from": [message.from], "to": [message.to], "subject": message.subject },
        "tags": message.event_fields.get("tags"),
    } });
    event[name.to_lowercase()] = details;
    Some(event)
}

/// Mail for us, whole, as a receipt rule with an SNS action brings it.
pub(super) fn received(inbound: &Inbound<'_>) -> Value {
    let verdict = json!({ "status": "PASS" });
    let (from, to) = (mailbox(inbound.from), mailbox(inbound.to));
    json!({
        "notificationType": "Received",
        "mail": {
            "timestamp": inbound.date.to_string(), "source": from, "messageId": inbound.id,
            "destination": [to], "headersTruncated": false, "headers": [],
            "commonHeaders": {
                "from": [inbound.from], "to": [inbound.to], "subject": inbound.subject,
                "messageId": format!("<{}>", mail::message_id(inbound.id)),
            },
        },
        "receipt": {
            "timestamp": inbound.date.to_string(), "processingTimeMillis": 10, "recipients": [to],
            "spamVerdict": verdict, "virusVerdict": verdict, "spfVerdict": verdict, "dkimVerdict": verdict,
            "dmarcVerdict": verdict, "action": { "type": "SNS", "encoding": "UTF8" },
        },
        "content": mail::source(inbound),
    })
}

/// JSON under the type of plain text, as SNS sends it; signed by version 2.
pub(super) fn notification(hook: &Hook<'_>, id: &str, message: &Value) -> Post {
    let topic = &hook.account.user;
    let region = topic.split(':').nth(3).unwrap_or_default();
    let (text, timestamp) = (message.to_string(), hook.now().strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string());
    let signed = format!(
        "Message\n{text}\nMessageId\n{id}\nTimestamp\n{timestamp}\nTopicArn\n{topic}\nType\nNotification\n"
    );
    let host = format!("https://sns.{region}.amazonaws.com");
    let envelope = json!({
        "Type": "Notification", "MessageId": id, "TopicArn": topic, "Message": text, "Timestamp": timestamp,
        "SignatureVersion": "2", "Signature": sign(signed.as_bytes()),
        "SigningCertURL": format!("{host}{CERTIFICATE_PATH}"),
        "UnsubscribeURL": format!("{host}/?Action=Unsubscribe"),
    });
    Post::new(hook.url, "text/plain; charset=UTF-8", envelope.to_string())
        .with("x-amz-sns-message-type", "Notification")
        .with("x-amz-sns-message-id", id)
        .with("x-amz-sns-topic-arn", topic)
}

/// Base64 of RSASSA-PKCS1-v1_5 with SHA-256; empty if the key beside this file cannot be read, which a test would see.
fn sign(text: &[u8]) -> String {
    let base64: String = KEY.lines().filter(|line| !line.starts_with("-----")).collect();
    let key = STANDARD.decode(base64).ok().and_then(|der| RsaKeyPair::from_pkcs8(&der).ok());
    let Some(key) = key else { return String::new() };
    let mut signature = vec![0; key.public().modulus_len()];
    match key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text, &mut signature) {
        Ok(()) => STANDARD.encode(signature),
        Err(_) => String::new(),
    }
}
