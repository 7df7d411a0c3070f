//! Every kind of provider over real sockets: our binaries on one side, the simulator, which knows nothing of our
//! adapters, on the other. What both understand of a protocol is what they agree on here.
#![expect(clippy::unwrap_used, reason = "a test")]

#[path = "every_kind/faults.rs"]
mod faults;
#[path = "every_kind/lines.rs"]
mod lines;
#[path = "every_kind/platform.rs"]
mod platform;
#[path = "every_kind/recorder.rs"]
mod recorder;

use std::rc::Rc;

use serde_json::{Value, json};

use self::lines::{LINES, Line, Proof};
use self::platform::Platform;
use self::recorder::Recorded;

#[test]
fn every_kind_has_a_line_and_is_documented() {
    let kinds: Vec<&str> = providers::KINDS.iter().map(|kind| kind.name).collect();
    let lines: Vec<&str> = LINES.iter().map(|line| line.kind).collect();
    assert_eq!(lines, kinds);
    let documented = platform::documented();
    for kind in kinds {
        assert!(documented.contains(&format!("id = \"sim-{kind}\"\nkind = \"{kind}\"\n")), "{kind}");
    }
}

#[tokio::test]
async fn every_kind_keeps_its_contract_over_sockets() {
    tokio::task::LocalSet::new().run_until(play_all()).await;
}

async fn play_all() {
    let platform = Rc::new(Platform::start().await);
    let plays = LINES.iter().map(|line| {
        let platform = Rc::clone(&platform);
        (line.kind, tokio::task::spawn_local(async move { play(&platform, line).await }))
    });
    let plays: Vec<_> = plays.collect();
    let mut failed = Vec::new();
    for (kind, play) in plays {
        if play.await.is_err() {
            failed.push(kind);
        }
    }
    // What went wrong is said above: all kinds are tried, whatever becomes of one.
    assert!(failed.is_empty(), "{failed:?}");
}

async fn play(platform: &Platform, line: &Line) {
    for (number, channel) in platform.channels(line).into_iter().enumerate() {
        let sent = is_delivered(platform, line, channel, number).await;
        is_answered(platform, line, channel, &sent).await;
    }
    // Whatever faults do to receipts comes later.
    refuses_what_is_damaged(platform, line).await;
    faults::play(platform, line).await;
}

/// Sent, accepted there as what it is, and reported on.
async fn is_delivered(platform: &Platform, line: &Line, channel: &str, number: usize) -> Value {
    let to = line.recipient(number);
    let id = platform.send(line, channel, &to).await;
    let message = platform.settled(line, &id, "ok", line.delivery).await;
    let place = format!("{channel} by {}: {message}", line.kind);
    assert_eq!(message["provider_id"], line.provider_id(), "{place}");
    assert_eq!(message["attempt"], 1, "{place}");

    let accepted = platform.accepted(&id).await;
    assert_eq!(accepted.len(), 1, "{place}, {accepted:?}");
    let accepted = &accepted[0];
    let place = format!("{place}, {accepted}");
    assert_eq!(accepted["kind"], line.kind, "{place}");
    assert_eq!(accepted["message_id"], id, "{place}");
    assert_eq!(accepted["attempt"], 1, "{place}");
    assert_eq!(accepted["channel"], channel, "{place}");
    assert!(accepted["to"].as_str().unwrap().ends_with(&to), "{place}");
    assert_eq!(accepted["body"].as_str().unwrap().trim_end(), message["body"], "{place}");
    assert_eq!(accepted["media"].as_array().map_or(0, Vec::len), usize::from(channel == "mms"), "{place}");
    assert_eq!(accepted["provider_message_id"], message["provider_message_id"], "{place}");
    message
}

/// The recipient writes back: one message, in the conversation of the first.
async fn is_answered(platform: &Platform, line: &Line, channel: &str, sent: &Value) {
    let body = format!("Answer by {channel} to {}", line.kind);
    let url = format!("{}/api/webhooks/{}{}", platform.recorder.url, line.provider_id(), line.query);
    let mut inbound = json!({
        "kind": line.kind, "from": sent["to"], "to": sent["from"], "body": body, "webhook_url": url, "times": 2,
    });
    match channel {
        "mms" => inbound["media"] = json!(["https://example.net/dog.png"]),
        "email" => {
            inbound["subject"] = json!("Re: Greetings");
            let file = json!({ "filename": "a.txt", "content_type": "text/plain", "content_base64": "b25l" });
            inbound["files"] = json!([file]);
        }
        // Both ends carry the word, as Twilio writes them.
        "whatsapp" if line.kind == "twilio" => {
            for end in ["from", "to"] {
                inbound[end] = json!(format!("whatsapp:{}", inbound[end].as_str().unwrap()));
            }
        }
        _ => {}
    }
    let answer = platform.simulator.post("/inbound", &inbound).await.expect(200).json();
    assert_eq!(answer["statuses"], json!([200, 200]), "{channel} by {}: {answer}", line.kind);

    let path = format!("/api/conversations/{}/messages", sent["conversation_id"].as_str().unwrap());
    let list = platform.api.get(&path).await.expect(200).json();
    let is_it = |message: &&Value| message["body"].as_str().is_some_and(|text| text.trim_end() == body);
    let found: Vec<&Value> = list["messages"].as_array().unwrap().iter().filter(is_it).collect();
    assert_eq!(found.len(), 1, "{channel} by {}: {answer}, {list}", line.kind);
    let found = found[0];
    let place = format!("{channel} by {}: {found}", line.kind);
    assert_eq!(found["direction"], "inbound", "{place}");
    assert_eq!(found["type"], channel, "{place}");
    assert_eq!(found["provider_id"], line.provider_id(), "{place}");
    let has_file = matches!(channel, "mms" | "email");
    assert_eq!(found["attachments"].as_array().unwrap().len(), usize::from(has_file), "{place}");
    if channel == "email" {
        assert_eq!(found["subject"], "Re: Greetings", "{place}");
    }
}

/// Of what came as it is and was taken, a receipt and a message come again with a damaged proof.
async fn refuses_what_is_damaged(platform: &Platform, line: &Line) {
    let recorded = platform.recorder.of(&line.provider_id());
    let (first, last) = (recorded.first().unwrap(), recorded.last().unwrap());
    let receipt = line.receipts.map(|proof| ("receipt", first, proof));
    for (what, webhook, proof) in receipt.into_iter().chain([("message", last, line.inbound)]) {
        let damaged = webhook.damaged(proof);
        let damaged =
            if matches!(proof, Proof::Sns) { damaged.sent_to("sim-ses-verifying") } else { damaged };
        let place = format!("a {what} by {}: {damaged:?}", line.kind);
        let answer = damaged.send_to(&platform.api).await;
        assert_eq!(answer.status, 403, "{place}: {}", answer.text());
        assert_eq!(answer.json()["code"], "webhook_not_verified", "{place}");
        takes(platform, webhook).await;
    }
}

/// So the damage alone was what it was refused for.
async fn takes(platform: &Platform, webhook: &Recorded) {
    let answer = webhook.send_to(&platform.api).await;
    assert_eq!(answer.status, 200, "{webhook:?}: {}", answer.text());
}
