//! `/api/messages`: a file per endpoint.

pub(crate) mod cancel_message;
pub(crate) mod explain_message;
pub(crate) mod list_message_events;
pub(crate) mod list_messages;
pub(crate) mod retry_message;
pub(crate) mod send_email;
pub(crate) mod send_sms;
pub(crate) mod send_whatsapp;
pub(crate) mod show_message;

use model::Message;
use uuid::Uuid;

use crate::problem::Problem;
use crate::state::Turn;

/// The message of that id, as it stands in a URL. What is no id names no message.
pub(crate) async fn find(database: &Turn<'_>, id: &str) -> Result<Message, Problem> {
    let found = match parse_id(id) {
        Some(id) => app_db::messages::find(database, id).await?,
        None => None,
    };
    found.ok_or_else(not_found)
}

fn not_found() -> Problem {
    Problem::not_found("message_not_found", "there is no message of this id")
}

/// An id of ours, in the form in which we write it.
pub(crate) fn parse_id(text: &str) -> Option<Uuid> {
    const HYPHENATED_CHARS: usize = 36;
    if text.len() != HYPHENATED_CHARS {
        return None;
    }
    Uuid::try_parse(text).ok().filter(|id| model::id::is_ours(*id))
}
