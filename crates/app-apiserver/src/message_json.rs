//! A message as the API shows it: these fields, in every answer that holds a message.

use model::{Channel, Message, StatusPayload};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::times;

/// A message.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Message, example = json!({
    "id": "019a2f7e-3c41-70a4-8000-3f1c52d0a7b1",
    "conversation_id": "019a2f7e-3c41-70a4-8000-0a9b11e2c3d4",
    "type": "sms", "direction": "outbound",
    "from": "+12025550100", "to": "+12025550199",
    "body": "Hello", "attachments": [],
    "status": "outbox", "status_payload": null, "delivery": "none",
    "provider_id": null, "provider_message_id": null,
    "attempt": 0, "next_attempt_at": "2026-11-23T08:30:00.123456Z", "metadata": {},
    "timestamp": "2026-11-23T08:30:00.123456Z",
    "created_at": "2026-11-23T08:30:00.123456Z", "updated_at": "2026-11-23T08:30:00.123456Z"
}))]
pub(crate) struct MessageJson {
    /// A UUID of version 7.
    id: Uuid,
    conversation_id: Uuid,
    /// `sms`, `mms`, `email` or `whatsapp`.
    #[serde(rename = "type")]
    #[schema(value_type = String, pattern = "^(sms|mms|email|whatsapp)$")]
    channel: Channel,
    /// `inbound` or `outbound`.
    #[schema(pattern = "^(inbound|outbound)$")]
    direction: &'static str,
    /// The sender: an E.164 number, a short code, an alphanumeric sender id or an email address.
    from: String,
    /// The recipient.
    to: String,
    /// Of an email that has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    subject: Option<String>,
    body: String,
    /// URLs. In a list, the first 20.
    attachments: Vec<String>,
    /// How many there are, in a list that does not show all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    attachments_total: Option<usize>,
    /// Dispatch: `outbox` (not tried yet), `retry` (tried, not settled), `ok`, `failed`.
    #[schema(pattern = "^(outbox|retry|ok|failed)$")]
    status: &'static str,
    /// Why it is in its status, where there is something to say.
    #[schema(required = true)]
    status_payload: Option<StatusPayloadJson>,
    /// What became of it afterwards: `none`, `pending`, `unknown`, `sent`, `undelivered`, `delivered`, `read`;
    /// `received` for inbound messages.
    #[schema(pattern = "^(none|pending|unknown|sent|undelivered|delivered|read|received)$")]
    delivery: &'static str,
    /// The provider that has it or tried it last.
    #[schema(required = true)]
    provider_id: Option<String>,
    #[schema(required = true)]
    provider_message_id: Option<String>,
    /// Provider calls that were answered with a verdict or whose outcome is unknown.
    attempt: u32,
    /// When it is due next; null when it is settled or held.
    #[schema(required = true, format = DateTime)]
    next_attempt_at: Option<String>,
    /// What the client said about it.
    #[schema(value_type = Object)]
    metadata: Map<String, Value>,
    /// The client's or the provider's time of the message, else when it was stored.
    #[schema(format = DateTime)]
    timestamp: String,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

/// Why a message is in its status.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StatusPayload, example = json!({
    "code": "invalid_recipient", "provider_code": "21211", "detail": "invalid 'To' number"
}))]
pub(crate) struct StatusPayloadJson {
    /// A stable word, e.g. `invalid_recipient`, `exhausted`, `canceled`.
    code: String,
    /// The provider's own code, as it gave it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    provider_code: Option<String>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    detail: Option<String>,
}

impl From<StatusPayload> for StatusPayloadJson {
    fn from(payload: StatusPayload) -> Self {
        Self { code: payload.code, provider_code: payload.provider_code, detail: payload.detail }
    }
}

/// Attachments of one message in a list.
pub(crate) const LISTED_ATTACHMENTS_MAX: usize = 20;

/// Of a message without its body and what else the client says: most fit.
const JSON_BYTES: usize = 768;

impl MessageJson {
    /// As one of many.
    pub(crate) fn in_list(message: Message) -> Self {
        let mut json = Self::from(message);
        let total = json.attachments.len();
        if total > LISTED_ATTACHMENTS_MAX {
            json.attachments.truncate(LISTED_ATTACHMENTS_MAX);
            json.attachments_total = Some(total);
        }
        json
    }

    pub(crate) fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        let mut json = Vec::with_capacity(JSON_BYTES + self.body.len());
        serde_json::to_writer(&mut json, self)?;
        Ok(json)
    }
}

impl From<Message> for MessageJson {
    fn from(message: Message) -> Self {
        Self {
            id: message.id,
            conversation_id: message.conversation_id,
            channel: message.channel,
            direction: message.direction.as_str(),
            from: message.source.into_string(),
            to: message.target.into_string(),
            subject: message.subject,
            body: message.body,
            attachments: message.attachments,
            attachments_total: None,
            status: message.status.as_str(),
            status_payload: message.status_payload.map(StatusPayloadJson::from),
            delivery: message.delivery.as_str(),
            provider_id: message.provider_id,
            provider_message_id: message.provider_message_id,
            attempt: message.attempt,
            next_attempt_at: message.next_attempt_at.map(times::format),
            metadata: message.metadata,
            timestamp: times::format(message.timestamp),
            created_at: times::format(message.created_at),
            updated_at: times::format(message.updated_at),
        }
    }
}
