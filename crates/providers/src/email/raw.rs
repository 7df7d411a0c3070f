//! A webhook that brings a mail as its source: a message to each recipient, or a report on mails of ours.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::inbound::{Mail, read_source};
use super::received;
use crate::webhook::unparsable;
use crate::{Webhook, WebhookError};

/// Who sent the mail and to whom, as the servers said it. The header's `To` knows neither bcc nor aliases.
#[derive(Debug, Default)]
pub(crate) struct Envelope {
    pub(crate) from: Option<String>,
    /// Empty where the servers' word is not known: then the first address of the header's `To` stands for it.
    pub(crate) to: Vec<String>,
}

/// # Errors
/// [`WebhookError::Unparsable`].
pub(crate) fn read(raw: &[u8], envelope: Envelope, now: Timestamp) -> Result<Webhook, WebhookError> {
    let source = match read_source(raw) {
        Some(Mail::Message(source)) => source,
        Some(Mail::Report(receipts)) => return Ok(Webhook { receipts, ..Webhook::default() }),
        None => return Err(unparsable("it is no mail")),
    };
    let recipients: BTreeSet<String> = envelope.to.into_iter().collect();
    let inbound = received::messages(&source, envelope.from, recipients, &[raw], now)?;
    Ok(Webhook { inbound, ..Webhook::default() })
}
