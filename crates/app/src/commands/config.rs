//! `app config check|show`. Secrets are not in what is shown.

use std::process::ExitCode;

use model::Route;
use model::route::Candidate;
use serde_json::{Value, json};
use service::config::ProviderConfig;

use crate::app_db_access::DATA_DIR;
use crate::arguments;
use crate::output::{self, Output};

pub(crate) fn run(command: &arguments::Config, output: Output) -> anyhow::Result<ExitCode> {
    let config = match service::Config::load() {
        Ok(config) => config,
        Err(error) => {
            for problem in &error.problems {
                output.record(&json!({ "problem": problem }), |_| output::visible(problem).into_owned())?;
            }
            return Ok(ExitCode::FAILURE);
        }
    };
    match command {
        arguments::Config::Check => {
            for warning in &config.warnings {
                output::warning(warning);
            }
            output.record(&json!({ "ok": true, "warnings": config.warnings }), |_| {
                format!("good: {} providers, {} routes", config.providers.len(), config.routes.0.len())
            })?;
        }
        arguments::Config::Show => output.record(&shown(&config), |value| lines(value, "").join("\n"))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn shown(config: &service::Config) -> Value {
    let database = match &config.database_url {
        Some(_) => "DATABASE_URL".to_owned(),
        None => format!("embedded in ./{DATA_DIR}"),
    };
    let server = &config.server;
    let processor = &config.processor;
    let attachments = &config.attachments;
    json!({
        "database": database,
        "listen": config.listen.to_string(),
        "public_url": config.public_url,
        "server": {
            "max_connections": server.max_connections,
            "connections_per_peer": server.connections_per_peer,
            "stall_timeout_s": server.stall_timeout_s,
            "trusted_proxies": server.trusted_proxies.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "body_bytes_max": server.body_bytes_max,
            "webhook_bytes_max": server.webhook_bytes_max,
            "accept_connections": server.accept_connections,
            "read_connections": server.read_connections,
        },
        "processor": {
            "max_attempts": processor.retry.max_attempts,
            "max_age_s": processor.retry.max_age.as_secs(),
            "lease_s": processor.lease.as_secs(),
            "backoff_base_s": processor.retry.backoff_base.as_secs_f64(),
            "backoff_cap_s": processor.retry.backoff_cap.as_secs_f64(),
            "poll_interval_ms": processor.poll_interval.as_millis(),
            "notify": processor.notify,
            "listen": processor.listen.to_string(),
            "receipt_deadline_s": processor.receipt_deadline.map_or(0, |deadline| deadline.as_secs()),
        },
        "attachments": {
            "fetch": attachments.fetch,
            "bytes_max": attachments.bytes_max,
            "total_bytes_max": attachments.total_bytes_max,
            "timeout_s": attachments.timeout.as_secs_f64(),
            "on_failure": attachments.on_failure,
            "allow_private": attachments.allow_private,
        },
        "webhooks": { "secret": if config.webhook_secret.is_some() { "set" } else { "not set" } },
        "retention": { "messages_days": config.retention.map(|keep| keep.as_secs() / 86_400) },
        "providers": config.providers.iter().map(|provider| shown_provider(config, provider)).collect::<Vec<_>>(),
        "routes": config.routes.0.iter().map(shown_route).collect::<Vec<_>>(),
    })
}

fn shown_route(route: &Route) -> Value {
    let candidate = |candidate: &Candidate| match candidate.weight {
        Some(weight) => json!({ "id": candidate.provider_id, "weight": weight }),
        None => json!(candidate.provider_id),
    };
    let when = &route.when;
    json!({
        "name": route.name,
        "channel": when.channels.iter().map(|channel| channel.as_str()).collect::<Vec<_>>(),
        "to_prefix": when.to_prefix,
        "to_country": when.to_countries,
        "to_domain": when.to_domain,
        "from": when.from,
        "priority": when.priority.map(|priority| priority.as_str()),
        "metadata": when.metadata,
        "providers": route.candidates.iter().map(candidate).collect::<Vec<_>>(),
        "spill": route.spill,
        "sticky": route.sticky,
        "confirm_within_s": route.confirm_within.map(|wait| wait.as_secs_f64()),
    })
}

fn shown_provider(config: &service::Config, provider: &ProviderConfig) -> Value {
    json!({
        "id": provider.id,
        "kind": provider.kind.name,
        "channels": provider.channels.iter().map(|channel| channel.as_str()).collect::<Vec<_>>(),
        "max_in_flight": provider.max_in_flight,
        "rate_per_s": provider.rate_per_s,
        "timeout_s": provider.timeout.as_secs_f64(),
        "on_unknown": provider.on_unknown,
        "reconcile_wait_s": provider.reconcile_wait.as_secs(),
        "webhook_url": format!("{}/api/webhooks/{}", config.public_url, provider.id),
    })
}

/// `section.key = value`, a line each; what is not set is left out.
fn lines(value: &Value, key: &str) -> Vec<String> {
    let below = |name: &str| if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") };
    match value {
        Value::Null => Vec::new(),
        Value::Object(fields) => fields.iter().flat_map(|(name, value)| lines(value, &below(name))).collect(),
        Value::Array(items) if items.iter().any(Value::is_object) => items
            .iter()
            .enumerate()
            .flat_map(|(number, item)| lines(item, &format!("{key}[{number}]")))
            .collect(),
        other => vec![format!("{key} = {other}")],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_holds_no_secret() {
        let text = "[webhooks]\nsecret = \"s3cret\"\n[[providers]]\nid = \"t\"\nkind = \"twilio\"\n\
                    account_sid = \"AC1\"\nauth_token = \"s3cret\"\n";
        let environment = |name: &str| (name == "DATABASE_URL").then(|| "postgres://u:s3cret@h/d".to_owned());
        let config = service::Config::parse(text, "app.toml", &environment).unwrap();
        let shown = lines(&shown(&config), "").join("\n");
        assert!(!shown.contains("s3cret"), "{shown}");
        assert!(shown.contains("providers[0].kind = \"twilio\""), "{shown}");
        assert!(shown.contains("webhooks.secret = \"set\""), "{shown}");
    }
}
