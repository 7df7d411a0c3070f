//! Outcomes and webhooks as the fixtures write them: every field, so that none goes unchecked.

use model::Outcome;
use providers::Webhook;
use serde_json::{Value, json};

pub(crate) fn outcome_json(outcome: &Outcome) -> Value {
    let seconds = |wait: &Option<std::time::Duration>| wait.map(|wait| wait.as_secs());
    let fields = match outcome {
        Outcome::Accepted { provider_message_id } => json!({ "provider_message_id": provider_message_id }),
        Outcome::Rejected { reason, provider_code, detail } => {
            json!({ "reason": reason.as_str(), "provider_code": provider_code, "detail": detail })
        }
        Outcome::Throttled { retry_after, provider_code } => {
            json!({ "retry_after_s": seconds(retry_after), "provider_code": provider_code })
        }
        Outcome::Unavailable { retry_after, provider_code, detail } => {
            json!({ "retry_after_s": seconds(retry_after), "provider_code": provider_code, "detail": detail })
        }
        Outcome::Unreachable { detail } => json!({ "detail": detail }),
        Outcome::Uncertain { reason, detail } => json!({ "reason": reason.as_str(), "detail": detail }),
        Outcome::Forbidden { provider_code, detail } | Outcome::Halted { provider_code, detail } => {
            json!({ "provider_code": provider_code, "detail": detail })
        }
    };
    json!({ outcome.as_str(): fields })
}

pub(crate) fn webhook_json(webhook: &Webhook) -> Value {
    let inbound = webhook.inbound.iter().map(|message| {
        let files = message.files.iter().map(|file| {
            // Bytes as the characters of their numbers.
            let text: String = file.bytes.iter().map(|&byte| char::from(byte)).collect();
            json!({ "filename": file.filename, "content_type": file.content_type, "text": text })
        });
        json!({
            "provider_message_id": message.provider_message_id,
            "channel": message.channel.as_str(),
            "from": message.from,
            "to": message.to,
            "subject": message.subject,
            "body": message.body,
            "attachments": message.attachments,
            "files": files.collect::<Vec<_>>(),
            "timestamp": message.timestamp.map(|timestamp| timestamp.to_string()),
        })
    });
    let receipts = webhook.receipts.iter().map(|receipt| {
        json!({
            "message_id": receipt.message_id.map(|id| id.to_string()),
            "attempt": receipt.attempt,
            "provider_message_id": receipt.provider_message_id,
            "delivery": receipt.delivery.as_str(),
            "provider_code": receipt.provider_code,
            "detail": receipt.detail,
            "temporary": receipt.temporary,
            "timestamp": receipt.timestamp.map(|timestamp| timestamp.to_string()),
        })
    });
    let mut json = json!({
        "inbound": inbound.collect::<Vec<_>>(),
        "receipts": receipts.collect::<Vec<_>>(),
        "reply": { "content_type": webhook.reply.content_type, "body": webhook.reply.body },
    });
    if let Some(url) = &webhook.confirm {
        json["confirm"] = url.as_str().into();
    }
    json
}
