//! How long a provider asks us to wait, from its headers.

use std::time::{Duration, UNIX_EPOCH};

use http::HeaderMap;
use jiff::Timestamp;

/// The wait that the answer asks for, at least a second: `Retry-After` as seconds or an HTTP date (RFC 9110
/// section 10.2.3), else the named rate-limit reset header, read as unix seconds above 10^9 and as a delta below.
/// Nothing where neither can be read.
pub(crate) fn retry_after(
    headers: &HeaderMap,
    reset_header: Option<&str>,
    now: Timestamp,
) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let from_retry_after = text("retry-after").and_then(|value| match value.parse::<u64>() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => until_unix_s(
            httpdate::parse_http_date(value).ok()?.duration_since(UNIX_EPOCH).ok()?.as_secs(),
            now,
        ),
    });
    let from_reset = || {
        let value = text(reset_header?)?.parse::<u64>().ok()?;
        if value > 1_000_000_000 { until_unix_s(value, now) } else { Some(Duration::from_secs(value)) }
    };
    from_retry_after.or_else(from_reset).map(|wait| wait.max(Duration::from_secs(1)))
}

fn until_unix_s(unix_s: u64, now: Timestamp) -> Option<Duration> {
    let now_s = u64::try_from(now.as_second()).ok()?;
    Some(Duration::from_secs(unix_s.saturating_sub(now_s)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(pairs: &[(&'static str, &str)]) -> Option<u64> {
        let headers =
            pairs.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()));
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        retry_after(&headers.collect(), Some("x-ratelimit-reset"), now).map(|wait| wait.as_secs())
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(wait(&[("retry-after", "7")]), Some(7));
        assert_eq!(wait(&[("retry-after", "0")]), Some(1));
        assert_eq!(wait(&[("retry-after", "Tue, 14 Nov 2023 22:13:50 GMT")]), Some(30));
        assert_eq!(wait(&[("retry-after", "-5")]), None);
        assert_eq!(wait(&[("retry-after", "soon")]), None);
    }

    #[test]
    fn the_reset_header_is_absolute_or_a_delta() {
        assert_eq!(wait(&[("x-ratelimit-reset", "1700000042")]), Some(42));
        assert_eq!(wait(&[("x-ratelimit-reset", "1600000000")]), Some(1));
        assert_eq!(wait(&[("x-ratelimit-reset", "9")]), Some(9));
    }
}
