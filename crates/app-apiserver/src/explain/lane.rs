//! What rules say about a message, and what the route of its outbox row says: a rule's name, and whom to avoid or prefer.

use model::{Message, Route, Routes};

/// Who comes first or last for the next attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Variant {
    Plain,
    /// That provider failed the last attempt.
    Avoid(String),
    /// The conversation used that provider.
    Prefer(String),
}

/// `name`, `name!provider` or `name+provider`. What names a rule as a whole is its name: some have a plus.
pub(super) fn parse<'a>(routes: &Routes, stored: &'a str) -> (&'a str, Variant) {
    if routes.named(stored).is_some() {
        return (stored, Variant::Plain);
    }
    let Some(at) = stored.rfind(['!', '+', '>']) else { return (stored, Variant::Plain) };
    let (name, provider_id) = (&stored[..at], stored[at + 1..].to_owned());
    match stored.as_bytes()[at] {
        _ if routes.named(name).is_none() => (stored, Variant::Plain),
        b'!' => (name, Variant::Avoid(provider_id)),
        _ => (name, Variant::Prefer(provider_id)),
    }
}

/// The rule's candidates in the order in which they are asked.
pub(super) fn candidates<'a>(route: &'a Route, variant: &Variant) -> Vec<&'a str> {
    let mut ids: Vec<&str> = route.providers.iter().map(String::as_str).collect();
    match variant {
        Variant::Plain => {}
        Variant::Avoid(avoided) => ids.sort_by_key(|id| id == avoided),
        Variant::Prefer(preferred) => ids.sort_by_key(|id| id != preferred),
    }
    ids
}

/// The first key of the rule that does not fit the message, and why, in words.
pub(super) fn mismatch(route: &Route, message: &Message) -> Option<(&'static str, String)> {
    if route.channel != message.channel {
        let why = format!("the rule is for {}, the message is {}", route.channel, message.channel);
        return Some(("channel", why));
    }
    match &route.to_prefix {
        Some(prefix) if !message.target.as_str().starts_with(prefix) => {
            Some(("to_prefix", format!("the recipient's address does not begin with {prefix}")))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use model::Channel;

    use super::*;

    fn route(name: &str) -> Route {
        let providers = ["a", "b", "c"].map(str::to_owned).to_vec();
        Route { name: name.to_owned(), channel: Channel::Sms, to_prefix: None, providers }
    }

    #[test]
    fn a_stored_route_names_a_rule_and_whom_to_avoid_or_prefer() {
        let routes = Routes(vec![route("sms"), route("sms:+1")]);
        for (stored, name, variant) in [
            ("sms", "sms", Variant::Plain),
            ("sms!a", "sms", Variant::Avoid("a".to_owned())),
            ("sms+b-2", "sms", Variant::Prefer("b-2".to_owned())),
            ("sms:+1", "sms:+1", Variant::Plain),
            ("sms:+1!a", "sms:+1", Variant::Avoid("a".to_owned())),
            ("sms:+1+a", "sms:+1", Variant::Prefer("a".to_owned())),
            ("gone:+49", "gone:+49", Variant::Plain),
            ("", "", Variant::Plain),
        ] {
            assert_eq!(parse(&routes, stored), (name, variant), "{stored}");
        }
    }

    #[test]
    fn whom_to_avoid_comes_last_and_whom_to_prefer_first() {
        let order = |variant| candidates(&route("sms"), &variant).concat();
        assert_eq!(order(Variant::Plain), "abc");
        assert_eq!(order(Variant::Avoid("a".to_owned())), "bca");
        assert_eq!(order(Variant::Prefer("c".to_owned())), "cab");
    }
}
