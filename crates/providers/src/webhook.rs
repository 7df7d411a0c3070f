//! What comes in from a provider: inbound messages and receipts, in our words.

use std::borrow::Cow;

use http::header::AsHeaderName;
use http::{HeaderMap, Method};
use jiff::Timestamp;
use model::{Channel, Delivery};
use uuid::Uuid;

/// A webhook as it arrived.
#[derive(Clone, Debug)]
pub struct WebhookRequest<'a> {
    pub method: &'a Method,
    /// The whole URL as the provider was told it, query included: built from the configured public URL, never
    /// from a proxy's headers.
    pub url: &'a str,
    pub headers: &'a HeaderMap,
    pub body: &'a [u8],
    pub now: Timestamp,
    /// Documents that this adapter asked for by [`WebhookError::Needs`], in this delivery's earlier calls.
    pub fetched: &'a [Fetched],
}

/// A document that a webhook needs before it can be verified or understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    pub url: String,
    pub body: Vec<u8>,
}

impl<'a> WebhookRequest<'a> {
    /// The header's text. Nothing where it is missing, or is no text.
    pub(crate) fn header(&self, name: impl AsHeaderName) -> Option<&'a str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The document of this address, if it was fetched already.
    pub fn document(&self, url: &str) -> Option<&'a [u8]> {
        self.fetched.iter().find(|document| document.url == url).map(|document| document.body.as_slice())
    }
}

/// What a verified webhook says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Webhook {
    pub inbound: Vec<InboundMessage>,
    pub receipts: Vec<Receipt>,
    pub reply: WebhookReply,
    /// An address at the provider that is to be called once, by GET: that confirms a subscription.
    pub confirm: Option<String>,
}

/// The 200 that the provider wants to see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebhookReply {
    /// Empty: no body.
    pub content_type: &'static str,
    /// Fixed mostly; some providers want to read back a word of theirs.
    pub body: Cow<'static, str>,
}

/// A message that somebody sent us. Addresses are as the provider wrote them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboundMessage {
    /// Unique at this provider: deliveries of the same id are the same message.
    pub provider_message_id: String,
    pub channel: Channel,
    pub from: String,
    pub to: String,
    pub subject: Option<String>,
    pub body: String,
    /// http(s) URLs at the provider.
    pub attachments: Vec<String>,
    /// Attachments whose bytes came along.
    pub files: Vec<File>,
    /// Further attachments that are in none of these lists. The last of `files` is then the source that holds them.
    pub omitted_files: usize,
    pub timestamp: Option<Timestamp>,
}

/// An attachment's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// No folder, never empty.
    pub filename: String,
    pub content_type: String,
    pub bytes: Vec<u8>,
}

/// The provider's later word about a message that we sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Ours, where the receipt brings it back.
    pub message_id: Option<Uuid>,
    /// The attempt that it belongs to, where the receipt brings it back.
    pub attempt: Option<u32>,
    pub provider_message_id: Option<String>,
    /// Pending, Sent, Undelivered, Delivered or Read.
    pub delivery: Delivery,
    /// The provider's own code or word, as it gave it.
    pub provider_code: Option<String>,
    /// For people; no address, no text of the message.
    pub detail: Option<String>,
    /// Whether an undelivered message might be delivered on another try.
    pub temporary: bool,
    pub timestamp: Option<Timestamp>,
}

/// Why a webhook is not taken. The sentences say what the operator should look at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// It does not prove that the provider sent it.
    #[error("not verified: {0}")]
    Unverified(String),
    /// It is verified, or is not to be, but cannot be understood. Never said before it is verified: what is kept for
    /// this reason is taken in later without being verified again.
    #[error("not understood: {0}")]
    Unparsable(String),
    /// The document of this https address is needed first; the adapter vouches for its host. By http only where the
    /// provider is configured on this machine.
    #[error("a document is needed first")]
    Needs(String),
}

/// For [`check_head`](crate::Provider::check_head) of kinds whose signature covers the body.
///
/// # Errors
/// [`WebhookError::Unverified`] where none of these headers is there.
pub(crate) fn require_one_of(head: &WebhookRequest<'_>, names: &[&str]) -> Result<(), WebhookError> {
    if names.iter().any(|name| head.headers.contains_key(*name)) {
        return Ok(());
    }
    Err(unverified(format!("the header {} is missing", names.join(" or "))))
}

pub(crate) fn unverified(why: impl Into<String>) -> WebhookError {
    WebhookError::Unverified(why.into())
}

pub(crate) fn unparsable(why: impl Into<String>) -> WebhookError {
    WebhookError::Unparsable(why.into())
}
