//! The client that a request came from: the socket's peer, or the client that a trusted proxy names. Must not believe a
//! header of any other peer.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{Extensions, HeaderMap, HeaderName};
use service::config::Network;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// An IPv6 client usually controls its whole /64.
const IPV6_CLIENT_MASK: u128 = !(u64::MAX as u128);

/// The client that a request came from. The listener puts it into the extensions of each request; an extractor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PeerAddress {
    pub ip: IpAddr,
    /// A loopback address or a trusted proxy stands for many clients: limits for each peer do not apply to it.
    pub is_shared: bool,
}

impl PeerAddress {
    /// Where no listener of ours brought the request.
    pub(crate) const UNKNOWN: Self = Self { ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED), is_shared: true };

    /// Of a request, by its extensions.
    pub(crate) fn of(extensions: &Extensions) -> Self {
        extensions.get().copied().unwrap_or(Self::UNKNOWN)
    }

    /// The address that limits for each peer count by; none where they do not apply.
    pub(crate) fn limited(self) -> Option<IpAddr> {
        let ip = match self.ip {
            IpAddr::V4(ip) => IpAddr::V4(ip),
            IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & IPV6_CLIENT_MASK)),
        };
        (!self.is_shared).then_some(ip)
    }
}

impl<S: Sync> FromRequestParts<S> for PeerAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.extensions))
    }
}

/// The proxies of `[server] trusted_proxies`.
#[derive(Clone, Debug, Default)]
pub(crate) struct TrustedProxies(Arc<[Network]>);

impl TrustedProxies {
    pub(crate) fn new(networks: &[Network]) -> Self {
        Self(networks.into())
    }

    pub(crate) fn contain(&self, ip: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(ip))
    }

    /// The peer of a connection: the socket's, or the one that a PROXY protocol header names.
    pub(crate) fn peer(&self, ip: IpAddr) -> PeerAddress {
        let ip = ip.to_canonical();
        PeerAddress { ip, is_shared: ip.is_loopback() || self.contain(ip) }
    }

    /// The client of a request on the connection of `peer`: the right-most address of X-Forwarded-For that is not a
    /// trusted proxy, where a trusted proxy sent the request. Addresses to the left of it may be invented.
    pub(crate) fn client(&self, peer: PeerAddress, headers: &HeaderMap) -> PeerAddress {
        if self.0.is_empty() || !self.contain(peer.ip) {
            return peer;
        }
        let mut client = peer;
        for value in headers.get_all(X_FORWARDED_FOR).iter().rev() {
            for entry in value.as_bytes().rsplit(|&byte| byte == b',') {
                let Some(ip) = std::str::from_utf8(entry).ok().and_then(address) else { return client };
                client = self.peer(ip);
                if !self.contain(client.ip) {
                    return client;
                }
            }
        }
        client
    }
}

/// An address, which some proxies write with a port.
fn address(entry: &str) -> Option<IpAddr> {
    let entry = entry.trim();
    entry.parse().ok().or_else(|| Some(entry.parse::<std::net::SocketAddr>().ok()?.ip()))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn client(peer: &str, forwarded: &[&'static str]) -> PeerAddress {
        let trusted = ["10.0.0.0/8", "fd00::/8"].map(|text| text.parse().unwrap());
        let trusted = TrustedProxies::new(&trusted);
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_static(value));
        }
        trusted.client(trusted.peer(peer.parse().unwrap()), &headers)
    }

    fn ip(peer: &str, forwarded: &[&'static str]) -> String {
        client(peer, forwarded).ip.to_string()
    }

    #[test]
    fn a_trusted_proxy_names_the_client() {
        assert_eq!(ip("10.0.0.1", &["203.0.113.9"]), "203.0.113.9");
        assert_eq!(ip("::ffff:10.0.0.1", &["203.0.113.9:4711"]), "203.0.113.9");
        assert_eq!(ip("fd00::1", &["[2001:db8::7]:80"]), "2001:db8::7");
        assert!(!client("10.0.0.1", &["203.0.113.9"]).is_shared);
    }

    #[test]
    fn the_right_most_address_that_is_not_a_proxy_counts() {
        assert_eq!(ip("10.0.0.1", &["1.1.1.1, 203.0.113.9, 10.0.0.2"]), "203.0.113.9");
        assert_eq!(ip("10.0.0.1", &["1.1.1.1", "203.0.113.9", "10.0.0.3"]), "203.0.113.9");
        assert_eq!(ip("10.0.0.1", &["10.0.0.3, 10.0.0.2"]), "10.0.0.3");
    }

    #[test]
    fn what_another_peer_says_of_itself_does_not_count() {
        assert_eq!(ip("203.0.113.9", &["1.1.1.1"]), "203.0.113.9");
        assert_eq!(ip("127.0.0.1", &["1.1.1.1"]), "127.0.0.1");
    }

    #[test]
    fn an_unreadable_entry_ends_the_search_at_the_proxy_that_wrote_it() {
        assert_eq!(ip("10.0.0.1", &["203.0.113.9, unknown"]), "10.0.0.1");
        assert_eq!(ip("10.0.0.1", &["203.0.113.9, unknown, 10.0.0.2"]), "10.0.0.2");
        assert_eq!(ip("10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn loopback_and_trusted_proxies_have_no_limit_for_each_peer() {
        for shared in ["127.0.0.1", "::1", "10.0.0.1"] {
            assert_eq!(client(shared, &[]).limited(), None, "{shared}");
        }
        let limited = |peer| client(peer, &[]).limited().unwrap().to_string();
        assert_eq!(limited("203.0.113.9"), "203.0.113.9");
        assert_eq!(limited("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    }
}
