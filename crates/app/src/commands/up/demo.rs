//! The demonstration: where no provider is configured, the simulator is one, spoken to by the real adapters over
//! real HTTP.

use std::env;
use std::net::SocketAddr;
use std::path::Path;

use provider_simulator::{
    AutoReply, DEMO_SENDGRID_API_KEY, DEMO_SENDGRID_INBOUND_SECRET, DEMO_SENDGRID_WEBHOOK_PUBLIC_KEY,
    DEMO_TWILIO_ACCOUNT_SID, DEMO_TWILIO_AUTH_TOKEN, Options, SendgridAccount,
};
use service::{Config, ConfigError};
use url::Url;

use crate::output;

/// Long enough for a person to see that message and reply are two things.
const REPLY_AFTER_MS: u64 = 400;

/// The configuration of the file, and providers that are the simulator at `simulator`.
pub(super) fn config(listen: SocketAddr, simulator: SocketAddr) -> Result<Config, ConfigError> {
    let path = env::var("APP_CONFIG").ok().filter(|path| !path.is_empty());
    let path = path.as_deref().unwrap_or("app.toml");
    // Config::load read this file before: it is there and good, or not there and not asked for.
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let reported_to = format!("http://{}", reachable(listen));
    if env::var("APP_PUBLIC_URL").is_ok_and(|url| !url.is_empty() && url.trim_end_matches('/') != reported_to)
    {
        output::warning(&format!(
            "APP_PUBLIC_URL is not used with simulated providers: they report to {reported_to}, and webhooks that are \
             signed for another address are not verified"
        ));
    }
    Config::parse(&format!("{text}\n{}", providers(simulator)), path, &|name| match name {
        // The simulator calls back on this machine, wherever the world finds us.
        "APP_PUBLIC_URL" => Some(reported_to.clone()),
        "APP_LISTEN" => Some(listen.to_string()),
        name => env::var(name).ok().filter(|value| !value.is_empty()),
    })
}

fn providers(simulator: SocketAddr) -> String {
    format!(
        r#"
[[providers]]
id = "sim-twilio"
kind = "twilio"
base_url = "http://{simulator}"
account_sid = "{DEMO_TWILIO_ACCOUNT_SID}"
auth_token = "{DEMO_TWILIO_AUTH_TOKEN}"

[[providers]]
id = "sim-sendgrid"
kind = "sendgrid"
base_url = "http://{simulator}"
api_key = "{DEMO_SENDGRID_API_KEY}"
webhook_public_key = "{DEMO_SENDGRID_WEBHOOK_PUBLIC_KEY}"
inbound_secret = "{DEMO_SENDGRID_INBOUND_SECRET}"
"#
    )
}

/// A simulator that listens here, reports to this configuration, and answers what it gets.
pub(super) fn simulator(config: &Config, listen: SocketAddr, data_dir: &Path) -> Options {
    let sendgrid = config.providers.iter().find(|provider| provider.kind.name == "sendgrid");
    let webhook = sendgrid.map(|provider| format!("{}/api/webhooks/{}", config.public_url, provider.id));
    let url = |query: &str| webhook.as_ref().and_then(|url| Url::parse(&format!("{url}{query}")).ok());
    Options {
        auto_reply: AutoReply { enabled: true, after_ms: REPLY_AFTER_MS },
        sendgrid: vec![SendgridAccount {
            event_webhook_url: url(""),
            inbound_parse_url: url(&format!("?secret={DEMO_SENDGRID_INBOUND_SECRET}")),
            ..SendgridAccount::default()
        }],
        ledger_file: Some(data_dir.join("simulator-ledger.ndjson")),
        hosts: vec![reachable(listen).ip().to_string()],
        ..Options::default()
    }
}

/// An address to connect to, for one to listen on: the unspecified address is nobody's.
pub(super) fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        std::net::IpAddr::V4(ip) if ip.is_unspecified() => std::net::Ipv4Addr::LOCALHOST.into(),
        std::net::IpAddr::V6(ip) if ip.is_unspecified() => std::net::Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use model::Channel;

    use super::*;

    #[test]
    fn the_demonstration_carries_every_channel() {
        let simulator = "127.0.0.1:8090".parse().unwrap();
        let config = Config::parse(&providers(simulator), "demo", &|_| None).unwrap();
        for channel in Channel::ALL {
            assert!(config.routes.0.iter().any(|route| route.when.takes_every(channel)), "{channel}");
        }
    }

    #[test]
    fn an_unspecified_address_is_reached_over_loopback() {
        for (listen, expected) in
            [("0.0.0.0:80", "127.0.0.1:80"), ("[::]:80", "[::1]:80"), ("10.0.0.1:80", "10.0.0.1:80")]
        {
            assert_eq!(reachable(listen.parse().unwrap()).to_string(), expected);
        }
    }
}
