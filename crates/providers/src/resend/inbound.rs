//! Inbound mail (https://resend.com/docs/dashboard/receiving/introduction). The event names it; what it says is a
//! document at the API, and its source with the attachments a document that the first one links.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Resend;
use crate::email::inbound::{self as inbound_email, Files, Mail, Source, address_in};
use crate::email::received;
use crate::inbound_text::{code_word, storable};
use crate::webhook::unparsable;
use crate::{Webhook, WebhookError, WebhookRequest};

/// # Errors
/// [`WebhookError::Needs`] for each of the two documents that is not there yet.
pub(super) fn read(
    event: &Value,
    request: &WebhookRequest<'_>,
    resend: &Resend,
) -> Result<Webhook, WebhookError> {
    let id = event["email_id"].as_str().and_then(code_word).ok_or_else(|| unparsable("it names no mail"))?;
    let mail_url = format!("{}/{id}", resend.received_url);
    let mail = request.document(&mail_url).ok_or(WebhookError::Needs(mail_url))?;
    let Ok(Value::Object(mail)) = serde_json::from_slice(mail) else {
        return Err(unparsable("the mail that Resend keeps for it is no JSON object"));
    };
    let mail = Value::Object(mail);
    let source_url = mail["raw"]["download_url"].as_str().filter(|url| resend.has_document(url));
    let source = match source_url {
        Some(url) => {
            let raw = request.document(url).ok_or_else(|| WebhookError::Needs(url.to_owned()))?;
            match inbound_email::read_source(raw) {
                Some(Mail::Message(source)) => source,
                Some(Mail::Report(receipts)) => return Ok(Webhook { receipts, ..Webhook::default() }),
                None => return Err(unparsable("the source of the mail is no mail")),
            }
        }
        None => as_source(&mail),
    };
    let from = event["from"].as_str().and_then(address_in);
    // Whom Resend received it for; a bcc stands nowhere in the source.
    let recipients: BTreeSet<String> =
        list(&event["to"]).chain(list(&event["bcc"])).filter_map(address_in).collect();
    let mut inbound = received::messages(&source, from, recipients, &[id.as_bytes()], request.now)?;
    if source_url.is_none() {
        let link = mail["raw"]["download_url"].as_str().filter(|url| url.starts_with("https://"));
        let has_files = mail["attachments"].as_array().is_some_and(|attachments| !attachments.is_empty());
        for message in inbound.iter_mut().filter(|_| has_files) {
            message.attachments.extend(link.map(str::to_owned));
        }
    }
    Ok(Webhook { inbound, ..Webhook::default() })
}

fn as_source(mail: &Value) -> Source {
    let text = |name: &str| mail[name].as_str().filter(|text| !text.trim().is_empty()).map(storable);
    let line = |name: &str, value: &str| format!("{name}: {}\r\n", value.replace(['\r', '\n'], " "));
    let id = mail["message_id"].as_str().map(|id| line("Message-ID", id));
    let date = mail["headers"]["date"].as_str().map(|date| line("Date", date));
    let mut header = inbound_email::read_header(
        format!("{}{}", id.unwrap_or_default(), date.unwrap_or_default()).as_bytes(),
    );
    header.from = mail["from"].as_str().and_then(address_in);
    header.to = list(&mail["to"]).filter_map(address_in).collect();
    header.subject = text("subject");
    Source {
        header,
        body: text("text").or_else(|| text("html")).unwrap_or_default(),
        files: Files::default(),
    }
}

fn list(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str)
}
