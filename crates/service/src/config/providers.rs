//! `[[providers]]`: what every provider has, here; what its kind asks for, by the kind itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::{Channel, OnUnknown};
use providers::{KINDS, Settings, rotation};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use toml::Spanned;
use url::Url;

use super::ProviderConfig;
use super::value::{self, Environment, Problems};

#[derive(Debug, Deserialize)]
struct RawProvider {
    id: String,
    kind: String,
    channels: Option<Vec<Channel>>,
    base_url: Option<String>,
    #[serde(default = "max_in_flight")]
    max_in_flight: usize,
    rate_per_s: Option<f64>,
    #[serde(default = "timeout_s")]
    timeout_s: f64,
    #[serde(default)]
    on_unknown: OnUnknown,
    #[serde(default = "reconcile_wait_s")]
    reconcile_wait_s: u64,
    #[serde(default = "verify")]
    verify: bool,
    #[serde(default)]
    codes: BTreeMap<String, String>,
    #[serde(flatten)]
    settings: BTreeMap<String, toml::Value>,
}

fn max_in_flight() -> usize {
    64
}

fn timeout_s() -> f64 {
    10.0
}

fn reconcile_wait_s() -> u64 {
    300
}

fn verify() -> bool {
    true
}

/// Ids that are words of our own routes below `/api/webhooks/`, and the name under which the generic webhooks keep what
/// they reject.
const RESERVED_IDS: [&str; 3] = ["sms", "email", "generic"];

pub(super) fn configure(
    entries: Vec<Spanned<toml::Table>>,
    environment: Environment<'_>,
    problems: &mut Problems<'_>,
) -> Vec<ProviderConfig> {
    let mut configured: Vec<ProviderConfig> = Vec::new();
    for entry in entries {
        let span = entry.span();
        let raw: RawProvider = match entry.into_inner().try_into() {
            Ok(raw) => raw,
            Err(error) => {
                problems.add_at(&span, "providers", error.to_string().trim_end().replace('\n', " "));
                continue;
            }
        };
        let id = raw.id.clone();
        match provider(raw, environment) {
            Ok(provider) if configured.iter().any(|other| other.id == provider.id) => {
                problems.add_at(&span, "providers.id", format!("`{id}` is used twice"));
            }
            Ok(provider) => configured.push(provider),
            Err(found) => {
                for (key, problem) in found {
                    problems.add_at(&span, &format!("provider `{id}`: {key}"), problem);
                }
            }
        }
    }
    configured
}

/// The address of a kind without a server of its own may come from the key `host`.
fn with_host(mut base_url: Url, settings: &Settings) -> Url {
    if let (None | Some(""), Some(host)) = (base_url.host_str(), settings.values.get("host")) {
        // A host that does not fit remains unset: the kind has its own check.
        let host = host.expose_secret();
        let bracketed = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        if let Ok(url) = Url::parse(&format!("{}://{bracketed}", base_url.scheme())) {
            base_url = url;
        }
    }
    base_url
}

/// Whether a provider may have this id.
///
/// # Errors
/// What is wrong with it.
pub fn check_id(id: &str) -> Result<(), &'static str> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
    if id.is_empty() || id.len() > 64 || !id.chars().all(fits) {
        return Err("takes 1 to 64 of a-z, 0-9, `-`, `_` and `.`: it is part of URLs");
    }
    if RESERVED_IDS.contains(&id) {
        return Err("is taken by the generic webhook; choose another");
    }
    Ok(())
}

/// A value, and the second one of a list of two.
fn setting(
    raw: toml::Value,
    environment: Environment<'_>,
) -> Result<(SecretString, Option<SecretString>), String> {
    if matches!(raw, toml::Value::Array(_)) {
        let mut secrets = value::secrets(raw, environment)?.into_iter();
        let first = secrets.next().ok_or("takes a text, or a list of two")?;
        return Ok((first, secrets.next()));
    }
    Ok((value::text(raw).and_then(|text| value::resolve(&text, environment))?, None))
}

fn provider(raw: RawProvider, environment: Environment<'_>) -> Result<ProviderConfig, Vec<(String, String)>> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut wrong = |key: &str, problem: String| found.push((key.to_owned(), problem));

    if let Err(problem) = check_id(&raw.id) {
        wrong("id", problem.to_owned());
    }
    let Some(kind) = providers::kind(&raw.kind) else {
        let known: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
        wrong("kind", format!("`{}` is unknown; there are {}", raw.kind, known.join(", ")));
        return Err(found);
    };
    let channels = raw.channels.unwrap_or_else(|| kind.channels.to_vec());
    if channels.is_empty() {
        wrong("channels", "name at least one, or leave it out for all that the kind carries".to_owned());
    }
    if let Some(channel) = channels.iter().find(|channel| !kind.channels.contains(channel)) {
        wrong("channels", format!("{} does not carry `{channel}`", kind.name));
    }
    if raw.max_in_flight == 0 {
        wrong("max_in_flight", "must be at least 1".to_owned());
    }
    if raw.rate_per_s.is_some_and(|rate| !(0.001..=1e6).contains(&rate)) {
        wrong("rate_per_s", "must be between 0.001 and 1000000".to_owned());
    }
    if !(0.05..=600.0).contains(&raw.timeout_s) {
        wrong("timeout_s", "must be between 0.05 and 600".to_owned());
    }
    let base_url = raw.base_url.as_deref().unwrap_or(kind.base_url);
    // Which schemes it may have is the kind's to say.
    let base_url = Url::parse(base_url)
        .inspect_err(|_| wrong("base_url", format!("`{base_url}` is not a URL such as {}", kind.base_url)))
        .ok();
    let mut codes = BTreeMap::new();
    for (code, class) in raw.codes {
        match class.parse() {
            Ok(class) => {
                codes.insert(code, class);
            }
            Err(problem) => wrong(&format!("codes.{code}"), format!("`{class}` {problem}")),
        }
    }
    let (mut values, mut seconds) = (BTreeMap::new(), BTreeMap::new());
    for (key, raw_value) in raw.settings {
        match setting(raw_value, environment) {
            Ok((first, second)) => {
                seconds.extend(second.map(|second| (key.clone(), second)));
                values.insert(key, first);
            }
            Err(problem) => wrong(&key, problem),
        }
    }
    let Some(base_url) = base_url else { return Err(found) };
    if !found.is_empty() {
        return Err(found);
    }
    let mut settings = Settings { base_url: base_url.clone(), verify: raw.verify, codes, values };
    let configure = |settings: &Settings, seconds: &BTreeMap<String, SecretString>| {
        rotation::configure(kind, settings, seconds).map_err(|error| vec![(error.key, error.problem)])
    };
    let adapter = configure(&settings, &seconds)?;
    settings.verify = false;
    let trusting = configure(&settings, &BTreeMap::new())?;
    let base_url = with_host(base_url, &settings);
    Ok(ProviderConfig {
        id: raw.id,
        kind,
        base_url,
        channels,
        max_in_flight: raw.max_in_flight,
        rate_per_s: raw.rate_per_s,
        timeout: Duration::from_secs_f64(raw.timeout_s),
        on_unknown: raw.on_unknown,
        reconcile_wait: Duration::from_secs(raw.reconcile_wait_s),
        verifies: raw.verify,
        adapter: Arc::from(adapter),
        trusting: Arc::from(trusting),
    })
}
