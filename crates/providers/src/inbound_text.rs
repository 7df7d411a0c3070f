//! Texts and references as they come in from providers, made safe to store. Changes nothing that a person wrote.

use model::id;
use url::Url;
use uuid::Uuid;

/// The text without NULs, which no text column takes: one such character must not lose a message.
pub(crate) fn storable(text: impl Into<String>) -> String {
    let text = text.into();
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

/// A word or code of a provider's vocabulary, or nothing where it could be free text, which may hold addresses.
pub(crate) fn code_word(text: &str) -> Option<String> {
    let fits = (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    fits.then(|| text.to_owned())
}

/// A number of a provider that writes international ones without their plus. What may be a short code or is no number
/// stays as it is; no country begins with a zero.
pub(crate) fn international(number: &str) -> String {
    let number = number.trim();
    let is_long_enough = (9..=15).contains(&number.len()) && !number.starts_with('0');
    let lacks_plus = is_long_enough && number.bytes().all(|b| b.is_ascii_digit());
    if lacks_plus { format!("+{number}") } else { storable(number) }
}

/// Whether it is an address that an attachment can be fetched from.
pub(crate) fn is_web_address(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
}

/// The message and attempt that a receipt brought back. Nothing unless the id is one of ours.
pub(crate) fn our_reference(message_id: &str, attempt: Option<&str>) -> (Option<Uuid>, Option<u32>) {
    match Uuid::try_parse(message_id).ok().filter(|&uuid| id::is_ours(uuid)) {
        Some(message_id) => {
            (Some(message_id), attempt.and_then(|text| text.parse().ok()).filter(|&attempt| attempt > 0))
        }
        None => (None, None),
    }
}

/// A place that somebody shared, as text: its name and address where it has some, and a `geo:` URI (RFC 5870).
pub(crate) fn place_text(lines: [Option<&str>; 2], latitude: &str, longitude: &str) -> String {
    let geo = format!("geo:{latitude},{longitude}");
    let lines = lines.into_iter().flatten().filter(|line| !line.is_empty()).chain([geo.as_str()]);
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_reference_of_ours_is_taken() {
        let ours = "0190f3a2-7b1c-70a7-8123-456789abcdef";
        let uuid = Uuid::try_parse(ours).unwrap();
        assert_eq!(our_reference(ours, Some("3")), (Some(uuid), Some(3)));
        assert_eq!(our_reference(ours, Some("0")), (Some(uuid), None));
        assert_eq!(our_reference(ours, Some("x")), (Some(uuid), None));
        assert_eq!(our_reference(ours, None), (Some(uuid), None));
        assert_eq!(our_reference("7c9e6679-7425-40de-944b-e07fc1f90ae7", Some("3")), (None, None));
        assert_eq!(our_reference("", Some("3")), (None, None));
    }

    #[test]
    fn only_an_international_number_gets_its_plus() {
        for (number, expected) in [
            ("14155550100", "+14155550100"),
            (" 4930123456 ", "+4930123456"),
            ("+14155550100", "+14155550100"),
            ("447700900000", "+447700900000"),
            ("12345", "12345"),
            ("12345678", "12345678"),
            ("0301234567", "0301234567"),
            ("ACME", "ACME"),
            ("1415555010012345", "1415555010012345"),
            ("", ""),
        ] {
            assert_eq!(international(number), expected);
        }
    }

    #[test]
    fn a_code_word_holds_no_address() {
        assert_eq!(code_word("30003").as_deref(), Some("30003"));
        assert_eq!(code_word("5.1.1").as_deref(), Some("5.1.1"));
        for text in ["", "ann@example.com", "+14155550100", "no such user"] {
            assert_eq!(code_word(text), None);
        }
    }
}
