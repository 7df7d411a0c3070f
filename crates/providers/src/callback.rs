//! Our message id and attempt, carried out in a callback's URL and brought back by the receipt.

use uuid::Uuid;

use crate::Outgoing;
use crate::inbound_text::our_reference;

/// The webhook's URL with `message_id` and `attempt` in its query.
pub(crate) fn url(message: &Outgoing<'_>) -> String {
    let Outgoing { webhook_url, message_id, attempt, .. } = message;
    let separator = if webhook_url.contains('?') { '&' } else { '?' };
    format!("{webhook_url}{separator}message_id={message_id}&attempt={attempt}")
}

/// `{message_id}:{attempt}`, for providers that bring back one text of ours.
pub(crate) fn reference(message: &Outgoing<'_>) -> String {
    format!("{}:{}", message.message_id, message.attempt)
}

/// What [`url`] carried out. Nothing unless the id is one of ours.
pub(crate) fn in_url(url: &str) -> (Option<Uuid>, Option<u32>) {
    let pair = |wanted: &str| {
        form_urlencoded::parse(query_of(url).as_bytes())
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value)
    };
    match pair("message_id") {
        Some(message_id) => our_reference(&message_id, pair("attempt").as_deref()),
        None => (None, None),
    }
}

/// What [`reference`] carried out. Nothing unless the id is one of ours.
pub(crate) fn in_reference(text: &str) -> (Option<Uuid>, Option<u32>) {
    match text.split_once(':') {
        Some((message_id, attempt)) => our_reference(message_id, Some(attempt)),
        None => our_reference(text, None),
    }
}

pub(crate) fn query_of(url: &str) -> &str {
    let url = url.split_once('#').map_or(url, |(url, _fragment)| url);
    url.split_once('?').map_or("", |(_, query)| query)
}
