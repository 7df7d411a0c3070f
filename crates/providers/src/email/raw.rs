//! A webhook that brings a mail as its source: a message to each recipient, or a report on mails of ours.

use std::collections::BTreeSet;

use jiff::Timestamp;
use model::Channel;
use sha2::{Digest, Sha256};

use super::inbound::{Mail, believable, read_source, reference};
use crate::hex::hex;
use crate::inbound_text::storable;
use crate::{InboundMessage, Webhook, WebhookError};

const RECIPIENTS_MAX: usize = 100;

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
    let unparsable = |why: &str| WebhookError::Unparsable(why.to_owned());
    let source = match read_source(raw) {
        Some(Mail::Message(source)) => source,
        Some(Mail::Report(receipts)) => return Ok(Webhook { receipts, ..Webhook::default() }),
        None => return Err(unparsable("it is no mail")),
    };
    let from = source.header.from.clone().or(envelope.from).filter(|from| !from.trim().is_empty());
    let from = from.ok_or_else(|| unparsable("the mail names no sender"))?;
    let recipients: BTreeSet<String> = match envelope.to {
        to if to.is_empty() => source.header.to.iter().take(1).cloned().collect(),
        to => to.into_iter().take(RECIPIENTS_MAX).collect(),
    };
    if recipients.is_empty() {
        return Err(unparsable("the mail names no recipient"));
    }
    let inbound = recipients.into_iter().map(|to| InboundMessage {
        provider_message_id: reference(&source.header, &to).unwrap_or_else(|| digest(raw, &to)),
        channel: Channel::Email,
        from: storable(from.as_str()),
        to: storable(to),
        subject: source.header.subject.clone().filter(|subject| !subject.trim().is_empty()),
        body: source.body.clone(),
        attachments: Vec::new(),
        files: source.files.clone(),
        timestamp: believable(source.header.date, now),
    });
    Ok(Webhook { inbound: inbound.collect(), ..Webhook::default() })
}

fn digest(raw: &[u8], to: &str) -> String {
    let hash = Sha256::new().chain_update(to.to_ascii_lowercase()).chain_update([0]).chain_update(raw);
    format!("sha256:{}", hex(&hash.finalize()))
}
