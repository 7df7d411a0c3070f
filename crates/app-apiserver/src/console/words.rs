//! States, times and addresses as pages show them. A state is told in words and never by colour alone.

use jiff::Timestamp;
use maud::{Markup, html};
use model::{Delivery, Direction, Message, Status};

use crate::times;

/// What a state calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Waiting,
    Bad,
    Quiet,
}

impl Tone {
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Waiting => "waiting",
            Self::Bad => "bad",
            Self::Quiet => "quiet",
        }
    }
}

/// Where a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub word: &'static str,
    /// As messengers write it.
    pub ticks: &'static str,
    pub tone: Tone,
}

pub(super) fn place(direction: Direction, status: Status, delivery: Delivery) -> Place {
    let (word, ticks, tone) = match (direction, status, delivery) {
        (Direction::Inbound, ..) => ("received", "", Tone::Quiet),
        (_, Status::Outbox, _) => ("queued", "○", Tone::Waiting),
        (_, Status::Retry, Delivery::Unknown) => ("held", "?", Tone::Bad),
        (_, Status::Retry, _) => ("retrying", "↻", Tone::Waiting),
        (_, Status::Failed, _) => ("failed", "✕", Tone::Bad),
        (_, Status::Ok, Delivery::Undelivered) => ("undelivered", "✕", Tone::Bad),
        (_, Status::Ok, Delivery::Delivered) => ("delivered", "✓✓", Tone::Good),
        (_, Status::Ok, Delivery::Read) => ("read", "✓✓", Tone::Good),
        (_, Status::Ok, Delivery::Unknown) => ("sent, no receipt", "✓?", Tone::Quiet),
        (_, Status::Ok, _) => ("sent", "✓", Tone::Quiet),
    };
    Place { word, ticks, tone }
}

pub(super) fn place_of(message: &Message, now: Timestamp) -> Place {
    if message.is_canceled() {
        return Place { word: "canceled", ticks: "✕", tone: Tone::Quiet };
    }
    if message.status == Status::Outbox && message.next_attempt_at.is_some_and(|next| next > now) {
        return Place { word: "scheduled", ticks: "○", tone: Tone::Quiet };
    }
    place(message.direction, message.status, message.delivery)
}

pub(super) fn chip(place: Place) -> Markup {
    html! {
        span class={ "chip " (place.tone.class()) } {
            @if !place.ticks.is_empty() { span aria-hidden="true" { (place.ticks) } " " }
            (place.word)
        }
    }
}

/// How long ago, coarsely: a page that is kept up to date should not change for the time's sake alone.
pub(super) fn ago(time: Timestamp, now: Timestamp) -> Markup {
    let seconds = now.duration_since(time).as_secs();
    let text = if seconds < -59 { format!("in {}", span(-seconds)) } else { since(seconds) };
    html! { time datetime=(times::format(time)) title=(exact(time)) { (text) } }
}

fn since(seconds: i64) -> String {
    if seconds < 60 { "now".to_owned() } else { format!("{} ago", span(seconds)) }
}

/// `5 min`.
pub(super) fn span(seconds: i64) -> String {
    match seconds {
        ..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// `2026-11-23 08:30:00 UTC`.
pub(super) fn exact(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// `1,234,567`.
pub(super) fn thousands(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::from(if number < 0 { "-" } else { "" });
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `800 B`, `12 kB`, `3 MB`.
pub(super) fn bytes(number: i64) -> String {
    match number {
        ..1_000 => format!("{number} B"),
        1_000..1_000_000 => format!("{} kB", number / 1_000),
        _ => format!("{} MB", number / 1_000_000),
    }
}

/// An email's body as text, without what only a browser understands.
pub(super) fn as_text(body: &str, is_email: bool) -> String {
    if is_email && providers::is_html(body) { providers::html_to_text(body) } else { body.to_owned() }
}

/// At most so many characters, with a sign that there were more.
pub(super) fn cut(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(
            [0, 999, 1_000, 1_234_567, -1_000].map(thousands),
            ["0", "999", "1,000", "1,234,567", "-1,000"]
        );
    }

    #[test]
    fn times_are_told_coarsely() {
        assert_eq!([0, 59, 60, 7_200, 200_000].map(since), ["now", "now", "1 min ago", "2 h ago", "2 d ago"]);
        assert_eq!(exact(Timestamp::UNIX_EPOCH), "1970-01-01 00:00:00 UTC");
    }

    #[test]
    fn every_state_has_a_word() {
        for &status in Status::ALL {
            for &delivery in Delivery::ALL {
                assert!(!place(Direction::Outbound, status, delivery).word.is_empty());
            }
        }
    }

    #[test]
    fn a_cut_text_says_so() {
        assert_eq!(cut("é€x", 2), "é€…");
        assert_eq!(cut("é€x", 3), "é€x");
    }
}
