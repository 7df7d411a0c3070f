//! `app providers check`: each provider's configuration by itself, so that one mistake hides no other; and on demand a
//! real message through each, to see that it works. It is sent straight to the provider: a route would choose one of
//! several, and this must work before anything runs. Exits 1 where anything is wrong.

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use app_processor::{Trial, try_send};
use clap::Args;
use model::{Bucket, Channel, Endpoint, IdGenerator, Medium, Outcome};
use serde_json::{Value, json};
use service::{Clock, Config, ConfigError, ProviderConfig};
use url::Url;

use super::joined;
use crate::output::{self, Output};

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Send a real message to this phone number or email address through every provider that carries it; may be
    /// repeated
    #[arg(long, value_name = "ADDRESS", requires = "from")]
    send_to: Vec<String>,
    /// The sender: a number or sender id for phone numbers, an address for email; once for each
    #[arg(long, value_name = "ADDRESS", requires = "send_to")]
    from: Vec<String>,
}

const SUBJECT: &str = "Test message";
const BODY: &str = "This is a test message: the provider works.";

pub(super) async fn run(check: &Check, output: Output) -> anyhow::Result<ExitCode> {
    let place = PathBuf::from(
        env::var("APP_CONFIG").ok().filter(|path| !path.is_empty()).unwrap_or("app.toml".into()),
    );
    let text = std::fs::read_to_string(&place).unwrap_or_default();
    let loaded = Config::load();
    let entries = entries(&text);
    let mut all_good = true;
    let mut told: Vec<String> = Vec::new();
    for entry in &entries {
        all_good &= entry.problems.is_empty();
        told.extend(entry.problems.iter().map(|_| format!("provider `{}`: ", entry.id)));
        output.record(&entry.value(), |value| entry.line(value, &entries))?;
    }
    match &loaded {
        Ok(config) => config.warnings.iter().for_each(|warning| output::warning(warning)),
        Err(ConfigError { problems }) => {
            all_good = false;
            let rest = problems.iter().filter(|problem| !told.iter().any(|told| problem.contains(told)));
            for problem in rest {
                output.record(&json!({ "problem": problem }), |_| output::visible(problem).into_owned())?;
            }
        }
    }
    if entries.is_empty() && loaded.is_ok() {
        output::note("No provider is configured; `app init KIND` adds one.");
    }
    if let (Ok(config), false) = (loaded, check.send_to.is_empty()) {
        all_good &= send_all(check, &config, output).await?;
    } else if !check.send_to.is_empty() {
        output::note("Nothing is sent with a configuration that cannot be used.");
    }
    Ok(if all_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A `[[providers]]` of the file, and what is wrong with it.
#[derive(Debug)]
struct Entry {
    id: String,
    kind: String,
    channels: String,
    base_url: String,
    problems: Vec<String>,
}

/// Those that have an id; what has none is told with the file's other problems.
fn entries(text: &str) -> Vec<Entry> {
    let table: toml::Table = text.parse().unwrap_or_default();
    let tables = table.get("providers").and_then(toml::Value::as_array).cloned().unwrap_or_default();
    tables.iter().filter_map(|provider| entry(provider.as_table()?)).collect()
}

fn entry(provider: &toml::Table) -> Option<Entry> {
    let id = provider.get("id")?.as_str()?.to_owned();
    let kind = provider.get("kind").and_then(toml::Value::as_str).unwrap_or("?").to_owned();
    let alone = toml::Table::from_iter([(
        "providers".to_owned(),
        toml::Value::Array(vec![toml::Value::Table(provider.clone())]),
    )]);
    // What is wrong with these is no provider's mistake.
    let elsewhere = ["APP_LISTEN", "APP_PROCESSOR_LISTEN", "APP_PUBLIC_URL"];
    let environment =
        |name: &str| env::var(name).ok().filter(|value| !value.is_empty() && !elsewhere.contains(&name));
    let checked = Config::parse(&alone.to_string(), "app.toml", &environment);
    Some(match checked.map(|config| config.providers) {
        Ok(configured) => {
            let provider = configured.into_iter().next()?;
            let (channels, base_url) = (joined(&provider.channels), shown(provider.base_url));
            Entry { id, kind, channels, base_url, problems: Vec::new() }
        }
        Err(ConfigError { problems }) => {
            let marker = format!("provider `{id}`: ");
            let after = |problem: &String| {
                problem.split_once(&marker).map_or(problem.as_str(), |(_, after)| after).to_owned()
            };
            let known = ::providers::kind(&kind);
            let named = provider.get("channels").and_then(toml::Value::as_array).map(|channels| {
                channels.iter().filter_map(toml::Value::as_str).collect::<Vec<_>>().join(",")
            });
            let channels = named.or_else(|| Some(joined(known?.channels))).unwrap_or("?".to_owned());
            let base_url = provider.get("base_url").and_then(toml::Value::as_str);
            let base_url = base_url.or_else(|| Some(known?.base_url)).unwrap_or("?");
            let base_url = Url::parse(base_url).map_or(base_url.to_owned(), shown);
            Entry { id, kind, channels, base_url, problems: problems.iter().map(after).collect() }
        }
    })
}

/// Without what might be a secret in it.
fn shown(mut url: Url) -> String {
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.as_str().trim_end_matches('/').to_owned()
}

impl Entry {
    fn value(&self) -> Value {
        json!({
            "provider_id": self.id,
            "kind": self.kind,
            "channels": self.channels.split(',').collect::<Vec<_>>(),
            "base_url": self.base_url,
            "ok": self.problems.is_empty(),
            "problems": self.problems,
        })
    }

    /// In columns as wide as the widest among all.
    fn line(&self, value: &Value, all: &[Self]) -> String {
        let column = |of: fn(&Self) -> &str| {
            let width = all.iter().map(|entry| of(entry).chars().count()).max().unwrap_or(0);
            format!("{:<width$}", output::visible(of(self)))
        };
        let columns = [
            column(|entry| &entry.id),
            column(|entry| &entry.kind),
            column(|entry| &entry.channels),
            column(|entry| &entry.base_url),
        ];
        let problems: Vec<&str> =
            value["problems"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let verdict = if problems.is_empty() {
            output::paint_state("ok", "ok", "")
        } else {
            output::paint_state(&problems.join("; "), "failed", "")
        };
        format!("{}  {verdict}", columns.join("  "))
    }
}

/// One message to each address through each provider that carries its channel. Whether all were accepted.
async fn send_all(check: &Check, config: &Config, output: Output) -> anyhow::Result<bool> {
    let ids = IdGenerator::from_entropy().context("the system gives no randomness")?;
    let mut all_accepted = true;
    for (to, from) in ends(check, config)? {
        let carrying: Vec<(&ProviderConfig, Channel)> = config
            .providers
            .iter()
            .filter_map(|provider| Some((provider, channel(provider, to.medium)?)))
            .collect();
        if carrying.is_empty() {
            bail!("no configured provider carries what goes to {}", to.endpoint.as_str());
        }
        for (provider, channel) in carrying {
            let trial = Trial {
                message_id: ids.next(Clock::System.now(), Bucket(0)),
                channel,
                from: &from,
                to: &to.endpoint,
                subject: (to.medium == Medium::Email).then_some(SUBJECT),
                body: BODY,
            };
            let (outcome, took) = try_send(provider, &config.public_url, trial, &Clock::System).await?;
            let is_accepted = matches!(outcome, Outcome::Accepted { .. });
            all_accepted &= is_accepted;
            let latency_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            let value = sent(provider, channel, &to.endpoint, &outcome, latency_ms);
            output.record(&value, sent_line)?;
        }
    }
    Ok(all_accepted)
}

/// An address, and what reaches it.
struct Recipient {
    endpoint: Endpoint,
    medium: Medium,
}

/// Every recipient with the sender of its medium.
fn ends(check: &Check, config: &Config) -> anyhow::Result<Vec<(Recipient, Endpoint)>> {
    let medium = |address: &str| if address.contains('@') { Medium::Email } else { Medium::Phone };
    let mut ends = Vec::new();
    for address in &check.send_to {
        let medium_of = medium(address);
        let endpoint = config.addressing.recipient(medium_of, address);
        let endpoint = endpoint.map_err(|error| anyhow::anyhow!("--send-to {address}: it {error}"))?;
        let Some(from) = check.from.iter().find(|from| medium(from) == medium_of) else {
            bail!("--send-to {address} needs a --from of its kind: phone for phone, email for email");
        };
        let sender = config.addressing.sender(medium_of, from);
        let sender = sender.map_err(|error| anyhow::anyhow!("--from {from}: it {error}"))?;
        ends.push((Recipient { endpoint, medium: medium_of }, sender));
    }
    Ok(ends)
}

/// On which of its channels the provider reaches such an address: by SMS rather than by another.
fn channel(provider: &ProviderConfig, medium: Medium) -> Option<Channel> {
    let mut carried = provider.channels.iter().copied().filter(|channel| channel.medium() == medium);
    let first = carried.clone().next()?;
    Some(carried.find(|channel| *channel == Channel::Sms).unwrap_or(first))
}

fn sent(
    provider: &ProviderConfig,
    channel: Channel,
    to: &Endpoint,
    outcome: &Outcome,
    latency_ms: u64,
) -> Value {
    let (mut id, mut code, mut provider_code, mut said) = (None, None, None, None);
    match outcome {
        Outcome::Accepted { provider_message_id } => id = provider_message_id.as_deref(),
        Outcome::Rejected { reason, provider_code: theirs, detail } => {
            (code, provider_code, said) = (Some(reason.as_str()), theirs.as_deref(), Some(detail.as_str()));
        }
        Outcome::Throttled { provider_code: theirs, .. } => provider_code = theirs.as_deref(),
        Outcome::Unavailable { provider_code: theirs, detail, .. }
        | Outcome::Forbidden { provider_code: theirs, detail }
        | Outcome::Halted { provider_code: theirs, detail } => {
            (provider_code, said) = (theirs.as_deref(), Some(detail.as_str()));
        }
        Outcome::Unreachable { detail } => said = Some(detail.as_str()),
        Outcome::Uncertain { reason, detail } => {
            (code, said) = (Some(reason.as_str()), Some(detail.as_str()))
        }
    }
    json!({
        "provider_id": provider.id,
        "channel": channel,
        "to": to.as_str(),
        "outcome": outcome.as_str(),
        "latency_ms": latency_ms,
        "provider_message_id": id,
        "code": code,
        "provider_code": provider_code,
        "detail": said,
    })
}

/// `twilio-main  sms  +12025550199  accepted  143 ms  SM1`.
fn sent_line(value: &Value) -> String {
    let text = |key: &str| value[key].as_str().unwrap_or_default();
    let outcome = text("outcome");
    let painted = output::paint_state(outcome, if outcome == "accepted" { "ok" } else { "failed" }, "");
    let head = [text("provider_id"), text("channel"), text("to"), &painted].join("  ");
    let mut line = format!("{head}  {} ms", value["latency_ms"]);
    for key in ["provider_message_id", "code", "provider_code", "detail"] {
        if !text(key).is_empty() {
            line.push_str(&format!("  {}", text(key)));
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
no_such_section = 1
[[providers]]
id = "good"
kind = "twilio"
base_url = "http://127.0.0.1:8090/"
account_sid = "AC1"
auth_token = "t"
[[providers]]
id = "leaky"
kind = "twilio"
base_url = "http://user:hush@127.0.0.1:8090/?key=hush"
account_sid = "AC1"
auth_token = "t"
[[providers]]
id = "keyless"
kind = "sendgrid"
[[providers]]
id = "odd"
kind = "no-such-kind"
channels = ["sms"]
timeout_s = 0
[[providers]]
kind = "twilio"
"#;

    #[test]
    fn each_provider_is_checked_whatever_is_wrong_elsewhere() {
        let entries = entries(FILE);
        let of = |id: &str| entries.iter().find(|entry| entry.id == id).unwrap();
        assert_eq!(entries.len(), 4);
        let good = of("good");
        assert!(good.problems.is_empty(), "{:?}", good.problems);
        assert_eq!(
            (good.channels.as_str(), good.base_url.as_str()),
            ("sms,mms,whatsapp", "http://127.0.0.1:8090")
        );
        assert!(of("keyless").problems[0].starts_with("api_key"), "{:?}", of("keyless").problems);
        assert_eq!(of("keyless").channels, "email");
        assert!(
            of("odd").problems[0].starts_with("kind: `no-such-kind` is unknown"),
            "{:?}",
            of("odd").problems
        );
        let leaky = of("leaky").value();
        assert!(leaky["ok"] == false && leaky["base_url"] == "http://127.0.0.1:8090", "{leaky}");
        let line = of("odd").line(&of("odd").value(), &entries);
        assert!(line.starts_with("odd      no-such-kind  sms"), "{line}");
    }

    #[test]
    fn a_recipient_needs_a_sender_of_its_kind() {
        let config = Config::parse("", "app.toml", &|_| None).unwrap();
        let check = |to: &[&str], from: &[&str]| Check {
            send_to: to.iter().map(|&text| text.to_owned()).collect(),
            from: from.iter().map(|&text| text.to_owned()).collect(),
        };
        let both = check(&["+12025550199", "b@example.com"], &["a@example.com", "ACME"]);
        let ends_of_both = ends(&both, &config).unwrap();
        let senders: Vec<&str> = ends_of_both.iter().map(|(_, from)| from.as_str()).collect();
        assert_eq!(senders, ["ACME", "a@example.com"]);
        let phone_alone = check(&["b@example.com"], &["ACME"]);
        let refused = ends(&phone_alone, &config).err().unwrap().to_string();
        assert!(refused.contains("needs a --from of its kind"), "{refused}");
    }
}
