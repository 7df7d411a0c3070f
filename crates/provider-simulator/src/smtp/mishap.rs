//! What scripted faults are in SMTP: replies instead of statuses.

use std::time::Duration;

use crate::faults::{Fault, OutageForm};

/// What happens around the reply to the end of a mail's data.
#[derive(Debug, PartialEq)]
pub(super) enum Mishap {
    /// Instead of an accept.
    Refuse(String),
    BreakOff,
    Wait(Duration),
    /// After an accept.
    AcceptThenBreakOff,
    AcceptThenWait(Duration),
    SlowReply(Duration),
    /// A reply that is none.
    Garbage,
    /// Half of a reply, then the end.
    Truncated,
}

pub(super) fn of(fault: &Fault) -> Option<Mishap> {
    let time = |for_s: &f64| Duration::from_secs_f64(*for_s);
    Some(match fault {
        Fault::Throttle { .. } => Mishap::Refuse("450 4.7.0 Too many messages, try again later".to_owned()),
        Fault::Status { status, code, message } => {
            let code = code.as_ref().map(ToString::to_string);
            Mishap::Refuse(reply(*status, code.as_deref(), message.as_deref()))
        }
        Fault::Outage { how: OutageForm::Unavailable, .. } => Mishap::Refuse(reply(503, None, None)),
        Fault::Reset | Fault::Outage { .. } => Mishap::BreakOff,
        Fault::Hang { for_s, accept_first: false } => Mishap::Wait(time(for_s)),
        Fault::Hang { for_s, accept_first: true } => Mishap::AcceptThenWait(time(for_s)),
        Fault::AcceptThenReset => Mishap::AcceptThenBreakOff,
        Fault::SlowBody { for_s } => Mishap::SlowReply(time(for_s)),
        Fault::Garbage => Mishap::Garbage,
        Fault::Truncated => Mishap::Truncated,
        _ => return None,
    })
}

/// With an enhanced code (RFC 3463) the status is the reply itself. Without one those of HTTP that rules and magic
/// recipients share over all kinds become what they mean here.
fn reply(status: u16, code: Option<&str>, message: Option<&str>) -> String {
    let message = message.unwrap_or("The message was refused by a scripted fault").replace(['\r', '\n'], " ");
    let (status, code) = match (status, code) {
        (status, Some(code)) => (status, code.to_owned()),
        (400, None) => (554, "5.6.0".to_owned()),
        (429, None) => (450, "4.7.0".to_owned()),
        (500, None) => (451, "4.3.0".to_owned()),
        (503, None) => (421, "4.3.2".to_owned()),
        (status, None) => (status, format!("{}.0.0", status / 100)),
    };
    format!("{status} {code} {message}")
}

#[cfg(test)]
mod tests {
    use super::reply;

    #[test]
    fn a_status_of_http_becomes_a_reply_and_a_reply_stays() {
        assert_eq!(reply(550, Some("5.1.1"), Some("no")), "550 5.1.1 no");
        assert_eq!(reply(503, None, Some("no")), "421 4.3.2 no");
        assert_eq!(reply(503, Some("5.5.1"), Some("no")), "503 5.5.1 no");
        assert_eq!(reply(452, None, Some("no")), "452 4.0.0 no");
    }
}
