//! By which names a server without API keys may be called: those of this machine, and its public one. A web page can
//! have its own name resolve to this machine (DNS rebinding); it cannot choose what its browser calls the server.

use std::net::IpAddr;

use http::header::{HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, StatusCode};
use url::Url;

use crate::problem::Problem;

pub(crate) const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The names that are ours besides those of this machine.
#[derive(Debug, Default)]
pub(crate) struct NamedHosts {
    public: Option<String>,
}

impl NamedHosts {
    /// `public_url` is that of `APP_PUBLIC_URL`.
    pub(crate) fn of(public_url: &str) -> Self {
        let url = Url::parse(public_url).ok();
        Self { public: url.and_then(|url| Some(url.host_str()?.to_ascii_lowercase())) }
    }

    /// # Errors
    /// 403 `forbidden_host` where the request calls the server by another name, or by none; 403 `cross_site` where
    /// a web page of another name sends it.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), Problem> {
        self.check_host(headers)?;
        let from_elsewhere = headers.get(SEC_FETCH_SITE).is_some_and(|site| site == "cross-site")
            || !headers.get_all(ORIGIN).iter().all(|origin| origin.to_str().is_ok_and(|o| self.is_origin(o)));
        if from_elsewhere {
            let detail = "web pages of other sites may not call a server without API keys; make a key with \
                          `app keys create NAME`";
            return Err(Problem::new(StatusCode::FORBIDDEN, "cross_site", detail));
        }
        Ok(())
    }

    /// # Errors
    /// 403 `forbidden_host` where the request calls the server by another name, or by none.
    pub(crate) fn check_host(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let mut hosts = headers.get_all(HOST).iter();
        let named = hosts.next().and_then(|host| host.to_str().ok()).is_some_and(|host| self.is_ours(host));
        if !named || hosts.next().is_some() {
            let detail = "a server without API keys is called by localhost, a loopback address or the host of \
                          APP_PUBLIC_URL only; make a key with `app keys create NAME`, or call it by one of these";
            return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden_host", detail));
        }
        Ok(())
    }

    /// `null` is the origin of pages that hide theirs.
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
        let host = authority.host().to_ascii_lowercase();
        if let Ok(ip) = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            return ip.is_loopback() || self.public.as_ref() == Some(&host);
        }
        host == "localhost" || host.ends_with(".localhost") || self.public.as_ref() == Some(&host)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn refusal(headers: &[(HeaderName, &'static str)]) -> Option<String> {
        let headers = headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, value);
        }
        let problem = NamedHosts::of("https://Msg.example.com/app").check(&map).err()?;
        assert_eq!(problem.status(), StatusCode::FORBIDDEN);
        let problem = serde_json::to_value(&problem).unwrap();
        assert!(problem["detail"].as_str().unwrap().contains("app keys create NAME"));
        Some(problem["code"].as_str().unwrap().to_owned())
    }

    #[test]
    fn names_of_this_machine_and_the_public_one_are_ours() {
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "app.localhost:1",
            "127.0.0.1:8080",
            "127.9.9.9",
            "[::1]:8080",
            "msg.example.com",
            "MSG.example.com:443",
        ] {
            assert_eq!(refusal(&[(HOST, host)]), None, "{host}");
        }
    }

    #[test]
    fn other_names_and_none_are_forbidden_hosts() {
        let forbidden = Some("forbidden_host".to_owned());
        assert_eq!(refusal(&[]), forbidden);
        assert_eq!(refusal(&[(HOST, "localhost"), (HOST, "evil.example")]), forbidden);
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
            "[2001:db8::1]",
            "example.com",
            "x.msg.example.com",
            "local host",
        ] {
            assert_eq!(refusal(&[(HOST, host)]), forbidden, "{host}");
        }
    }

    #[test]
    fn pages_of_other_names_are_cross_site() {
        for origin in ["http://localhost:3000", "https://msg.example.com", "http://[::1]:8080"] {
            assert_eq!(refusal(&[(HOST, "localhost"), (ORIGIN, origin)]), None, "{origin}");
        }
        let cross_site = Some("cross_site".to_owned());
        for origin in
            ["null", "", "https://evil.example", "http://localhost.evil.example", "file://localhost"]
        {
            assert_eq!(refusal(&[(HOST, "localhost"), (ORIGIN, origin)]), cross_site, "{origin}");
        }
        let two = [(HOST, "localhost"), (ORIGIN, "http://localhost"), (ORIGIN, "https://evil.example")];
        assert_eq!(refusal(&two), cross_site);
        assert_eq!(refusal(&[(HOST, "localhost"), (SEC_FETCH_SITE, "cross-site")]), cross_site);
    }
}
