//! Configuration: environment and `app.toml`, whose names are a promise to operators. All problems are found in one
//! pass, each with its key, its place and what would be right. Must not touch the network or the database, nor repeat
//! a line of the file: it may hold a secret.

mod attachments;
mod exposure;
mod networks;
mod providers;
mod public_url;
mod readable;
mod routes;
mod server;
mod value;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ::providers::{Kind, Provider};
use model::{Addressing, Channel, OnUnknown, RetryPolicy, Routes};
use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

pub use self::attachments::{Attachments, OnFailure};
pub use self::networks::Network;
pub use self::providers::check_id as check_provider_id;
pub use self::server::Server;
use self::value::{Environment, Problems};
use crate::NamedHosts;

/// Everything that an operator decides.
#[derive(Clone, Debug)]
pub struct Config {
    /// Absent: embedded app-db under `./data`.
    pub database_url: Option<SecretString>,
    pub listen: SocketAddr,
    /// `[installation] name`: what tells a physical copy of the database from the original.
    pub installation_name: Option<String>,
    /// How providers reach us; no slash at its end.
    pub public_url: String,
    pub server: Server,
    pub processor: Processor,
    pub attachments: Attachments,
    pub webhook_secret: Option<WebhookSecret>,
    pub addressing: Addressing,
    /// Messages older than this are dropped with their week. Absent: kept for ever.
    pub retention: Option<Duration>,
    pub providers: Vec<ProviderConfig>,
    pub routes: Routes,
    /// Why API keys are needed even on a loopback address. Absent: nothing real can be reached without one.
    pub why_keys_are_needed: Option<String>,
    /// What is odd but not wrong.
    pub warnings: Vec<String>,
}

/// Section `[processor]`.
#[derive(Clone, Debug)]
pub struct Processor {
    pub retry: RetryPolicy,
    pub lease: Duration,
    /// How long a due message waits at most when no notification comes.
    pub poll_interval: Duration,
    /// Whether to LISTEN; without it only polling finds work.
    pub notify: bool,
    /// Where `/metrics` and `/healthz` of the processor are.
    pub listen: SocketAddr,
    /// Whether `listen` was configured; the default gives way where its port is taken.
    pub listen_configured: bool,
    /// After this without a receipt an accepted message's delivery is unknown. Absent: it is waited for.
    pub receipt_deadline: Option<Duration>,
}

/// The secret of the generic webhooks: one, or two while it is rotated.
#[derive(Clone, Debug)]
pub struct WebhookSecret(Vec<SecretString>);

impl WebhookSecret {
    /// Each value that is accepted.
    pub fn values(&self) -> impl Iterator<Item = &SecretString> {
        self.0.iter()
    }
}

impl From<&str> for WebhookSecret {
    fn from(secret: &str) -> Self {
        Self(vec![SecretString::from(secret)])
    }
}

/// A configured provider, ready to use.
#[derive(Clone, Debug)]
pub struct ProviderConfig {
    pub id: String,
    pub kind: &'static Kind,
    /// The provider's own, or what stands in for it.
    pub base_url: Url,
    pub channels: Vec<Channel>,
    /// Calls under way at once, at most.
    pub max_in_flight: usize,
    /// Calls begun in a second, at most. Absent: as many as `max_in_flight` allows.
    pub rate_per_s: Option<f64>,
    pub timeout: Duration,
    pub on_unknown: OnUnknown,
    pub reconcile_wait: Duration,
    /// Whether its webhooks must prove themselves: without `verify = false`.
    pub verifies: bool,
    pub adapter: Arc<dyn Provider>,
    /// The same with `verify = false`: reads a kept webhook that was verified when it came, or that somebody vouches
    /// for. Nothing that comes from outside.
    pub trusting: Arc<dyn Provider>,
}

