//! What rules say about a message, in words.

use model::{Facts, Message, Route};

/// What rules are asked about a stored message.
pub(super) fn facts(message: &Message) -> Facts<'_> {
    Facts {
        channel: message.channel,
        source: &message.source,
        target: &message.target,
        priority: message.priority,
        metadata: &message.metadata,
    }
}

/// The first key of the rule that does not fit the message, and why, in words.
pub(super) fn mismatch(route: &Route, message: &Message) -> Option<(&'static str, String)> {
    let key = route.when.mismatch(&facts(message))?;
    let when = &route.when;
    let why = match key {
        "channel" => {
            let channels: Vec<&str> = when.channels.iter().map(|channel| channel.as_str()).collect();
            format!("the rule is for {}, the message is {}", channels.join(", "), message.channel)
        }
        "to_prefix" => {
            let prefix = when.to_prefix.as_deref().unwrap_or_default();
            format!("the recipient's address does not begin with {prefix}")
        }
        "to_country" => format!("the recipient's number is not of {}", when.to_countries.join(", ")),
        "to_domain" => {
            format!("the recipient's address is not in {}", when.to_domain.as_deref().unwrap_or_default())
        }
        "from" => "the message has another sender".to_owned(),
        "priority" => format!("the message's priority is {}", message.priority),
        _ => "the message's metadata is another".to_owned(),
    };
    Some((key, why))
}
