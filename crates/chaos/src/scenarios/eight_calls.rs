//! The eight calls of a first integration, against the real adapters and the simulated providers: send SMS, MMS,
//! email; receive SMS, MMS, email on the generic webhooks; list conversations; list a conversation's messages.

use std::collections::HashMap;

use anyhow::Context;
use provider_simulator::DEMO_SENDGRID_INBOUND_SECRET;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::client::HttpClient;
use crate::configuration::{sendgrid, twilio};
use crate::figure::Figure;
use crate::load::accepted_id;
use crate::policies::wait_state;
use crate::stage::Stage;

const PHONES: (&str, &str) = ("+12016661234", "+18045551234");
const EMAILS: (&str, &str) = ("user@usehatchapp.com", "contact@gmail.com");
const TIME: &str = "2026-03-04T14:00:00Z";

pub(super) async fn run(stage: &mut Stage) -> anyhow::Result<Vec<Figure>> {
    let installation = stage.installation().await?;
    let api_url = installation.api_url();
    let simulator = installation
        .simulator(&[
            &format!("--event-webhook-url={api_url}/api/webhooks/sendgrid-main"),
            &format!(
                "--inbound-parse-url={api_url}/api/webhooks/sendgrid-main?secret={DEMO_SENDGRID_INBOUND_SECRET}"
            ),
        ])
        .await?;
    installation.configure(
        &(twilio("twilio-main", &simulator.url, "") + &sendgrid("sendgrid-main", &simulator.url)),
    )?;
    let _apiserver = installation.apiserver().await?;
    let _processor = installation.processor().await?;
    let api = installation.api();

    let sent = send(&api).await?;
    receive(&api).await?;
    let mut delivered = 0;
    for &id in &sent {
        let message = wait_state(&api, id, "ok", "delivered").await?;
        let has = |field: &str| message[field].as_str().is_some_and(|text| !text.is_empty());
        delivered += usize::from(has("provider_id") && has("provider_message_id"));
    }

    let conversations = list(&api, "/api/conversations", "conversations").await?;
    let mut channels: HashMap<String, usize> = HashMap::new();
    for conversation in &conversations {
        let id = conversation["id"].as_str().context("a conversation's id")?;
        for message in list(&api, &format!("/api/conversations/{id}/messages"), "messages").await? {
            let (kind, direction) = (&message["type"], &message["direction"]);
            let key = format!("{} {}", direction.as_str().unwrap_or("?"), kind.as_str().unwrap_or("?"));
            *channels.entry(format!("{} in {id}", key)).or_default() += 1;
        }
    }
    let of_phone = conversation_of(&conversations, PHONES.0)?;
    let of_email = conversation_of(&conversations, EMAILS.0)?;
    let mut expected = HashMap::new();
    for direction in ["outbound", "inbound"] {
        for (kind, id) in [("sms", &of_phone), ("mms", &of_phone), ("email", &of_email)] {
            expected.insert(format!("{direction} {kind} in {id}"), 1);
        }
    }
    Ok(vec![
        Figure::exactly("sent, delivered, with both provider ids", delivered, 3),
        Figure::exactly("conversations", conversations.len(), 2),
        Figure::exactly("messages in the conversation where they belong", channels == expected, true),
    ])
}

async fn send(api: &HttpClient) -> anyhow::Result<Vec<Uuid>> {
    let (us, them) = PHONES;
    let sms = json!({
        "from": us, "to": them, "type": "sms", "body": "Hello! This is a test SMS message.",
        "attachments": null, "timestamp": TIME,
    });
    let mms = json!({
        "from": us, "to": them, "type": "mms", "body": "Hello! This is a test MMS message.",
        "attachments": ["https://example.com/image.jpg"], "timestamp": TIME,
    });
    let email = json!({
        "from": EMAILS.0, "to": EMAILS.1, "body": "Hello! This is a test email with <b>HTML</b>.",
        "attachments": ["https://example.com/document.pdf"], "timestamp": TIME,
    });
    Ok(vec![
        accepted_id(api.post("/api/messages/sms", &sms).await?)?,
        accepted_id(api.post("/api/messages/sms", &mms).await?)?,
        accepted_id(api.post("/api/messages/email", &email).await?)?,
    ])
}

async fn receive(api: &HttpClient) -> anyhow::Result<()> {
    let (us, them) = PHONES;
    let sms = json!({
        "from": them, "to": us, "type": "sms", "messaging_provider_id": "message-1",
        "body": "This is an incoming SMS message", "attachments": null, "timestamp": TIME,
    });
    let mms = json!({
        "from": them, "to": us, "type": "mms", "messaging_provider_id": "message-2",
        "body": "This is an incoming MMS message", "attachments": ["https://example.com/received.jpg"],
        "timestamp": TIME,
    });
    let email = json!({
        "from": EMAILS.1, "to": EMAILS.0, "xillio_id": "message-3",
        "body": "<html><body>This is an incoming email with <b>HTML</b> content</body></html>",
        "attachments": ["https://example.com/received.pdf"], "timestamp": TIME,
    });
    api.post("/api/webhooks/sms", &sms).await?.expect(200)?;
    api.post("/api/webhooks/sms", &mms).await?.expect(200)?;
    api.post("/api/webhooks/email", &email).await?.expect(200)?;
    Ok(())
}

async fn list(api: &HttpClient, path: &str, name: &str) -> anyhow::Result<Vec<Value>> {
    let page: Value = api.get_json(path).await?;
    Ok(page[name].as_array().with_context(|| format!("`{name}` in {page}"))?.clone())
}

fn conversation_of(conversations: &[Value], participant: &str) -> anyhow::Result<String> {
    let quoted = format!("\"{participant}\"");
    let found = conversations.iter().find(|conversation| conversation.to_string().contains(&quoted));
    let id = found.with_context(|| format!("a conversation of {participant}"))?["id"].as_str();
    Ok(id.context("its id")?.to_owned())
}
