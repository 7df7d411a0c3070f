//! Which providers may carry a message: ordered rules, the first match wins.

use serde::{Deserialize, Serialize};

use crate::{Channel, Endpoint};

/// A rule, and with it the candidates for what it matches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Unique among the routes; stored in the outbox row.
    pub name: String,
    pub channel: Channel,
    /// Matches recipients that begin so, e.g. `+1`. Absent: all.
    pub to_prefix: Option<String>,
    /// Provider ids, the preferred first.
    pub providers: Vec<String>,
}

impl Route {
    fn matches(&self, channel: Channel, target: &Endpoint) -> bool {
        self.channel == channel
            && self.to_prefix.as_deref().is_none_or(|prefix| target.as_str().starts_with(prefix))
    }
}

/// All rules in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routes(pub Vec<Route>);

impl Routes {
    /// The first rule that the message matches.
    pub fn matching(&self, channel: Channel, target: &Endpoint) -> Option<&Route> {
        self.0.iter().find(|route| route.matches(channel, target))
    }

    pub fn named(&self, name: &str) -> Option<&Route> {
        self.0.iter().find(|route| route.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(name: &str, channel: Channel, to_prefix: Option<&str>) -> Route {
        Route {
            name: name.to_owned(),
            channel,
            to_prefix: to_prefix.map(str::to_owned),
            providers: vec!["p".to_owned()],
        }
    }

    #[test]
    fn the_first_match_wins() {
        let routes = Routes(vec![
            route("us", Channel::Sms, Some("+1")),
            route("any", Channel::Sms, None),
            route("mail", Channel::Email, None),
        ]);
        let name =
            |channel, to| routes.matching(channel, &Endpoint::stored(to)).map(|route| route.name.as_str());
        assert_eq!(name(Channel::Sms, "+12025550100"), Some("us"));
        assert_eq!(name(Channel::Sms, "+493012345678"), Some("any"));
        assert_eq!(name(Channel::Email, "ann@example.com"), Some("mail"));
        assert_eq!(name(Channel::Mms, "+12025550100"), None);
    }
}
