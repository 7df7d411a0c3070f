//! What a provider kind is: a description, and the three functions that speak its protocol.

use std::fmt;

use bytes::Bytes;
use http::{Request, Response};
use jiff::Timestamp;
use model::{Channel, Endpoint, Outcome};
use uuid::Uuid;

use crate::{Settings, SettingsError, Webhook, WebhookError, WebhookRequest};

/// The protocol that a configured provider speaks.
#[derive(Debug)]
pub struct Kind {
    /// `kind` in the configuration.
    pub name: &'static str,
    pub channels: &'static [Channel],
    /// The provider's real address, where `base_url` is not configured.
    pub base_url: &'static str,
    /// Whether it reports on delivery.
    pub receipts: bool,
    /// Whether it delivers inbound messages.
    pub inbound: bool,
    /// How its webhooks are verified, in words.
    pub signature: &'static str,
    /// Whether its receipts bring back our message id. Otherwise they are matched by the provider's own id.
    pub receipts_carry_our_id: bool,
    /// What `app init` writes below `id`, `kind` and `channels`: the kind's own keys, and in comments where a
    /// person finds their values and enters `{webhook_url}`.
    pub setup: &'static str,
    /// Makes a provider from its configuration; refuses unknown and missing keys.
    pub configure: fn(&Settings) -> Result<Box<dyn Provider>, SettingsError>,
}

/// A message on its way out, as an adapter sees it.
#[derive(Clone, Debug)]
pub struct Outgoing<'a> {
    pub message_id: Uuid,
    /// The number of this attempt, from 1.
    pub attempt: u32,
    pub channel: Channel,
    pub from: &'a Endpoint,
    pub to: &'a Endpoint,
    pub subject: Option<&'a str>,
    pub body: &'a str,
    /// http(s) URLs.
    pub attachments: &'a [String],
    /// Where this provider's webhooks reach us: `{public_url}/api/webhooks/{provider_id}`.
    pub webhook_url: &'a str,
}

/// A configured account of a kind. Total functions: no input makes them panic, and `Debug` shows no secret.
pub trait Provider: fmt::Debug + Send + Sync {
    /// The call that sends this message.
    ///
    /// # Errors
    /// An [`Outcome::Rejected`] where the message can be seen not to fit this provider without asking it.
    fn request(&self, message: &Outgoing<'_>) -> Result<Request<Bytes>, Outcome>;

    /// What an answer to that call means. `now` turns absolute waits into relative ones.
    fn outcome(&self, response: &Response<Bytes>, now: Timestamp) -> Outcome;

    /// What a webhook says, once it is verified.
    ///
    /// # Errors
    /// [`WebhookError`] where it is not from this provider, or cannot be understood.
    fn webhook(&self, request: &WebhookRequest<'_>) -> Result<Webhook, WebhookError>;
}
