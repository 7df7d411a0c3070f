//! Whether an installation may run without API keys: only while nothing real can be reached through it.

use std::net::IpAddr;

use url::{Host, Url};

use super::ProviderConfig;
use super::value::Problems;

/// Why this configuration needs API keys, also on a loopback address. Nothing where every provider is simulated and
/// providers reach the server by a loopback address.
pub(super) fn why_keys_are_needed(public_url: &str, providers: &[ProviderConfig]) -> Option<String> {
    if let Some(provider) = providers.iter().find(|provider| !is_loopback(&provider.base_url)) {
        let at = match provider.base_url.host_str() {
            Some(host) if !host.is_empty() => {
                format!("its base_url names {host}, which is not a loopback address")
            }
            _ => "its base_url is not a loopback address".to_owned(),
        };
        return Some(format!("the provider {} is not simulated: {at}", provider.id));
    }
    let is_here = Url::parse(public_url).is_ok_and(|url| is_loopback(&url));
    (!is_here).then(|| format!("APP_PUBLIC_URL, {public_url}, is not a loopback address"))
}

pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        // A scheme that is not the web's, such as smtp, keeps its host as text.
        Some(Host::Domain(name)) => {
            let name = name.to_ascii_lowercase();
            let ip = name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
            ip || name == "localhost" || name.ends_with(".localhost")
        }
        None => false,
    }
}

/// Checks `[server] hosts`.
pub(super) fn check_hosts(hosts: &[String], problems: &mut Problems<'_>) {
    for host in hosts {
        let is_ip = host.parse::<IpAddr>().is_ok();
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        if host.is_empty() || !(is_ip || host.chars().all(fits)) {
            let problem = format!("`{host}` is not a host name without port, e.g. console.internal");
            problems.add("server.hosts", problem);
        }
    }
}
