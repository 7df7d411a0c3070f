//! The Host header of a request, as RFC 9112 section 3.2 asks for it: a server answers 400 to what it finds wrong here.

use std::net::Ipv6Addr;

use http::header::HOST;
use http::{HeaderMap, Version};

/// What is wrong with the Host header of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostHeaderError {
    #[error("an HTTP/1.1 request needs a Host header")]
    Missing,
    #[error("the request has more than one Host header")]
    Repeated,
    #[error("the Host header is not a host with an optional port")]
    Invalid,
}

/// # Errors
/// Where the header is missing (HTTP/1.0 may leave it out), is there more than once, or is not a host with an optional
/// port.
pub fn check(version: Version, headers: &HeaderMap) -> Result<(), HostHeaderError> {
    let mut values = headers.get_all(HOST).iter();
    let Some(host) = values.next() else {
        return if version < Version::HTTP_11 { Ok(()) } else { Err(HostHeaderError::Missing) };
    };
    if values.next().is_some() {
        return Err(HostHeaderError::Repeated);
    }
    if is_host(host.as_bytes()) { Ok(()) } else { Err(HostHeaderError::Invalid) }
}

/// `uri-host [ ":" port ]` (RFC 9110 section 7.2), where the host of an http URI is never empty (section 4.2.1).
fn is_host(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    if let Some(literal) = text.strip_prefix('[') {
        let Some((ip, port)) = literal.split_once(']') else { return false };
        return ip.parse::<Ipv6Addr>().is_ok()
            && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port));
    }
    let (name, port) = text.split_once(':').unwrap_or((text, ""));
    !name.is_empty() && name.bytes().all(is_name_byte) && is_port(port)
}

/// May be empty (RFC 3986 section 3.2.3).
fn is_port(port: &str) -> bool {
    port.is_empty() || port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok()
}

/// Of `reg-name` (RFC 3986 section 3.2.2).
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(&byte)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn checked(version: Version, hosts: &[&'static str]) -> Result<(), HostHeaderError> {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(HOST, HeaderValue::from_static(host));
        }
        check(version, &headers)
    }

    #[test]
    fn a_request_has_one_valid_host() {
        for host in
            ["localhost", "localhost:8080", "msg.example.com:", "127.0.0.1:1", "[::1]", "[::1]:80", "a_b"]
        {
            assert_eq!(checked(Version::HTTP_11, &[host]), Ok(()), "{host}");
        }
        for host in [
            "", ":80", "a b", "a:b", "a:70000", "a:80:80", "a/b", "u@a", "[::1", "[x]", "[::1]80", "a,b:x",
            "::1",
        ] {
            assert_eq!(checked(Version::HTTP_11, &[host]), Err(HostHeaderError::Invalid), "{host}");
        }
    }

    #[test]
    fn two_hosts_are_refused_and_only_http_1_0_needs_none() {
        assert_eq!(checked(Version::HTTP_11, &[]), Err(HostHeaderError::Missing));
        assert_eq!(checked(Version::HTTP_10, &[]), Ok(()));
        for version in [Version::HTTP_10, Version::HTTP_11] {
            assert_eq!(checked(version, &["a", "a"]), Err(HostHeaderError::Repeated));
        }
    }
}
