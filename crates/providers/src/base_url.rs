//! From the configured base URL to the address of a call.

use http::Uri;
use url::Url;

use crate::SettingsError;

/// The base URL with the path below it.
///
/// # Errors
/// Where the base is not a plain http(s) address.
pub(crate) fn join(base_url: &Url, path: &str) -> Result<Uri, SettingsError> {
    let wrong = |problem: &str| SettingsError::new("base_url", problem);
    if !matches!(base_url.scheme(), "http" | "https") {
        return Err(wrong("must begin with http:// or https://"));
    }
    if !base_url.username().is_empty() || base_url.password().is_some() {
        return Err(wrong("must not carry credentials; they have keys of their own"));
    }
    if base_url.query().is_some() || base_url.fragment().is_some() {
        return Err(wrong("must end with its path, without ? or #"));
    }
    format!("{}{path}", base_url.as_str().trim_end_matches('/'))
        .parse()
        .map_err(|_| wrong("is not an address that can be called"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(base: &str) -> Result<String, String> {
        join(&base.parse().unwrap(), "/v1/x").map(|uri| uri.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_path_follows_the_base_with_one_slash() {
        assert_eq!(joined("https://api.example.com").unwrap(), "https://api.example.com/v1/x");
        assert_eq!(joined("http://127.0.0.1:8090/").unwrap(), "http://127.0.0.1:8090/v1/x");
        assert_eq!(joined("http://127.0.0.1:8090/gateway/").unwrap(), "http://127.0.0.1:8090/gateway/v1/x");
    }

    #[test]
    fn what_is_no_plain_address_is_refused() {
        for base in [
            "ftp://example.com",
            "https://a:b@example.com",
            "https://example.com?x=1",
            "https://example.com#x",
        ] {
            assert!(joined(base).unwrap_err().starts_with("base_url: must"), "{base}");
        }
    }
}
