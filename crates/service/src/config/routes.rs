//! `[[routes]]`: ordered rules. Without any, each channel goes to every provider that carries it. With some, only
//! they decide: what matches none waits, and a warning says so.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use model::route::{Candidate, Condition, LANE_MARKS};
use model::{Addressing, Channel, Medium, Priority, Route, Routes};
use serde::Deserialize;
use toml::Spanned;

use super::ProviderConfig;
use super::value::Problems;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRoute {
    name: Option<String>,
    channel: OneOrMore<Channel>,
    to_prefix: Option<String>,
    to_country: Option<OneOrMore<String>>,
    to_domain: Option<String>,
    from: Option<String>,
    priority: Option<Priority>,
    #[serde(default)]
    metadata: BTreeMap<String, toml::Value>,
    providers: Vec<RawCandidate>,
    #[serde(default)]
    spill: bool,
    sticky: Option<bool>,
    confirm_within_s: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "expected one of the words that docs/configuration.md lists, or a list of them"
)]
enum OneOrMore<T> {
    One(T),
    More(Vec<T>),
}

impl<T> OneOrMore<T> {
    fn into_vec(self) -> Vec<T> {
        match self {
            Self::One(one) => vec![one],
            Self::More(more) => more,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected a provider's id, or a table of `id` and `weight`")]
enum RawCandidate {
    Id(String),
    #[serde(rename_all = "snake_case")]
    Weighted {
        id: String,
        weight: u32,
    },
}

impl RawCandidate {
    fn into_candidate(self) -> Candidate {
        match self {
            Self::Id(provider_id) => Candidate { provider_id, weight: None },
            Self::Weighted { id, weight } => Candidate { provider_id: id, weight: Some(weight) },
        }
    }
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
        let route = route(entry.into_inner(), &span, problems);
        let place = format!("route `{}`", route.name);
        if routes.iter().any(|other| other.name == route.name) {
            problems.add_at(&span, &place, "there is another of that name; give each a `name`");
        }
        check_candidates(&route, providers, &mut |problem| problems.add_at(&span, &place, problem));
        routes.push(route);
    }
    if without_rules {
        routes.extend(Channel::ALL.into_iter().filter_map(|channel| catch_all(channel, providers)));
    } else {
        for channel in Channel::ALL {
            let carried = providers.iter().any(|provider| provider.channels.contains(&channel));
            let caught = routes.iter().any(|route| route.when.takes_every(channel));
            if carried && !caught {
                warnings.push(format!(
                    "no route takes every {channel} message: what matches none waits in the outbox; \
                     add a route with channel = \"{channel}\" and nothing else but providers"
                ));
            }
        }
    }
    Routes(routes)
}

fn route(raw: RawRoute, span: &Range<usize>, problems: &mut Problems<'_>) -> Route {
    let mut found = Vec::new();
    let to_country = raw.to_country.map(OneOrMore::into_vec);
    if to_country.as_ref().is_some_and(Vec::is_empty) {
        found.push("to_country: name at least one, or leave it out".to_owned());
    }
    let metadata = raw.metadata.into_iter().map(|(key, value)| match value {
        toml::Value::String(text) => (key, text),
        other => (key, other.to_string()),
    });
    let when = Condition {
        channels: raw.channel.into_vec(),
        to_prefix: raw.to_prefix,
        to_countries: to_country
            .unwrap_or_default()
            .into_iter()
            .map(|country| country.to_ascii_uppercase())
            .collect(),
        to_domain: raw.to_domain.map(|domain| domain.trim_start_matches('@').to_ascii_lowercase()),
        from: raw.from.map(|from| sender(&from, &mut found)),
        priority: raw.priority,
        metadata: metadata.collect(),
    };
    if when.channels.is_empty() {
        found.push("channel: name at least one".to_owned());
    }
    for country in &when.to_countries {
        if Addressing::with_default_region(country).is_err() {
            found.push(format!("to_country: `{country}` is no country such as US"));
        }
    }
    for (key, misfit) in misfits(&when) {
        found.push(format!("{key}: {misfit}"));
    }
    let name = raw.name.unwrap_or_else(|| name_of(&when));
    if name.is_empty() || name.contains(LANE_MARKS) {
        found.push("name: must not be empty, nor have `!` or `>` in it".to_owned());
    }
    if raw.confirm_within_s.is_some_and(|wait| !(1.0..=86_400.0).contains(&wait)) {
        found.push("confirm_within_s: must be between 1 and 86400".to_owned());
    }
    for problem in found {
        problems.add_at(span, &format!("route `{name}`"), problem);
    }
    Route {
        name,
        when,
        candidates: raw.providers.into_iter().map(RawCandidate::into_candidate).collect(),
        spill: raw.spill,
        sticky: raw.sticky.unwrap_or(true),
        confirm_within: raw.confirm_within_s.and_then(|wait| Duration::try_from_secs_f64(wait).ok()),
    }
}

/// As messages are stored, so that the rule meets them.
fn sender(from: &str, found: &mut Vec<String>) -> String {
    let medium = if from.contains('@') { Medium::Email } else { Medium::Phone };
    match Addressing::default().sender(medium, from) {
        Ok(endpoint) => endpoint.into_string(),
        Err(error) => {
            found.push(format!("from: {error}"));
            from.to_owned()
        }
    }
}

/// What no message of the rule's channels can meet.
fn misfits(when: &Condition) -> Vec<(&'static str, &'static str)> {
    let all_email = when.channels.iter().all(|channel| channel.medium() == Medium::Email);
    let no_email = !when.channels.contains(&Channel::Email);
    let all_phone = when.channels.iter().all(|channel| channel.medium() == Medium::Phone);
    let is_number = |prefix: &String| prefix.starts_with('+');
    let mut found = Vec::new();
    if no_email && when.to_domain.is_some() {
        found.push(("to_domain", "only email has domains"));
    }
    if all_email && !when.to_countries.is_empty() {
        found.push(("to_country", "only numbers have countries"));
    }
    if all_phone && when.to_prefix.as_ref().is_some_and(|prefix| !is_number(prefix)) {
        found.push(("to_prefix", "numbers are stored with a plus and their country code: such as +1"));
    }
    found
}

/// The channels and what else the rule asks for.
fn name_of(when: &Condition) -> String {
    let channels: Vec<&str> = when.channels.iter().map(|channel| channel.as_str()).collect();
    let metadata: Vec<String> = when.metadata.iter().map(|(key, text)| format!("{key}={text}")).collect();
    let parts = [channels.join(",")]
        .into_iter()
        .chain(when.to_prefix.clone())
        .chain((!when.to_countries.is_empty()).then(|| when.to_countries.join(",")))
        .chain(when.to_domain.clone())
        .chain(when.from.clone())
        .chain(when.priority.map(|priority| priority.as_str().to_owned()))
        .chain(metadata);
    parts.collect::<Vec<_>>().join(":")
}

fn check_candidates(route: &Route, providers: &[ProviderConfig], wrong: &mut dyn FnMut(String)) {
    if route.candidates.is_empty() {
        wrong("providers: name at least one".to_owned());
    }
    let weighted = route.candidates.iter().filter(|candidate| candidate.weight.is_some()).count();
    if weighted != 0 && weighted != route.candidates.len() {
        wrong("providers: give each a weight, or none".to_owned());
    }
    if route.candidates.iter().any(|candidate| candidate.weight == Some(0)) {
        wrong("providers: a weight must be at least 1; leave out who should carry nothing".to_owned());
    }
    for (place, candidate) in route.candidates.iter().enumerate() {
        let id = &candidate.provider_id;
        if route.candidates[..place].iter().any(|other| other.provider_id == *id) {
            wrong(format!("providers: `{id}` is named twice"));
        }
        let Some(provider) = providers.iter().find(|provider| provider.id == *id) else {
            wrong(format!("providers: there is no provider `{id}`"));
            continue;
        };
        for channel in route.when.channels.iter().filter(|channel| !provider.channels.contains(channel)) {
            wrong(format!("providers: `{id}` does not carry {channel}"));
        }
    }
}

fn catch_all(channel: Channel, providers: &[ProviderConfig]) -> Option<Route> {
    let carrying = providers.iter().filter(|provider| provider.channels.contains(&channel));
    let candidates: Vec<Candidate> =
        carrying.map(|provider| Candidate { provider_id: provider.id.clone(), weight: None }).collect();
    (!candidates.is_empty()).then(|| Route {
        name: channel.to_string(),
        when: Condition { channels: vec![channel], ..Condition::default() },
        candidates,
        spill: false,
        sticky: true,
        confirm_within: None,
    })
}
