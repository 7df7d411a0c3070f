//! What a provider kind is: a description, and the three functions that speak its protocol.

use std::fmt;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response};
use jiff::Timestamp;
use model::{Channel, Endpoint, Outcome, Reason};
use uuid::Uuid;

use crate::{Answer, Call, File, Settings, SettingsError, SmtpReply, Webhook, WebhookError, WebhookRequest};

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
    /// The keys of the configuration that verify webhooks. Each may have two values while it is rotated.
    pub verification_keys: &'static [&'static str],
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
    /// http(s) URLs that the provider, or the recipient, is to fetch.
    pub attachments: &'a [String],
    /// Attachments that were fetched already, in order: email only. Their URLs are not in `attachments`.
    pub files: &'a [File],
    /// The `Message-ID` of the mail that this one answers, with its angle brackets. Email only.
    pub in_reply_to: Option<&'a str>,
    /// The `Message-ID`s of the conversation so far, oldest first, ending with `in_reply_to`. Email only.
    pub references: &'a [String],
    /// Where this provider's webhooks reach us: `{public_url}/api/webhooks/{provider_id}`.
    pub webhook_url: &'a str,
    /// When this attempt is made, for kinds that sign the time.
    pub now: Timestamp,
}

/// A configured account of a kind. Total functions: no input makes them panic, and `Debug` shows no secret.
pub trait Provider: fmt::Debug + Send + Sync {
    /// The call that sends this message.
    ///
    /// # Errors
    /// An [`Outcome::Rejected`] where the message can be seen not to fit this provider without asking it.
    fn call(&self, message: &Outgoing<'_>) -> Result<Call, Outcome>;

    /// What an answer to that call means. `now` turns absolute waits into relative ones.
    fn outcome(&self, answer: &Answer, now: Timestamp) -> Outcome {
        match answer {
            Answer::Http(response) => self.http_outcome(response, now),
            Answer::Smtp(reply) => self.smtp_outcome(reply),
        }
    }

    /// The half of [`Self::outcome`] that kinds over HTTP write.
    fn http_outcome(&self, _response: &Response<Bytes>, _now: Timestamp) -> Outcome {
        never_asked()
    }

    /// The half of [`Self::outcome`] that kinds over SMTP write.
    fn smtp_outcome(&self, _reply: &SmtpReply) -> Outcome {
        never_asked()
    }

    /// What a webhook says, once it is verified.
    ///
    /// # Errors
    /// [`WebhookError`] where it is not from this provider, cannot be understood, or needs a document first.
    fn webhook(&self, request: &WebhookRequest<'_>) -> Result<Webhook, WebhookError>;

    /// Whether this kind reads a query parameter of this name, besides `message_id` and `attempt`. A rejected webhook is
    /// kept with these only; the values of all others are masked. Never true for a secret's name.
    fn reads_parameter(&self, _name: &str) -> bool {
        false
    }

    /// Refuses by method, URL and headers alone what [`Self::webhook`] refuses whatever the body is, so that the body
    /// need not be read. `head` has an empty body.
    ///
    /// # Errors
    /// [`WebhookError::Unverified`].
    fn check_head(&self, _head: &WebhookRequest<'_>) -> Result<(), WebhookError> {
        Ok(())
    }

    /// The header that fetches a document which [`Self::webhook`] asked for by [`WebhookError::Needs`], where the
    /// provider gives it to nobody else. Never sent on by a redirect.
    fn document_authorization(&self, _url: &str) -> Option<(HeaderName, HeaderValue)> {
        None
    }
}

/// The answer came over a transport that the kind does not call.
fn never_asked() -> Outcome {
    Outcome::Uncertain {
        reason: Reason::UnreadableAnswer,
        detail: "the answer came over a transport that was not called".to_owned(),
    }
}
