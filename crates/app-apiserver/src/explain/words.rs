//! Times and reasons in words.

use std::time::Duration;

use jiff::Timestamp;
use model::Reason;

/// `2026-11-23T08:30:00Z (in 5 min)`.
pub(super) fn at(time: Timestamp, now: Timestamp) -> String {
    let ahead = Duration::try_from(time.duration_since(now)).ok();
    let ago = Duration::try_from(now.duration_since(time)).unwrap_or_default();
    match ahead {
        Some(ahead) if ahead.as_secs() > 0 => format!("{time:.0} (in {})", span(ahead)),
        _ if ago.as_secs() == 0 => format!("{time:.0} (now)"),
        _ => format!("{time:.0} ({} ago)", span(ago)),
    }
}

pub(super) fn span(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ ..120 => format!("{seconds} s"),
        seconds @ ..7_200 => format!("{} min", seconds / 60),
        seconds @ ..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// What a stable code means, without the full stop; the code itself where it is none of ours.
pub(crate) fn meaning(code: &str) -> &str {
    code.parse::<Reason>().map_or(code, |reason| reason.meaning().trim_end_matches('.'))
}

/// With a small letter at the beginning, to stand inside a sentence; what is written so, such as `HTTP`, stays.
pub(super) fn inside(text: &str) -> String {
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        (Some(first), Some(second)) if first.is_uppercase() && !second.is_uppercase() => {
            first.to_lowercase().chain(text.chars().skip(1)).collect()
        }
        _ => text.to_owned(),
    }
}

/// ` (code 21211, invalid number)`: what the provider said, or nothing.
pub(super) fn aside(provider_code: Option<&str>, detail: Option<&str>) -> String {
    let code = provider_code.map(|code| format!("provider code {code}"));
    let parts: Vec<String> = code.into_iter().chain(detail.map(str::to_owned)).collect();
    if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(": ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_with_how_far_they_are() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let told = |seconds| at(now + Duration::from_secs(seconds), now);
        assert_eq!(told(0), "1970-01-12T13:46:40Z (now)");
        assert_eq!(told(90), "1970-01-12T13:48:10Z (in 90 s)");
        assert!(told(300).ends_with("(in 5 min)") && told(7_200).ends_with("(in 2 h)"));
        assert!(at(now - Duration::from_secs(400_000), now).ends_with("(4 days ago)"));
    }

    #[test]
    fn a_sentence_fits_into_another() {
        assert_eq!(inside("The provider says no"), "the provider says no");
        assert_eq!(inside("A client canceled it"), "a client canceled it");
        assert_eq!(inside("HTTP 500"), "HTTP 500");
        assert_eq!(aside(Some("21211"), Some("HTTP 400")), " (provider code 21211: HTTP 400)");
        assert_eq!(aside(None, None), "");
        assert_eq!(meaning("no_such_code"), "no_such_code");
    }
}
