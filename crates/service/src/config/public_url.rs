//! How providers reach us: `APP_PUBLIC_URL`, or else where we listen; and a warning where they could not.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use url::{Host, Url};

use super::ProviderConfig;
use super::value::{Environment, Problems};

/// Without a slash at its end.
pub(super) fn configure(
    listen: SocketAddr,
    environment: Environment<'_>,
    problems: &mut Problems<'_>,
) -> String {
    let Some(text) = environment("APP_PUBLIC_URL") else { return of_listener(listen) };
    match Url::parse(&text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.query().is_none() => {
            text.trim_end_matches('/').to_owned()
        }
        _ => {
            problems.add_outside(
                "APP_PUBLIC_URL",
                format!("`{text}` is not a URL such as https://msg.example.com"),
            );
            text
        }
    }
}

/// Every address of this machine is none to call.
fn of_listener(listen: SocketAddr) -> String {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, listen.port()))
}

/// Said where a provider on the internet is told to call this machine by an address that only this machine has.
pub(super) fn warning(public_url: &str, providers: &[ProviderConfig]) -> Option<String> {
    if !is_this_machine_only(&Url::parse(public_url).ok()?) {
        return None;
    }
    let remote: Vec<&str> = providers.iter().filter(|p| is_its_own(p)).map(|p| p.id.as_str()).collect();
    (!remote.is_empty()).then(|| {
        format!(
            "{} cannot reach {public_url}: no receipt and no inbound message will come; set APP_PUBLIC_URL to the \
             https address that providers call",
            remote.join(", ")
        )
    })
}

fn is_its_own(provider: &ProviderConfig) -> bool {
    // A kind without a server of its own has an empty host.
    Url::parse(provider.kind.base_url).is_ok_and(|own| {
        own.host_str().is_some_and(|host| !host.is_empty()) && own.host() == provider.base_url.host()
    })
}

fn is_this_machine_only(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback() || ip.is_unspecified(),
        Some(Host::Ipv6(ip)) => ip.is_loopback() || ip.is_unspecified(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}
