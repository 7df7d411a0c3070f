//! Times as the API writes and reads them: RFC 3339, written in UTC with microseconds, which is what the database
//! keeps.

use jiff::Timestamp;
use jiff::tz::Offset;

/// `2026-11-23T08:30:00.000000Z`.
pub(crate) fn format(time: Timestamp) -> String {
    // Every answer has several, and the general formatter takes longer than the rest of the answer.
    let at = Offset::UTC.to_datetime(time);
    let Some(year) = u32::try_from(at.year()).ok().filter(|_| at.subsec_nanosecond() % 1000 == 0) else {
        return format!("{time:.6}");
    };
    let small = |part: i8| u32::from(part.unsigned_abs());
    let parts = [
        (year, 4, '-'),
        (small(at.month()), 2, '-'),
        (small(at.day()), 2, 'T'),
        (small(at.hour()), 2, ':'),
        (small(at.minute()), 2, ':'),
        (small(at.second()), 2, '.'),
        (at.subsec_nanosecond().unsigned_abs() / 1000, 6, 'Z'),
    ];
    let mut text = String::with_capacity("2026-11-23T08:30:00.000000Z".len());
    for (number, digits, after) in parts {
        for place in (0..digits).rev() {
            text.push(char::from(b"0123456789"[(number / 10_u32.pow(place) % 10) as usize]));
        }
        text.push(after);
    }
    text
}

/// RFC 3339 and nothing more: the general parser also takes other forms of ISO 8601. Cut to microseconds. Times
/// before 1970, and those in the last hours of 9999 that not every offset can write, are no times of messages.
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    let time = in_the_form(text).then(|| text.parse::<Timestamp>().ok())??;
    stored(time)
}

/// Whether it would be a time if a space were the plus that it stands for in a URL's query.
pub(crate) fn has_lost_its_plus(text: &str) -> bool {
    text.rsplit_once(' ').is_some_and(|(time, offset)| parse(&format!("{time}+{offset}")).is_some())
}

/// The time as the database can hold it, or nothing where it cannot be a message's.
pub(crate) fn stored(time: Timestamp) -> Option<Timestamp> {
    let microsecond = time.as_microsecond();
    (microsecond >= 0).then(|| Timestamp::from_microsecond(microsecond).ok())?
}

fn in_the_form(text: &str) -> bool {
    const FORM: &[u8] = b"dddd-dd-ddTdd:dd:dd";
    let bytes = text.as_bytes();
    let fits = |form: &[u8], bytes: &[u8]| {
        form.len() == bytes.len()
            && form.iter().zip(bytes).all(|(form, byte)| match form {
                b'd' => byte.is_ascii_digit(),
                b'T' => matches!(byte, b'T' | b't' | b' '),
                b'+' => matches!(byte, b'+' | b'-'),
                literal => literal == byte,
            })
    };
    let Some((whole, mut rest)) = bytes.split_at_checked(FORM.len()) else { return false };
    if let [b'.', fraction @ ..] = rest {
        let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if !(1..=9).contains(&digits) {
            return false;
        }
        rest = &fraction[digits..];
    }
    fits(FORM, whole) && (matches!(rest, b"Z" | b"z") || fits(b"+dd:dd", rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_utc_with_microseconds() {
        for (text, written) in [
            ("2026-11-23T08:30:00Z", "2026-11-23T08:30:00.000000Z"),
            ("2026-11-23t10:30:00.5+02:00", "2026-11-23T08:30:00.500000Z"),
            ("2026-11-23 08:30:00.123456789Z", "2026-11-23T08:30:00.123456Z"),
            ("1970-01-01T00:00:00-00:00", "1970-01-01T00:00:00.000000Z"),
        ] {
            assert_eq!(parse(text).map(format).as_deref(), Some(written), "{text}");
        }
    }

    #[test]
    fn every_time_is_written_as_the_general_formatter_writes_it() {
        let seconds = [-62_167_219_200, -1, 0, 951_782_399, 951_782_400, 1_764_000_000, 253_402_207_200];
        for second in seconds {
            for nanosecond in [0, 1, 1_000, 999, 123_456_000, 123_456_789, 999_999_999] {
                let Ok(time) = Timestamp::new(second, nanosecond) else { continue };
                assert_eq!(format(time), format!("{time:.6}"));
            }
        }
    }

    #[test]
    fn the_last_time_is_the_one_that_errors_name() {
        let last = parse("9999-12-30T22:00:00Z").unwrap();
        assert_eq!(format(last), "9999-12-30T22:00:00.000000Z");
        assert_eq!(parse("9999-12-30T22:00:01Z"), None);
        assert_eq!(parse("9999-12-31T00:00:00Z"), None);
    }

    #[test]
    fn a_plus_that_became_a_space_is_recognised() {
        assert!(has_lost_its_plus("2026-11-23T10:30:00 02:00"));
        for text in ["2026-11-23 10:30:00", "2026-11-23T10:30:00Z", "next week"] {
            assert!(!has_lost_its_plus(text), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_of_rfc_3339_is_refused() {
        for text in [
            "",
            "now",
            "2026-11-23",
            "2026-11-23T08:30Z",
            "2026-11-23T08:30:00",
            "2026-13-23T08:30:00Z",
            "2026-02-30T08:30:00Z",
            "300000-01-01T00:00:00Z",
            "+300000-01-01T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "2026-11-23T08:30:00[Europe/Berlin]",
            "2026-11-23T08:30:00Z[UTC]",
            "2026-11-23T08:30:00.Z",
            "1764000000",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
