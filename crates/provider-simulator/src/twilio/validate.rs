//! What Twilio refuses, with its codes, its test numbers included.

use http::StatusCode;
use url::Url;

use super::resource;
use crate::answer::Whole;
use crate::http_call::{Form, value};

const BODY_CHARACTERS_MAX: usize = 1600;
const MEDIA_MAX: usize = 10;
const VALIDITY_S: std::ops::RangeInclusive<u32> = 1..=36_000;

/// An error in Twilio's words.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub status: StatusCode,
    pub code: u32,
    pub message: String,
}

impl Refusal {
    pub(super) fn into_answer(self) -> Whole {
        resource::error(self.status, self.code, &self.message)
    }
}

fn refuse(code: u32, message: impl Into<String>) -> Result<(), Refusal> {
    Err(Refusal { status: StatusCode::BAD_REQUEST, code, message: message.into() })
}

pub(super) fn check(form: &Form) -> Result<(), Refusal> {
    check_to(form)?;
    check_from(form)?;
    check_content(form)?;
    if let Some(url) = value(form, "StatusCallback")
        && !is_callback_url(url)
    {
        return refuse(21609, format!("The 'StatusCallback' URL {url} is not a valid URL"));
    }
    if let Some(seconds) = value(form, "ValidityPeriod")
        && !seconds.parse().is_ok_and(|seconds: u32| VALIDITY_S.contains(&seconds))
    {
        return refuse(21624, format!("Invalid validity period value: {seconds}"));
    }
    Ok(())
}

fn check_to(form: &Form) -> Result<(), Refusal> {
    let Some(to) = value(form, "To") else {
        return refuse(21604, "A 'To' phone number is required.");
    };
    let refused = match to {
        // Only the same channel reaches it.
        _ if is_channel_address(to) != is_channel_address(value(form, "From").unwrap_or(to)) => {
            Some((63007, "Could not find a channel with the specified 'From' address"))
        }
        "+15005550001" => Some((21211, "Invalid 'To' Phone Number")),
        "+15005550002" => {
            Some((21612, "The 'To' phone number is not reachable from the 'From' number by SMS"))
        }
        "+15005550003" => Some((21408, "Permission to send an SMS has not been enabled for the region")),
        "+15005550004" => Some((21610, "Attempt to send to unsubscribed recipient")),
        "+15005550009" => Some((21614, "'To' number is not a valid mobile number")),
        _ if is_e164(to) || is_channel_address(to) => None,
        _ => Some((21211, "Invalid 'To' Phone Number")),
    };
    refused.map_or(Ok(()), |(code, message)| refuse(code, format!("{message}: {to}")))
}

fn check_from(form: &Form) -> Result<(), Refusal> {
    let from = value(form, "From");
    let service = value(form, "MessagingServiceSid");
    if from.is_none() && service.is_none() {
        return refuse(21603, "A 'From' phone number is required.");
    }
    if let Some(sid) = service
        && !is_sid(sid, "MG")
    {
        return refuse(21701, "The Messaging Service does not exist");
    }
    let Some(from) = from else { return Ok(()) };
    let refused = match from {
        "+15005550001" => Some((21212, "Invalid 'From' Number")),
        "+15005550007" => {
            Some((21606, "The 'From' phone number is not a valid, SMS-capable number of the account"))
        }
        "+15005550008" => {
            Some((21611, "The 'From' number has exceeded the maximum number of queued messages"))
        }
        _ if is_e164(from) || is_channel_address(from) || is_sender(from) => None,
        _ => Some((21212, "Invalid 'From' Number")),
    };
    refused.map_or(Ok(()), |(code, message)| refuse(code, format!("{message}: {from}")))
}

fn check_content(form: &Form) -> Result<(), Refusal> {
    let body = value(form, "Body");
    let media: Vec<&str> =
        form.iter().filter(|(name, _)| name == "MediaUrl").map(|(_, url)| url.as_str()).collect();
    if body.is_none() && media.is_empty() && value(form, "ContentSid").is_none() {
        return refuse(21602, "Message body is required.");
    }
    if body.is_some_and(|body| body.chars().count() > BODY_CHARACTERS_MAX) {
        return refuse(21617, "The concatenated message body exceeds the 1600 character limit");
    }
    if media.len() > MEDIA_MAX {
        return refuse(21623, "Number of media files exceeds allowed limit");
    }
    if media.iter().any(|url| !is_http_url(url)) {
        return refuse(21620, "Invalid media URL(s)");
    }
    Ok(())
}

fn is_e164(text: &str) -> bool {
    text.strip_prefix('+').is_some_and(|digits| {
        (7..=15).contains(&digits.len())
            && !digits.starts_with('0')
            && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// `whatsapp:+1555...`, `messenger:...`
fn is_channel_address(text: &str) -> bool {
    text.split_once(':').is_some_and(|(channel, address)| {
        matches!(channel, "whatsapp" | "messenger" | "rcs") && !address.is_empty()
    })
}

/// A short code, or an alphanumeric sender id with a letter in it.
fn is_sender(text: &str) -> bool {
    let is_short_code = (3..=8).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_name = text.len() <= 11
        && text.bytes().any(|byte| byte.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" -_+&".contains(&byte));
    is_short_code || is_name
}

fn is_sid(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix)
        .is_some_and(|hex| hex.len() == 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn is_http_url(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

fn is_callback_url(text: &str) -> bool {
    is_http_url(text) && Url::parse(text).is_ok_and(|url| !url.host_str().unwrap_or_default().contains('_'))
}
