//! Which providers may carry a message: ordered rules, the first match wins. A pure function, asked at accept, and again
//! where a row has no route that the configuration knows. Who of a route's candidates carries a message now is the
//! processor's choice.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::{Channel, Endpoint, Priority};

/// A rule, and with it the candidates for what it matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Unique among the routes; stored in the outbox row. Has neither `!` nor `>`, which make lanes of it.
    pub name: String,
    pub when: Condition,
    /// The preferred first.
    pub candidates: Vec<Candidate>,
    /// Whether a candidate that is merely busy or at its rate is passed over too, not only one that is down.
    pub spill: bool,
    /// Whether a message goes through the provider that its conversation's last inbound message came through, where
    /// that is a candidate.
    pub sticky: bool,
    /// A message that is not delivered within this time goes to the next candidate as well.
    pub confirm_within: Option<Duration>,
}

/// A provider that may carry a route's messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub provider_id: String,
    /// Its share where all candidates of the route have one; otherwise their order decides.
    pub weight: Option<u32>,
}

/// What a message must be like; what is absent matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    pub channels: Vec<Channel>,
    /// What the recipient's address begins with, such as `+1`.
    pub to_prefix: Option<String>,
    /// Regions of recipients' numbers, as two capital letters (ISO 3166).
    pub to_countries: Vec<String>,
    /// The recipient's email domain, in lower case; its subdomains match too.
    pub to_domain: Option<String>,
    /// The sender's address.
    pub from: Option<String>,
    pub priority: Option<Priority>,
    /// Members of `metadata` and their texts.
    pub metadata: BTreeMap<String, String>,
}

/// What rules are asked about a message.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    pub channel: Channel,
    pub source: &'a Endpoint,
    pub target: &'a Endpoint,
    pub priority: Priority,
    pub metadata: &'a Map<String, Value>,
}

impl Condition {
    /// The first part of the rule that the message does not meet, by its key in the configuration.
    pub fn mismatch(&self, facts: &Facts<'_>) -> Option<&'static str> {
        let target = facts.target.as_str();
        let is_met = |key: &'static str, met: bool| (!met).then_some(key);
        is_met("channel", self.channels.is_empty() || self.channels.contains(&facts.channel))
            .or_else(|| {
                is_met("to_prefix", is_or_absent(&self.to_prefix, |prefix| target.starts_with(prefix)))
            })
            .or_else(|| is_met("to_domain", is_or_absent(&self.to_domain, |domain| is_in(target, domain))))
            .or_else(|| is_met("from", is_or_absent(&self.from, |from| facts.source.as_str() == from)))
            .or_else(|| is_met("priority", self.priority.is_none_or(|priority| priority == facts.priority)))
            .or_else(|| {
                is_met("metadata", self.metadata.iter().all(|(key, text)| has(facts.metadata, key, text)))
            })
            // The last, because the number is parsed for it.
            .or_else(|| {
                is_met("to_country", self.to_countries.is_empty() || self.is_for_country(facts.target))
            })
    }

    fn is_for_country(&self, target: &Endpoint) -> bool {
        target.country().is_some_and(|country| self.to_countries.contains(&country))
    }

    /// Whether every message of the channel meets it.
    pub fn takes_every(&self, channel: Channel) -> bool {
        let any = Self { channels: self.channels.clone(), ..Self::default() };
        *self == any && (self.channels.is_empty() || self.channels.contains(&channel))
    }
}

fn is_or_absent(wanted: &Option<String>, is: impl Fn(&str) -> bool) -> bool {
    wanted.as_deref().is_none_or(is)
}

fn is_in(address: &str, domain: &str) -> bool {
    let Some((_, of_address)) = address.rsplit_once('@') else { return false };
    let of_address = of_address.to_ascii_lowercase();
    of_address == domain || of_address.strip_suffix(domain).is_some_and(|sub| sub.ends_with('.'))
}

fn has(metadata: &Map<String, Value>, key: &str, text: &str) -> bool {
    match metadata.get(key) {
        Some(Value::String(found)) => found == text,
        Some(Value::Number(found)) => found.to_string() == text,
        Some(Value::Bool(found)) => (if *found { "true" } else { "false" }) == text,
        _ => false,
    }
}

/// All rules in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routes(pub Vec<Route>);

impl Routes {
    /// The first rule that the message matches.
    pub fn matching(&self, facts: &Facts<'_>) -> Option<&Route> {
        self.0.iter().find(|route| route.when.mismatch(facts).is_none())
    }

