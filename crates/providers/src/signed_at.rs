//! The time in a signature: how old a webhook may be. Providers deliver again for hours, some with the first try's
//! time, and what is older than that can only be a replay.

use jiff::Timestamp;

use crate::WebhookError;
use crate::webhook::unverified;

/// For how long a signature is believed.
pub(crate) struct Window {
    pub(crate) age_s_max: i64,
    /// Clocks differ.
    pub(crate) ahead_s_max: i64,
    /// `age_s_max` in words.
    pub(crate) words: &'static str,
}

/// For webhooks that are signed anew each time they are delivered.
pub(crate) const FIVE_MINUTES: Window = Window { age_s_max: 300, ahead_s_max: 300, words: "five minutes" };

/// For webhooks that are repeated for a day, perhaps with the first one's time.
pub(crate) const A_DAY: Window = Window { age_s_max: 25 * 3600, ahead_s_max: 300, words: "a day" };

/// `name` is that of the field which holds `unix_s`, for the refusal.
///
/// # Errors
/// [`WebhookError::Unverified`] where the time cannot be read, is long past or in the future.
pub(crate) fn check(name: &str, unix_s: &str, window: &Window, now: Timestamp) -> Result<(), WebhookError> {
    match unix_s.parse() {
        Ok(signed_s) => check_s(signed_s, window, now),
        Err(_) => Err(unverified(format!("{name} is not a time in unix seconds"))),
    }
}

/// As [`check`], of a time that was read.
pub(crate) fn check_s(signed_s: i64, window: &Window, now: Timestamp) -> Result<(), WebhookError> {
    let age_s = now.as_second().saturating_sub(signed_s);
    if age_s > window.age_s_max {
        return Err(unverified(format!("it was signed more than {} ago", window.words)));
    }
    if age_s < -window.ahead_s_max {
        return Err(unverified("it was signed in the future; check this machine's clock"));
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
            assert_eq!(check("x-time", unix_s, &A_DAY, now).is_ok(), fits, "{unix_s}");
        }
    }
}
