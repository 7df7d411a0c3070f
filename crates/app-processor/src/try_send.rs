//! One message straight through a provider, for an operator who wants to see that it works: the processor's own call, and
//! nothing of what surrounds it. It is in no outbox, so nothing retries it; its receipts are about no message of ours.

use std::time::Duration;

use model::{Channel, Endpoint, Outcome};
use providers::Outgoing;
use service::{Clock, ProviderConfig};
use tokio::time::Instant;
use uuid::Uuid;

use crate::StartError;
use crate::send::Transports;

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub struct Trial<'a> {
    /// Of no message that is stored.
    pub message_id: Uuid,
    pub channel: Channel,
    pub from: &'a Endpoint,
    pub to: &'a Endpoint,
    pub subject: Option<&'a str>,
    pub body: &'a str,
}

/// Sends it, now and for real; what the provider answered, and how long that took.
///
/// # Errors
/// When there can be no client for the provider; nothing was sent then.
pub async fn try_send(
    provider: &ProviderConfig,
    public_url: &str,
    trial: Trial<'_>,
    clock: &Clock,
) -> Result<(Outcome, Duration), StartError> {
    let transports = Transports::new(provider)
        .map_err(|problem| StartError::Client { id: provider.id.clone(), problem })?;
    let webhook_url = format!("{public_url}/api/webhooks/{}", provider.id);
    let outgoing = Outgoing {
        message_id: trial.message_id,
        attempt: 1,
        channel: trial.channel,
        from: trial.from,
        to: trial.to,
        subject: trial.subject,
        body: trial.body,
        attachments: &[],
        files: &[],
        in_reply_to: None,
        references: &[],
        webhook_url: &webhook_url,
        now: clock.now(),
    };
    let began = Instant::now();
    let outcome = transports.call(provider, &outgoing, clock).await.unwrap_or_else(|refusal| refusal);
    Ok((outcome, began.elapsed()))
}