    pub fn named(&self, name: &str) -> Option<&Route> {
        self.0.iter().find(|route| route.name == name)
    }

    /// The route of a lane, unless the configuration no longer has it.
    pub fn of_lane(&self, lane: &str) -> Option<(&Route, Variant)> {
        let (name, variant) = Variant::parse(lane);
        let route = self.named(name)?;
        route.variants().contains(&variant).then_some((route, variant))
    }
}

impl Route {
    /// Its lanes: there are these and no others, so that nothing waits in one that nobody looks at. Where there is a
    /// choice, one that avoids each candidate and one that prefers it.
    pub fn variants(&self) -> Vec<Variant> {
        let has_choice = self.candidates.len() > 1;
        let ids = self.candidates.iter().filter(|_| has_choice).map(|candidate| &candidate.provider_id);
        let both = ids.flat_map(|id| [Variant::Avoid(id.clone()), Variant::Prefer(id.clone())]);
        std::iter::once(Variant::Plain).chain(both).collect()
    }

    /// The providers that its messages stick to, where their conversation uses one of them.
    pub fn sticky_providers(&self) -> Vec<String> {
        let has_choice = self.sticky && self.candidates.len() > 1;
        let ids =
            self.candidates.iter().filter(|_| has_choice).map(|candidate| candidate.provider_id.clone());
        ids.collect()
    }
}

/// A route's messages wait in lanes, each with an order of candidates of its own, so that a claim for a provider meets
/// only rows that may go to it. The lane is what the outbox row's `route` holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Variant {
    /// `name`
    Plain,
    /// `name!provider`: that one failed the last attempt, and is asked only when no other candidate is there.
    Avoid(String),
    /// `name>provider`: that one first, because the conversation uses it.
    Prefer(String),
}

/// Characters that the name of a route may not have.
pub const LANE_MARKS: [char; 2] = ['!', '>'];

impl Variant {
    /// The route's name and the variant.
    pub fn parse(lane: &str) -> (&str, Self) {
        match lane.find(LANE_MARKS) {
            Some(at) if lane[at..].starts_with('!') => (&lane[..at], Self::Avoid(lane[at + 1..].to_owned())),
            Some(at) => (&lane[..at], Self::Prefer(lane[at + 1..].to_owned())),
            None => (lane, Self::Plain),
        }
    }

    pub fn lane(&self, route: &str) -> String {
        match self {
            Self::Plain => route.to_owned(),
            Self::Avoid(id) => format!("{route}!{id}"),
            Self::Prefer(id) => format!("{route}>{id}"),
        }
    }

