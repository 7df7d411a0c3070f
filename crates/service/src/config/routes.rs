//! `[[routes]]`: ordered rules. Without any, each channel goes to every provider that carries it. With some, only
//! they decide: what matches none waits, and a warning says so.

use model::{Channel, Route, Routes};
use serde::Deserialize;
use toml::Spanned;

use super::ProviderConfig;
use super::value::Problems;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRoute {
    name: Option<String>,
    channel: Channel,
    to_prefix: Option<String>,
    providers: Vec<String>,
}

pub(super) fn configure(
    entries: Vec<Spanned<RawRoute>>,
    providers: &[ProviderConfig],
    problems: &mut Problems<'_>,
    warnings: &mut Vec<String>,
) -> Routes {
    let without_rules = entries.is_empty();
    let mut routes: Vec<Route> = Vec::new();
    for entry in entries {
        let span = entry.span();
        let raw = entry.into_inner();
        let name = raw.name.unwrap_or_else(|| match &raw.to_prefix {
            Some(prefix) => format!("{}:{prefix}", raw.channel),
            None => raw.channel.to_string(),
        });
        let place = format!("route `{name}`");
        if routes.iter().any(|other| other.name == name) {
            problems.add_at(&span, &place, "there is another of that name; give each a `name`");
        }
        if raw.providers.is_empty() {
            problems.add_at(&span, &place, "providers: name at least one");
        }
        for id in &raw.providers {
            match providers.iter().find(|provider| &provider.id == id) {
                None => problems.add_at(&span, &place, format!("providers: there is no provider `{id}`")),
                Some(provider) if !provider.channels.contains(&raw.channel) => {
                    let problem = format!("providers: `{id}` does not carry {}", raw.channel);
                    problems.add_at(&span, &place, problem);
                }
                Some(_) => {}
            }
        }
        routes.push(Route { name, channel: raw.channel, to_prefix: raw.to_prefix, providers: raw.providers });
    }
    if without_rules {
        routes.extend(Channel::ALL.into_iter().filter_map(|channel| catch_all(channel, providers)));
    } else {
        for channel in Channel::ALL {
            let carried = providers.iter().any(|provider| provider.channels.contains(&channel));
            let caught = routes.iter().any(|route| route.channel == channel && route.to_prefix.is_none());
            if carried && !caught {
                warnings.push(format!(
                    "no route takes every {channel} message: what matches none waits in the outbox; \
                     add a route with channel = \"{channel}\" and no to_prefix"
                ));
            }
        }
    }
    Routes(routes)
}

fn catch_all(channel: Channel, providers: &[ProviderConfig]) -> Option<Route> {
    let carrying = providers.iter().filter(|provider| provider.channels.contains(&channel));
    let ids: Vec<String> = carrying.map(|provider| provider.id.clone()).collect();
    let name = channel.to_string();
    (!ids.is_empty()).then_some(Route { name, channel, to_prefix: None, providers: ids })
}
