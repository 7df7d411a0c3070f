//! The time in a signature: how old a webhook may be. Providers deliver again for hours, some with the first try's
//! time, and what is older than that can only be a replay.

use jiff::Timestamp;

use crate::WebhookError;

/// Longer than any provider here goes on delivering one webhook.
const AGE_S_MAX: i64 = 25 * 3600;
/// Clocks differ.
const AHEAD_S_MAX: i64 = 300;

/// `header` is the name of the header that holds `unix_s`, for the refusal.
///
/// # Errors
/// [`WebhookError::Unverified`] where the time cannot be read, is long past or in the future.
pub(crate) fn check(header: &str, unix_s: &str, now: Timestamp) -> Result<(), WebhookError> {
    let unverified = |why: String| Err(WebhookError::Unverified(why));
    let Ok(signed_s) = unix_s.parse::<i64>() else {
        return unverified(format!("{header} is not a time in unix seconds"));
    };
    let age_s = now.as_second().saturating_sub(signed_s);
    if age_s > AGE_S_MAX {
        return unverified("it was signed more than a day ago".to_owned());
    }
    if age_s < -AHEAD_S_MAX {
        return unverified("it was signed in the future; check this machine's clock".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_believed_for_a_day_and_a_little_ahead() {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        for (unix_s, fits) in [
            ("1700000000", true),
            ("1700000300", true),
            ("1700000301", false),
            ("1699910000", true),
            ("1699909999", false),
            ("-9223372036854775808", false),
            ("9223372036854775807", false),
            ("", false),
            ("1.7e9", false),
        ] {
            assert_eq!(check("x-time", unix_s, now).is_ok(), fits, "{unix_s}");
        }
    }
}
