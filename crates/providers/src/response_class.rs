//! What an HTTP answer means where its body says nothing that a kind knows. Never used for a 2xx.

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use jiff::Timestamp;
use model::{Outcome, Reason};

use crate::error_codes::ErrorCodes;
use crate::wait::retry_after;

/// The outcome by the provider's own code where the table knows it, else by status.
pub(crate) fn by_code(
    response: &Response<Bytes>,
    codes: &ErrorCodes,
    code: Option<String>,
    reset_header: Option<&str>,
    now: Timestamp,
) -> Outcome {
    let (status, headers) = (response.status(), response.headers());
    match code.as_deref().and_then(|code| codes.find(code)) {
        // A redirect is never the provider's verdict, and 429 is one whatever the code.
        Some(known) if !status.is_redirection() && status.as_u16() != 429 => {
            known.outcome(retry_after(headers, None, now))
        }
        _ => by_status(status, headers, reset_header, code, now),
    }
}

/// The outcome by status alone. The provider's own code, where there is none, is the status.
pub(crate) fn by_status(
    status: StatusCode,
    headers: &HeaderMap,
    reset_header: Option<&str>,
    provider_code: Option<String>,
    now: Timestamp,
) -> Outcome {
    let detail = match &provider_code {
        Some(code) => format!("HTTP {}, code {code}", status.as_u16()),
        None => format!("HTTP {}", status.as_u16()),
    };
    let provider_code = provider_code.or_else(|| Some(status.as_str().to_owned()));
    let rejected =
        |reason, detail| Outcome::Rejected { reason, provider_code: provider_code.clone(), detail };
    match status.as_u16() {
        300..=399 => rejected(
            Reason::Configuration,
            format!("{detail}: the provider redirects, and credentials are not sent on; correct base_url"),
        ),
        401 | 407 => Outcome::Halted { provider_code, detail: format!("{detail}: check the credentials") },
        // Providers answer so for one recipient or one sender as well as for an account.
        403 => Outcome::Forbidden {
            provider_code,
            detail: format!(
                "{detail}: not allowed; check the recipient, the sender and the account's permissions"
            ),
        },
        402 => Outcome::Halted { provider_code, detail: format!("{detail}: check the account's credit") },
        404 | 405 => {
            rejected(Reason::Configuration, format!("{detail}: check base_url and the account's identifiers"))
        }
        413 => rejected(Reason::ContentRejected, format!("{detail}: the message is too large")),
        429 => Outcome::Throttled { retry_after: retry_after(headers, reset_header, now), provider_code },
        // Not processed, but unlike 429 no promise that waiting helps: each try counts.
        408 | 423 | 425 | 500..=599 => Outcome::Unavailable {
            retry_after: retry_after(headers, reset_header, now),
            provider_code,
            detail,
        },
        400..=499 => rejected(Reason::Rejected, detail),
        _ => Outcome::Uncertain { reason: Reason::UnreadableAnswer, detail },
    }
}

/// An answer of success that cannot be read may not come from the provider at all, or may: nobody knows whether it has
/// the message. `what` says what is missing or wrong.
pub(crate) fn unreadable(status: u16, what: &str) -> Outcome {
    Outcome::Uncertain { reason: Reason::UnreadableAnswer, detail: format!("HTTP {status} {what}") }
}
