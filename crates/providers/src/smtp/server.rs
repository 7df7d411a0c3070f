//! Which server is meant, and whether a password may be told to it.

use std::net::IpAddr;

use secrecy::ExposeSecret;

use crate::{Settings, SettingsError, SmtpSecurity, SmtpServer};

/// What RFC 5321 section 4.1.4 lets a client say that has no name.
const NAMELESS: &str = "[127.0.0.1]";

/// From `host`, or else from a base URL such as `smtps://mail.example.com` or `smtp://127.0.0.1:1025`.
///
/// # Errors
/// Names the key that is missing or wrong.
pub(super) fn of(settings: &Settings) -> Result<SmtpServer, SettingsError> {
    let text = |key: &str| settings.optional(key).map(|value| value.expose_secret().trim().to_owned());
    let url = &settings.base_url;
    let scheme_security = match url.scheme() {
        "smtps" => SmtpSecurity::Tls,
        "smtp" => SmtpSecurity::StartTls,
        _ => return Err(SettingsError::new("base_url", "must begin with smtps:// or smtp://")),
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(SettingsError::new(
            "base_url",
            "must not carry credentials; they have keys of their own",
        ));
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return Err(SettingsError::new("base_url", "must end with the host or its port"));
    }
    let named = url.host_str().filter(|host| !host.is_empty());
    let host = match (text("host"), named) {
        (Some(_), Some(_)) => {
            return Err(SettingsError::new("host", "and base_url both name a server; keep one"));
        }
        (Some(host), None) => host,
        (None, Some(host)) => host.trim_matches(['[', ']']).to_owned(),
        (None, None) => {
            return Err(SettingsError::new(
                "host",
                "is required, such as mail.example.com, or else base_url",
            ));
        }
    };
    let is_address = host.parse::<IpAddr>().is_ok();
    if !is_address
        && !host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
    {
        return Err(SettingsError::new(
            "host",
            "must be a host's name or address; `port` is a key of its own",
        ));
    }
    let port = match text("port") {
        Some(port) => Some(
            port.parse::<u16>()
                .ok()
                .filter(|&port| port > 0)
                .ok_or_else(|| SettingsError::new("port", "must be a number from 1 to 65535"))?,
        ),
        None => url.port(),
    };
    let security = match (text("security").as_deref(), named, port) {
        (Some("tls"), ..) => SmtpSecurity::Tls,
        (Some("starttls"), ..) => SmtpSecurity::StartTls,
        (Some("none"), ..) => SmtpSecurity::None,
        (Some(_), ..) => return Err(SettingsError::new("security", "must be tls, starttls or none")),
        (None, Some(_), _) => scheme_security,
        (None, None, Some(25 | 587)) => SmtpSecurity::StartTls,
        (None, None, _) => SmtpSecurity::Tls,
    };
    let plaintext_allowed = text("allow_plaintext").as_deref() == Some("true");
    if security == SmtpSecurity::None && !plaintext_allowed && !is_near(&host) {
        let problem = "must be tls or starttls: the server is not on this machine or network; \
                       allow_plaintext = true sends mail and password readable all the same";
        return Err(SettingsError::new("security", problem));
    }
    let port = port.unwrap_or(match security {
        SmtpSecurity::Tls => 465,
        SmtpSecurity::StartTls => 587,
        SmtpSecurity::None => 25,
    });
    let credentials = match (text("username"), settings.optional("password")) {
        (Some(username), Some(password)) => {
            if username.contains('\0') || password.expose_secret().contains('\0') {
                return Err(SettingsError::new("password", "and username cannot have a NUL in AUTH"));
            }
            Some((username, password))
        }
        (None, None) => None,
        (Some(_), None) => return Err(SettingsError::new("password", "is missing; username is set")),
        (None, Some(_)) => return Err(SettingsError::new("username", "is missing; password is set")),
    };
    let helo_name = text("helo_name").unwrap_or_else(|| NAMELESS.to_owned());
    if !helo_name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(SettingsError::new("helo_name", "must be a host's name, or an address in brackets"));
    }
    Ok(SmtpServer { host, port, security, helo_name, credentials })
}

/// On this machine or network, as far as its name or address tells.
fn is_near(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => address.is_loopback() || address.is_private() || address.is_link_local(),
        Ok(IpAddr::V6(address)) => {
            address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
        }
        Err(_) => {
            let host = host.to_ascii_lowercase();
            // A name without dots is one of a container network or of the local domain.
            !host.contains('.')
                || [".localhost", ".local", ".internal", ".home.arpa"].iter().any(|end| host.ends_with(end))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn server(base_url: &str, pairs: &[(&str, &str)]) -> Result<String, String> {
        let values = pairs.iter().map(|&(key, value)| (key.to_owned(), value.into())).collect();
        let settings =
            Settings { base_url: base_url.parse().unwrap(), verify: true, codes: BTreeMap::new(), values };
        let SmtpServer { host, port, security, .. } = of(&settings).map_err(|error| error.key)?;
        Ok(format!("{host} {port} {security:?}"))
    }

    #[test]
    fn a_server_is_named_by_host_or_by_url() {
        for (base_url, pairs, expected) in [
            ("smtp://", &[("host", "mail.example.com")][..], "mail.example.com 465 Tls"),
            ("smtp://", &[("host", "mail.example.com"), ("port", "587")], "mail.example.com 587 StartTls"),
            (
                "smtp://",
                &[("host", "mail.example.com"), ("security", "starttls")],
                "mail.example.com 587 StartTls",
            ),
            ("smtp://", &[("host", "mailpit"), ("port", "1025"), ("security", "none")], "mailpit 1025 None"),
            ("smtps://mail.example.com", &[], "mail.example.com 465 Tls"),
            ("smtp://mail.example.com/", &[], "mail.example.com 587 StartTls"),
            ("smtp://127.0.0.1:1025", &[("security", "none")], "127.0.0.1 1025 None"),
            ("smtp://[::1]:1025", &[("security", "none")], "::1 1025 None"),
            (
                "smtp://203.0.113.1",
                &[("security", "none"), ("allow_plaintext", "true")],
                "203.0.113.1 25 None",
            ),
        ] {
            assert_eq!(server(base_url, pairs).as_deref(), Ok(expected), "{base_url} {pairs:?}");
        }
    }

    #[test]
    fn what_would_fail_later_is_refused_by_its_key() {
        for (base_url, pairs, key) in [
            ("smtp://", &[][..], "host"),
            ("smtps://a.example", &[("host", "b.example")], "host"),
            ("smtp://", &[("host", "a.example:25")], "host"),
            ("smtp://", &[("host", "a b")], "host"),
            ("https://a.example", &[], "base_url"),
            ("smtps://u:p@a.example", &[], "base_url"),
            ("smtps://a.example/x", &[], "base_url"),
            ("smtps://a.example", &[("port", "0")], "port"),
            ("smtps://a.example", &[("security", "ssl")], "security"),
            ("smtp://a.example", &[("security", "none")], "security"),
            ("smtp://8.8.8.8", &[("security", "none")], "security"),
            ("smtps://a.example", &[("username", "u")], "password"),
            ("smtps://a.example", &[("password", "p")], "username"),
            ("smtps://a.example", &[("helo_name", "a b")], "helo_name"),
        ] {
            assert_eq!(server(base_url, pairs).unwrap_err(), key, "{base_url} {pairs:?}");
        }
    }
}