    /// The route's candidates in this lane's order.
    pub fn order<'a>(&self, route: &'a Route) -> Vec<&'a Candidate> {
        let mut candidates: Vec<&Candidate> = route.candidates.iter().collect();
        match self {
            Self::Plain => {}
            Self::Avoid(id) => candidates.sort_by_key(|candidate| candidate.provider_id == *id),
            Self::Prefer(id) => candidates.sort_by_key(|candidate| candidate.provider_id != *id),
        }
        candidates
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use serde_json::json;

    use super::*;

    fn route(name: &str, when: Condition) -> Route {
        let candidate = |id: &str| Candidate { provider_id: id.to_owned(), weight: None };
        Route {
            name: name.to_owned(),
            when,
            candidates: ["a", "b", "c"].map(candidate).to_vec(),
            spill: false,
            sticky: true,
            confirm_within: None,
        }
    }

    fn on(channel: Channel) -> Condition {
        Condition { channels: vec![channel], ..Condition::default() }
    }

    static NO_METADATA: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);

    fn facts<'a>(channel: Channel, source: &'a Endpoint, target: &'a Endpoint) -> Facts<'a> {
        Facts { channel, source, target, priority: Priority::Normal, metadata: &NO_METADATA }
    }

    #[test]
    fn the_first_match_wins() {
        let routes = Routes(vec![
            route("us", Condition { to_prefix: Some("+1".to_owned()), ..on(Channel::Sms) }),
            route("any", on(Channel::Sms)),
            route("mail", on(Channel::Email)),
        ]);
        let name = |channel, to| {
            let to = Endpoint::stored(to);
            routes.matching(&facts(channel, &to, &to)).map(|route| route.name.clone())
        };
        assert_eq!(name(Channel::Sms, "+12025550100").as_deref(), Some("us"));
        assert_eq!(name(Channel::Sms, "+493012345678").as_deref(), Some("any"));
        assert_eq!(name(Channel::Email, "ann@example.com").as_deref(), Some("mail"));
        assert_eq!(name(Channel::Mms, "+12025550100"), None);
    }

    #[test]
    fn a_rule_says_what_it_misses() {
        let (phone, mail) = (Endpoint::stored("+12025550100"), Endpoint::stored("ann@mail.example.com"));
        let sms = facts(Channel::Sms, &phone, &phone);
        let email = facts(Channel::Email, &mail, &mail);
        let miss = |when: Condition, facts: &Facts<'_>| when.mismatch(facts);
        let any = Condition::default;
        assert_eq!(miss(any(), &sms), None);
        assert_eq!(miss(on(Channel::Email), &sms), Some("channel"));
        let countries = |words: &[&str]| Condition {
            to_countries: words.iter().map(|&word| word.to_owned()).collect(),
            ..any()
        };
        assert_eq!(miss(countries(&["DE", "US"]), &sms), None);
        assert_eq!(miss(countries(&["DE"]), &sms), Some("to_country"));
        assert_eq!(miss(countries(&["US"]), &email), Some("to_country"));
        for (domain, expected) in
            [("example.com", None), ("mail.example.com", None), ("ample.com", Some("to_domain"))]
        {
            assert_eq!(miss(Condition { to_domain: Some(domain.to_owned()), ..any() }, &email), expected);
        }
        let from = |address: &str| Condition { from: Some(address.to_owned()), ..any() };
        assert_eq!(miss(from("+12025550100"), &sms), None);
        assert_eq!(miss(from("+12025550101"), &sms), Some("from"));
        assert_eq!(miss(Condition { priority: Some(Priority::High), ..any() }, &sms), Some("priority"));
        let otp = Condition { metadata: [("kind".to_owned(), "otp".to_owned())].into(), ..any() };
        assert_eq!(miss(otp.clone(), &sms), Some("metadata"));
        let metadata = [("kind".to_owned(), json!("otp"))].into_iter().collect();
        assert_eq!(miss(otp, &Facts { metadata: &metadata, ..sms }), None);
    }

    #[test]
    fn lanes_are_read_back() {
        for variant in [Variant::Plain, Variant::Avoid("a.b-1".to_owned()), Variant::Prefer("a".to_owned())] {
            assert_eq!(Variant::parse(&variant.lane("sms:+1")), ("sms:+1", variant.clone()));
        }
    }

    #[test]
    fn a_lane_orders_its_routes_candidates() {
        let route = route("r", Condition::default());
        let order = |variant: Variant| {
            let ids = variant.order(&route).into_iter().map(|candidate| candidate.provider_id.as_str());
            ids.collect::<Vec<_>>().join("")
        };
        assert_eq!(order(Variant::Plain), "abc");
        assert_eq!(order(Variant::Avoid("a".to_owned())), "bca");
        assert_eq!(order(Variant::Prefer("c".to_owned())), "cab");
        let routes = Routes(vec![route.clone()]);
        assert!(routes.of_lane("r!b").is_some() && routes.of_lane("r!gone").is_none());
        let alone = Route { candidates: route.candidates[..1].to_vec(), ..route.clone() };
        let routes = Routes(vec![alone]);
        assert!(routes.of_lane("r").is_some());
        assert!(routes.of_lane("r!a").is_none() && routes.of_lane("r>a").is_none(), "matched again");
        assert_eq!(route.sticky_providers(), ["a", "b", "c"]);
        assert!(Route { sticky: false, ..route }.sticky_providers().is_empty());
    }
}
