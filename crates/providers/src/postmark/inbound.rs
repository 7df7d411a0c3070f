//! Inbound mail, taken apart by Postmark (https://postmarkapp.com/developer/webhooks/inbound-webhook). Its source comes
//! along where the server is set so, and is then what is read.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use serde_json::Value;

use crate::email::inbound::{
    self as inbound_email, FILES_MAX, Files, Mail, Source, address_in, file_name, json_file, media_type,
};
use crate::email::received;
use crate::inbound_text::storable;
use crate::{File, Webhook, WebhookError};

/// # Errors
/// [`WebhookError::Unparsable`].
pub(super) fn read(post: &Value, body: &[u8], now: Timestamp) -> Result<Webhook, WebhookError> {
    let text = |name: &str| post[name].as_str().filter(|text| !text.trim().is_empty());
    let source = match text("RawEmail").and_then(|raw| inbound_email::read_source(raw.as_bytes())) {
        Some(Mail::Message(source)) => source,
        Some(Mail::Report(receipts)) => return Ok(Webhook { receipts, ..Webhook::default() }),
        None => as_source(post, body)?,
    };
    let from = post["FromFull"]["Email"].as_str().map(str::to_owned);
    let from = from.or_else(|| address_in(text("From")?));
    // The envelope's; `To` is what the header says.
    let recipients: BTreeSet<String> = text("OriginalRecipient").map(str::to_owned).into_iter().collect();
    // `MessageID` is Postmark's own, and the same in every delivery.
    let identity = text("MessageID").unwrap_or_default().as_bytes();
    let inbound = received::messages(&source, from, recipients, &[identity], now)?;
    Ok(Webhook { inbound, ..Webhook::default() })
}

fn as_source(post: &Value, source: &[u8]) -> Result<Source, WebhookError> {
    let text = |name: &str| post[name].as_str().filter(|text| !text.trim().is_empty());
    let line = |name: &str, value: &str| format!("{name}: {}\r\n", value.replace(['\r', '\n'], " "));
    let mut block: String = list(&post["Headers"])
        .filter_map(|header| Some(line(header["Name"].as_str()?, header["Value"].as_str()?)))
        .collect();
    block.extend(text("Date").map(|date| line("Date", date)));
    let mut header = inbound_email::read_header(block.as_bytes());
    header.subject = text("Subject").map(storable);
    header.to = list(&post["ToFull"]).filter_map(|to| to["Email"].as_str()).map(storable).collect();
    let body = text("TextBody").or_else(|| text("HtmlBody")).map(storable).unwrap_or_default();
    let count = list(&post["Attachments"]).count();
    let files: Vec<File> = list(&post["Attachments"]).take(FILES_MAX).map(file).collect::<Result<_, _>>()?;
    let files = Files::bounded(count, files.into_iter(), || json_file(source));
    Ok(Source { header, body, files })
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The bytes are in `Content`; Postmark's own sample has them in `Data`.
fn file(attachment: &Value) -> Result<File, WebhookError> {
    let base64 = attachment["Content"].as_str().or_else(|| attachment["Data"].as_str()).unwrap_or_default();
    let bytes = BASE64
        .decode(base64)
        .map_err(|_| WebhookError::Unparsable("the bytes of an attachment are not base64".to_owned()))?;
    Ok(File {
        filename: file_name(attachment["Name"].as_str()),
        content_type: media_type(attachment["ContentType"].as_str()),
        bytes,
    })
}
