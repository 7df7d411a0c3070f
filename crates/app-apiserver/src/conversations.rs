//! `/api/conversations`: a file per endpoint.

pub(crate) mod list_conversation_messages;
pub(crate) mod list_conversations;
pub(crate) mod reply;
pub(crate) mod show_conversation;

use app_db::conversations::Conversation;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::messages::parse_id;
use crate::problem::Problem;
use crate::state::Turn;
use crate::times;

/// All messages between the same participants.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Conversation, example = json!({
    "id": "019a2f7e-3c41-70a4-8000-0a9b11e2c3d4", "medium": "phone",
    "participants": ["+12025550100", "+12025550199"],
    "created_at": "2026-11-23T08:30:00.123456Z", "last_message_at": "2026-11-23T08:30:00.123456Z"
}))]
pub(crate) struct ConversationJson {
    id: Uuid,
    /// `phone` (SMS and MMS), `email` or `whatsapp`.
    medium: String,
    /// Sorted; email addresses in lower case.
    participants: Vec<String>,
    #[schema(format = DateTime)]
    created_at: String,
    /// When activity was last noted: up to a second after it, so it need not be the newest message's `created_at`.
    #[schema(format = DateTime)]
    last_message_at: String,
}

impl From<Conversation> for ConversationJson {
    fn from(conversation: Conversation) -> Self {
        Self {
            id: conversation.id,
            medium: conversation.medium,
            participants: conversation.participants,
            created_at: times::format(conversation.created_at),
            last_message_at: times::format(conversation.last_message_at),
        }
    }
}

/// The conversation of that id, as it stands in a URL.
async fn find(database: &Turn<'_>, id: &str) -> Result<Conversation, Problem> {
    let found = match parse_id(id) {
        Some(id) => app_db::conversations::find(database, id).await?,
        None => None,
    };
    found.ok_or_else(|| Problem::not_found("conversation_not_found", "there is no conversation of this id"))
}
