//! Delivery status notifications (RFC 3464): what became of a mail of ours, told by a mail. Anybody can write one;
//! it counts only where it knows a message id, which the recipient and the mail servers on its way alone were told.

use jiff::Timestamp;
use model::Delivery;
use uuid::Uuid;

use super::inbound::read_header;
use super::status;
use super::structure::{Fields, Structure};
use crate::Receipt;
use crate::callback;
use crate::inbound_text::{code_word, our_reference};

/// Our mails have one recipient; a report that tells of more is nothing to go through at length.
const RECIPIENTS_MAX: usize = 10;

/// Whether a mail of these fields is a report.
pub(super) fn is_report(mail: &Fields) -> bool {
    mail.is("multipart", "report")
        && mail.report_type.as_deref().is_none_or(|report| report.eq_ignore_ascii_case("delivery-status"))
}

/// What a report says. Nothing where it is about a mail that is not ours.
pub(super) fn receipts(mail: &Structure<'_>, date: Option<Timestamp>) -> Vec<Receipt> {
    let Some(report) = mail.parts.iter().find(|part| part.fields.is("message", "delivery-status")) else {
        return Vec::new();
    };
    let report = report.bytes();
    let report = String::from_utf8_lossy(&report);
    let mut groups = groups(&report);
    let about_the_mail = groups.next().unwrap_or_default();
    let (message_id, attempt) =
        match field(&about_the_mail, "original-envelope-id").map(callback::in_reference) {
            Some((Some(message_id), attempt)) => (Some(message_id), attempt),
            _ => (returned_message_id(mail), None),
        };
    if message_id.is_none() {
        return Vec::new();
    }
    let receipts = groups.take(RECIPIENTS_MAX).filter_map(|group| {
        let verdict = Verdict::of(&group)?;
        Some(Receipt {
            message_id,
            attempt,
            provider_message_id: None,
            delivery: verdict.delivery,
            provider_code: verdict.status,
            detail: verdict.detail,
            temporary: verdict.temporary,
            timestamp: date,
        })
    });
    receipts.collect()
}

/// From the mail, or its header, that the report brings back: `<{our id}@{domain}>`.
fn returned_message_id(mail: &Structure<'_>) -> Option<Uuid> {
    let is_returned = |fields: &Fields| {
        fields.is("message", "rfc822")
            || fields.is("message", "global")
            || fields.is("text", "rfc822-headers")
    };
    let mut returned = mail.parts.iter().rev().filter(|part| is_returned(&part.fields));
    let returned = returned.find_map(|part| read_header(&part.bytes()).message_id)?;
    let (id, _domain) = returned.trim_matches(['<', '>']).split_once('@')?;
    our_reference(id, None).0
}

/// A block of fields: their names in lower case, their values unfolded.
type Group<'a> = Vec<(String, String)>;

fn groups(report: &str) -> impl Iterator<Item = Group<'_>> {
    let mut lines = report.lines().peekable();
    std::iter::from_fn(move || {
        while lines.next_if(|line| line.trim().is_empty()).is_some() {}
        lines.peek()?;
        let mut group = Group::new();
        while let Some(line) = lines.next_if(|line| !line.trim().is_empty()) {
            match (line.starts_with([' ', '\t']), group.last_mut(), line.split_once(':')) {
                (true, Some((_, value)), _) => value.push_str(&format!(" {}", line.trim())),
                (_, _, Some((name, value))) => {
                    group.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
                }
                _ => {}
            }
        }
        Some(group)
    })
}

fn field<'a>(group: &'a Group<'_>, name: &str) -> Option<&'a str> {
    group.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
}

/// What a report says about one recipient.
struct Verdict {
    delivery: Delivery,
    status: Option<String>,
    detail: Option<String>,
    temporary: bool,
}

impl Verdict {
    fn of(group: &Group<'_>) -> Option<Self> {
        let action = field(group, "action")?.split_whitespace().next()?.to_ascii_lowercase();
        // `smtp; 550 5.1.1 <ann@example.net>: no such user`: codes are kept, the text is not.
        let diagnostic = field(group, "diagnostic-code").and_then(|text| text.split_once(';'));
        let diagnostic = diagnostic.map(|(_, text)| text.trim()).unwrap_or_default();
        let (reply, rest) = diagnostic.split_once([' ', '-']).unwrap_or((diagnostic, ""));
        let in_diagnostic = || status::leading(diagnostic).or_else(|| status::leading(rest));
        let reply = || code_word(reply).filter(|code| code.len() == 3 && code.parse::<u16>().is_ok());
        let told = field(group, "status").and_then(status::leading);
        // Many servers put x.0.0 here, and what they mean into the diagnostic.
        let told = match told {
            Some(told) if told.ends_with(".0.0") => in_diagnostic().or(Some(told)),
            told => told.or_else(in_diagnostic).or_else(reply),
        };
        let meaning = told.as_deref().map_or("the mail was refused", status::meaning);
        let (delivery, detail) = match action.as_str() {
            "failed" => (Delivery::Undelivered, Some(format!("bounced: {meaning}"))),
            "delayed" => (Delivery::Pending, Some("delayed: the mail server goes on trying".to_owned())),
            "delivered" => (Delivery::Delivered, None),
            "relayed" | "expanded" => (Delivery::Sent, None),
            _ => return None,
        };
        let temporary =
            delivery == Delivery::Undelivered && told.as_deref().is_some_and(|told| told.starts_with('4'));
        Some(Self { delivery, status: told, detail, temporary })
    }
}