/// What is wrong, all of it.
#[derive(Debug, thiserror::Error)]
pub struct ConfigError {
    pub problems: Vec<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration cannot be used:")?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    installation: RawInstallation,
    server: Server,
    processor: RawProcessor,
    attachments: attachments::RawAttachments,
    webhooks: RawWebhooks,
    addresses: RawAddresses,
    retention: RawRetention,
    providers: Vec<toml::Spanned<toml::Table>>,
    routes: Vec<toml::Spanned<routes::RawRoute>>,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawProcessor {
    max_attempts: u32,
    max_age_s: u64,
    lease_s: u64,
    backoff_base_s: f64,
    backoff_cap_s: f64,
    poll_interval_ms: u64,
    notify: bool,
    listen: Option<SocketAddr>,
    receipt_deadline_s: u64,
}

impl Default for RawProcessor {
    fn default() -> Self {
        Self {
            max_attempts: 12,
            max_age_s: 259_200,
            lease_s: 10,
            backoff_base_s: 2.0,
            backoff_cap_s: 3600.0,
            poll_interval_ms: 500,
            notify: true,
            listen: None,
            receipt_deadline_s: 259_200,
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawInstallation {
    name: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawWebhooks {
    secret: Option<toml::Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawAddresses {
    default_region: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawRetention {
    messages_days: Option<u64>,
}

const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080);
const DEFAULT_PROCESSOR_LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8081);

impl Config {
    /// The process's environment and the file that it names, `./app.toml` without one. No file is an empty file,
    /// unless `APP_CONFIG` names it.
    ///
    /// # Errors
    /// All problems at once.
    pub fn load() -> Result<Self, ConfigError> {
        // An empty DATABASE_URL is a mistake, and not the wish for an embedded database.
        let is_given = |name: &str, value: &String| name == "DATABASE_URL" || !value.is_empty();
        let environment = |name: &str| std::env::var(name).ok().filter(|value| is_given(name, value));
        let (text, path) = read_file(&environment)?;
        let mut config = Self::parse(&text, &path.display().to_string(), &environment)?;
        config.warnings.extend(readable::warning(&path, &text));
        Ok(config)
    }

    /// The configuration of a file's text; `place` names the file in problems.
    ///
    /// # Errors
    /// All problems at once.
    pub fn parse(text: &str, place: &str, environment: Environment<'_>) -> Result<Self, ConfigError> {
        let mut problems = Problems::new(place, text);
        let mut warnings = Vec::new();
        let file: File = match toml::from_str(text) {
            Ok(file) => file,
            Err(error) => {
                problems.add_unreadable(&error);
                return Err(problems.into_error());
            }
        };

        let providers = providers::configure(file.providers, environment, &mut problems);
        let routes = routes::configure(file.routes, &providers, &mut problems, &mut warnings);
        let listen = environment_address("APP_LISTEN", environment, &mut problems).unwrap_or(DEFAULT_LISTEN);
        let public_url = public_url::configure(listen, environment, &mut problems);
        warnings.extend(public_url::warning(&public_url, &providers));
        let processor = processor(file.processor, environment, &mut problems);
        let attachments = attachments::configure(file.attachments, &mut problems);
        let addressing = match file.addresses.default_region.as_deref().map(Addressing::with_default_region) {
            None => Addressing::default(),
            Some(Ok(addressing)) => addressing,
            Some(Err(error)) => {
                problems.add("addresses.default_region", error);
                Addressing::default()
            }
        };
        let webhook_secret = file.webhooks.secret.and_then(|raw| {
            value::secrets(raw, environment)
                .map(WebhookSecret)
                .map_err(|error| problems.add("webhooks.secret", error))
                .ok()
        });
        let installation_name = file.installation.name;
        if installation_name.as_ref().is_some_and(|name| name.trim().is_empty() || name.len() > 100) {
            problems.add("installation.name", "takes 1 to 100 characters, such as `production`");
        }
        let server = file.server;
        server.check(&mut problems);
        let retention = file.retention.messages_days.map(|days| {
            if days < 7 {
                problems
                    .add("retention.messages_days", "must be at least 7: messages are dropped by the week");
            }
            Duration::from_secs(days.saturating_mul(24 * 3600))
        });

        let database_url = environment("DATABASE_URL");
        if database_url.as_ref().is_some_and(|url| url.trim().is_empty()) {
            let problem =
                "it is empty: set it to a database, e.g. postgres://user:password@host:5432/app, or unset it";
            problems.add_outside("DATABASE_URL", problem.to_owned());
        }

        problems.into_result()?;
        let why_keys_are_needed = exposure::why_keys_are_needed(&public_url, &providers);
        Ok(Self {
            database_url: database_url.map(SecretString::from),
            listen,
            installation_name,
            public_url,
            server,
            processor,
            attachments,
            webhook_secret,
            addressing,
            retention,
            providers,
            routes,
            why_keys_are_needed,
            warnings,
        })
    }

    pub fn provider(&self, id: &str) -> Option<&ProviderConfig> {
        self.providers.iter().find(|provider| provider.id == id)
    }

    /// The names by which a server that listens on this address may be called without a credential.
    pub fn named_hosts(&self, listener: IpAddr) -> NamedHosts {
        NamedHosts::new(&self.public_url, &self.server.hosts, Some(listener))
    }
}

fn read_file(environment: Environment<'_>) -> Result<(String, PathBuf), ConfigError> {
    let named = environment("APP_CONFIG").map(PathBuf::from);
    let path = named.clone().unwrap_or_else(|| Path::new("app.toml").to_owned());
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok((text, path)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => {
            Ok((String::new(), path))
        }
        Err(error) => Err(ConfigError {
            problems: vec![format!("{}: {error}; APP_CONFIG names this file", path.display())],
        }),
    }
}

fn environment_address(
    name: &str,
    environment: Environment<'_>,
    problems: &mut Problems<'_>,
) -> Option<SocketAddr> {
    let text = environment(name)?;
    match text.parse() {
        Ok(address) => Some(address),
        Err(_) => {
            problems.add_outside(name, format!("`{text}` is not an address and port, e.g. 127.0.0.1:8080"));
            None
        }
    }
}

fn processor(raw: RawProcessor, environment: Environment<'_>, problems: &mut Problems<'_>) -> Processor {
    let mut seconds = |key: &str, value: f64| {
        if !(0.001..=1e9).contains(&value) {
            problems.add(key, "must be more than 0");
        }
        Duration::try_from_secs_f64(value).unwrap_or_default()
    };
    let backoff_base = seconds("processor.backoff_base_s", raw.backoff_base_s);
    let backoff_cap = seconds("processor.backoff_cap_s", raw.backoff_cap_s);
    for (key, value) in [
        ("processor.max_attempts", u64::from(raw.max_attempts)),
        ("processor.max_age_s", raw.max_age_s),
        ("processor.lease_s", raw.lease_s),
        ("processor.poll_interval_ms", raw.poll_interval_ms),
    ] {
        if value == 0 {
            problems.add(key, "must be at least 1");
        }
    }
    let from_environment = environment_address("APP_PROCESSOR_LISTEN", environment, problems);
    let listen = from_environment.or(raw.listen);
    Processor {
        retry: RetryPolicy {
            max_attempts: raw.max_attempts,
            max_age: Duration::from_secs(raw.max_age_s),
            backoff_base,
            backoff_cap,
        },
        lease: Duration::from_secs(raw.lease_s),
        poll_interval: Duration::from_millis(raw.poll_interval_ms),
        notify: raw.notify,
        listen: listen.unwrap_or(DEFAULT_PROCESSOR_LISTEN),
        listen_configured: listen.is_some(),
        receipt_deadline: (raw.receipt_deadline_s > 0).then(|| Duration::from_secs(raw.receipt_deadline_s)),
    }
}

#[cfg(test)]
mod tests;
