//! The names by which a server may be called where it asks for no credential. A web page can let its own name resolve to
//! this machine (DNS rebinding), but it cannot choose the Host header that its browser sends.

use std::net::IpAddr;

use http::header::{HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, HeaderName};
use url::Url;

pub const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The names of this machine, and the names that the configuration adds.
#[derive(Clone, Debug, Default)]
pub struct NamedHosts(Vec<String>);

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForeignRequest {
    #[error(
        "without a credential, this server answers only where the Host header names localhost, a loopback address, the \
         host of APP_PUBLIC_URL or a name in [server] hosts; call it by such a name, add the name there, or send an API \
         key (`app keys create NAME` makes one)"
    )]
    Host,
    #[error(
        "web pages of other sites may not call this server without a credential; send an API key \
         (`app keys create NAME` makes one)"
    )]
    Site,
}

impl NamedHosts {
    /// `public_url` is that of `APP_PUBLIC_URL`; `further` are names without port; `listener` is the address that the
    /// server listens on.
    pub fn new(public_url: &str, further: &[String], listener: Option<IpAddr>) -> Self {
        let public = Url::parse(public_url).ok().and_then(|url| url.host_str().map(str::to_owned));
        let listener = listener.filter(|ip| !ip.is_unspecified()).map(|ip| ip.to_string());
        let names = public.into_iter().chain(listener).chain(further.iter().cloned());
        Self(names.map(|name| without_brackets(&name).to_ascii_lowercase()).collect())
    }

    /// # Errors
    /// Where the Host header is missing, repeated or names another host, or a web page of another site sent the request.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), ForeignRequest> {
        self.check_host(headers)?;
        let is_cross_site = headers.get(SEC_FETCH_SITE).is_some_and(|site| site == "cross-site");
        let is_ours = |origin: &str| self.is_origin(origin);
        let origins_are_ours =
            headers.get_all(ORIGIN).iter().all(|origin| origin.to_str().is_ok_and(is_ours));
        if is_cross_site || !origins_are_ours { Err(ForeignRequest::Site) } else { Ok(()) }
    }

    /// # Errors
    /// Where the Host header is missing, repeated or names another host.
    pub fn check_host(&self, headers: &HeaderMap) -> Result<(), ForeignRequest> {
        let mut hosts = headers.get_all(HOST).iter();
        let is_named =
            hosts.next().and_then(|host| host.to_str().ok()).is_some_and(|host| self.is_ours(host));
        if is_named && hosts.next().is_none() { Ok(()) } else { Err(ForeignRequest::Host) }
    }

    /// Pages that hide their origin send `null`.
    fn is_origin(&self, origin: &str) -> bool {
        origin
            .split_once("://")
            .is_some_and(|(scheme, authority)| matches!(scheme, "http" | "https") && self.is_ours(authority))
    }

    fn is_ours(&self, authority: &str) -> bool {
        let Ok(authority) = authority.parse::<Authority>() else { return false };
        if authority.as_str().contains('@') {
            return false;
        }
        let host = without_brackets(authority.host()).to_ascii_lowercase();
        let is_loopback = match host.parse::<IpAddr>() {
            Ok(ip) => ip.is_loopback(),
            Err(_) => host == "localhost" || host.ends_with(".localhost"),
        };
        is_loopback || self.0.contains(&host)
    }
}

fn without_brackets(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn checked(headers: &[(HeaderName, &'static str)]) -> Result<(), ForeignRequest> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, HeaderValue::from_static(value));
        }
        let further = ["Console.Internal".to_owned(), "[2001:db8::7]".to_owned()];
        NamedHosts::new("https://Msg.example.com/app", &further, Some("10.0.0.5".parse().unwrap()))
            .check(&map)
    }

    #[test]
    fn loopback_public_listener_and_configured_names_are_allowed() {
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "app.localhost:1",
            "127.0.0.1:8080",
            "127.9.9.9",
            "[::1]:8080",
            "msg.example.com",
            "MSG.example.com:443",
            "console.internal:8080",
            "[2001:db8::7]:8080",
            "10.0.0.5",
        ] {
            assert_eq!(checked(&[(HOST, host)]), Ok(()), "{host}");
        }
    }

    #[test]
    fn other_names_and_a_missing_or_repeated_host_are_refused() {
        assert_eq!(checked(&[]), Err(ForeignRequest::Host));
        assert_eq!(checked(&[(HOST, "localhost"), (HOST, "evil.example")]), Err(ForeignRequest::Host));
        for host in [
            "",
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "notlocalhost",
            "127.0.0.1.evil.example",
            "127.0.0.1@evil.example",
            "evil.example@127.0.0.1",
            "192.0.2.1",
            "0.0.0.0",
            "[2001:db8::1]",
            "example.com",
            "x.msg.example.com",
            "x.console.internal",
            "local host",
        ] {
            assert_eq!(checked(&[(HOST, host)]), Err(ForeignRequest::Host), "{host}");
        }
    }

    #[test]
    fn an_unspecified_listener_adds_no_name() {
        let hosts = NamedHosts::new("", &[], Some("0.0.0.0".parse().unwrap()));
        let headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static("0.0.0.0:8080"))]);
        assert_eq!(hosts.check(&headers), Err(ForeignRequest::Host));
    }

    #[test]
    fn pages_of_other_sites_are_refused() {
        for origin in ["http://localhost:3000", "https://msg.example.com", "http://[::1]:8080"] {
            assert_eq!(checked(&[(HOST, "localhost"), (ORIGIN, origin)]), Ok(()), "{origin}");
        }
        for origin in
            ["null", "", "https://evil.example", "http://localhost.evil.example", "file://localhost"]
        {
            let refused = checked(&[(HOST, "localhost"), (ORIGIN, origin)]);
            assert_eq!(refused, Err(ForeignRequest::Site), "{origin}");
        }
        let two = [(HOST, "localhost"), (ORIGIN, "http://localhost"), (ORIGIN, "https://evil.example")];
        assert_eq!(checked(&two), Err(ForeignRequest::Site));
        assert_eq!(
            checked(&[(HOST, "localhost"), (SEC_FETCH_SITE, "cross-site")]),
            Err(ForeignRequest::Site)
        );
    }
}
