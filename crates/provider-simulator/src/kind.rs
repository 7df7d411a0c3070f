//! A kind of provider: what the simulator has to know to speak its protocol. A kind is one file (and a folder, once
//! it grows) that implements [`Protocol`], and one line in [`KINDS`]; nothing else knows any kind by its name.

use std::fmt;
use std::sync::Arc;

use axum::Router;
use http::StatusCode;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::account::Account;
use crate::answer::Whole;
use crate::digest;
use crate::http_call::HttpCall;
use crate::mail::File;
use crate::message::Accepted;
use crate::numbers;
use crate::options::Options;
use crate::post::{Post, PostResult};
use crate::simulator::Shared;

/// Every kind, a line each, in alphabetical order.
pub(crate) static KINDS: &[&dyn Protocol] = &[
    &crate::bandwidth::Bandwidth,
    &crate::bird::Bird,
    &crate::http::Http,
    &crate::infobip::Infobip,
    &crate::mailgun::Mailgun,
    &crate::messagebird::Messagebird,
    &crate::plivo::Plivo,
    &crate::postmark::Postmark,
    &crate::resend::Resend,
    &crate::sendgrid::Sendgrid,
    &crate::ses::Ses,
    &crate::sinch::Sinch,
    &crate::smtp::Smtp,
    &crate::telnyx::Telnyx,
    &crate::twilio::Twilio,
    &crate::vonage::Vonage,
    &crate::whatsapp::Whatsapp,
];

/// What a provider's side of its protocol consists of.
pub(crate) trait Protocol: fmt::Debug + Send + Sync {
    /// The word for it in rules, in the ledger and in configurations.
    fn name(&self) -> &'static str;

    /// The account of a simulator that was told of none.
    fn demo_account(&self) -> Account;

    /// Where messages are sent by POST, as the router writes paths.
    fn send_paths(&self) -> &'static [&'static str];

    /// Who calls, as an index into the kind's accounts; or the answer to a stranger.
    fn authenticate(&self, shared: &Shared, call: &HttpCall) -> Result<usize, Whole>;

    /// What the call asks for, as far as it can be told, and the answer if that is refused.
    fn read(&self, call: &HttpCall) -> Reading;

    /// The answer to a call whose messages were accepted. The same for the same messages, whatever became of them.
    fn answer(&self, account: &Account, messages: &[Arc<Accepted>]) -> Whole;

    /// An error in the provider's words: what is not given is what this provider says with this status.
    fn error(&self, status: StatusCode, code: Option<&str>, message: Option<&str>) -> Whole;

    /// The calls that report the stage that each message has reached, copies included. None where this provider
    /// does not report that stage.
    fn receipts(&self, hook: &Hook<'_>, messages: &[&Accepted]) -> Vec<Post>;

    /// The call that brings a message to us. The same bytes for the same message, signature and time aside.
    fn inbound(&self, hook: &Hook<'_>, inbound: &Inbound<'_>) -> Post;

    fn accounts(&self, options: &Options) -> Vec<Account> {
        let told = options.accounts.iter().filter(|account| account.kind == self.name());
        let told: Vec<Account> = told.cloned().collect();
        if told.is_empty() { vec![self.demo_account()] } else { told }
    }

    /// Whatever this provider serves besides.
    fn other_routes(&self) -> Router<Arc<Shared>> {
        Router::new()
    }

    /// The provider's id of each message of a call.
    fn ids(&self, shared: &Shared, outlines: &[Outline]) -> Vec<String> {
        outlines.iter().map(|_| shared.uuid().to_string()).collect()
    }

    /// The id of an inbound message, from 32 hexadecimal digits that are its own.
    fn inbound_id(&self, hex: &str, _has_media: bool) -> String {
        Uuid::parse_str(hex).unwrap_or_default().to_string()
    }

    /// The Message-ID, without brackets, under which a mail of ours arrived.
    fn arrived_as(&self, message: &Accepted) -> String {
        format!("{}@simulator.invalid", message.provider_message_id)
    }

    /// Where receipts go.
    fn receipt_url(&self, account: &Account, message: &Accepted) -> Option<String> {
        let own = message.callback_url.as_deref().map(str::to_owned);
        own.or_else(|| account.webhook_url.as_ref().map(|url| url.as_str().to_owned()))
    }

    /// Where inbound messages go; `last` is a message of the account, so that its callback tells who listens.
    fn inbound_url(&self, account: &Account, last: Option<&Accepted>) -> Option<String> {
        let configured = account.inbound_url.as_ref().or(account.webhook_url.as_ref());
        configured.map(|url| url.as_str().to_owned()).or_else(|| {
            let url = last?.callback_url.as_deref()?;
            Some(numbers::base_of_url(url))
        })
    }

    /// Whether the provider leaves it at this answer to a webhook. Else it tries again.
    fn is_taken(&self, result: &PostResult) -> bool {
        result.as_ref().is_ok_and(StatusCode::is_success)
    }

    /// Whether receipts of several messages may share a call.
    fn batches_receipts(&self) -> bool {
        false
    }

    /// What a repeated Idempotency-Key is answered when the body is another. None: there are no such keys here.
    fn key_conflict(&self) -> Option<Whole> {
        None
    }

    /// The headers that tell a wait other than by `Retry-After`.
    fn rate_limit_headers(&self, _retry_after_s: u64, until_unix_s: u64) -> Vec<(&'static str, String)> {
        vec![
            ("x-ratelimit-limit", "600".to_owned()),
            ("x-ratelimit-remaining", "0".to_owned()),
            ("x-ratelimit-reset", until_unix_s.saturating_add(1).to_string()),
        ]
    }
}

/// What a call asks for.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    /// One per recipient. Of a refused call, whatever could be read.
    pub messages: Vec<Outline>,
    /// The answer if nothing is to be accepted: a refusal, or a success that sends nothing.
    pub answer: Option<Whole>,
}

impl Reading {
    pub(crate) fn checked(messages: Vec<Outline>, checked: Result<(), Whole>) -> Self {
        Self { messages, answer: checked.err() }
    }

    pub(crate) fn refused(answer: Whole) -> Self {
        Self { messages: Vec::new(), answer: Some(answer) }
    }
}

/// A message as it was asked for: what all kinds have in common.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outline {
    /// A number is written with its plus, whatever the protocol does.
    pub from: String,
    pub to: String,
    pub channel: &'static str,
    pub subject: Option<String>,
    pub body: String,
    /// URLs, or the names of a mail's files.
    pub media: Vec<String>,
    /// The sender's own id and attempt.
    pub reference: (Option<Uuid>, Option<u32>),
    pub callback_url: Option<String>,
    /// Twilio's.
    pub messaging_service_sid: Option<String>,
    /// What the receipts bring back.
    pub event_fields: Map<String, Value>,
}

/// What receipts bring back, without what is missing.
pub(crate) fn fields<const N: usize>(pairs: [(&str, Value); N]) -> Map<String, Value> {
    let there = pairs.into_iter().filter(|(_, value)| !value.is_null() && value != "");
    there.map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Where a webhook goes and on whose behalf.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hook<'a> {
    pub shared: &'a Shared,
    pub account: &'a Account,
    pub url: &'a str,
}

impl Hook<'_> {
    pub(crate) fn now(&self) -> jiff::Timestamp {
        self.shared.options.clock.now()
    }

    /// With the user and password that the account's webhooks bring, unless the URL has its own.
    pub(crate) fn with_basic(&self, post: Post) -> Post {
        let authority = self.url.split('/').nth(2).unwrap_or_default();
        if self.account.signing_key.is_empty() || authority.contains('@') {
            return post;
        }
        post.with("authorization", format!("Basic {}", digest::base64(self.account.signing_key.as_bytes())))
    }

    /// A receipt as often as the message's faults want it.
    pub(crate) fn copies(&self, message: &Accepted, post: Post) -> Vec<Post> {
        vec![post; message.plan.copies as usize + 1]
    }
}

/// A message that somebody writes to us.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inbound<'a> {
    /// As [`Protocol::inbound_id`] makes it; for a mail whose protocol has no other id, its Message-ID.
    pub id: &'a str,
    pub in_reply_to: Option<&'a str>,
    pub from: &'a str,
    pub to: &'a str,
    pub subject: &'a str,
    pub body: &'a str,
    pub html: Option<&'a str>,
    pub media: &'a [String],
    pub files: &'a [File],
    pub date: jiff::Timestamp,
    /// As MIME source, where the kind has a choice.
    pub raw: Option<bool>,
}

/// Which provider is being spoken: one of [`KINDS`].
#[derive(Clone, Copy)]
pub struct Kind(&'static dyn Protocol);

impl Kind {
    /// Every kind that the simulator speaks.
    pub fn all() -> impl Iterator<Item = Self> {
        KINDS.iter().map(|protocol| Self(*protocol))
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::all().find(|kind| kind.as_str() == name)
    }

    pub fn as_str(self) -> &'static str {
        self.0.name()
    }

    /// The account with which a simulator starts that is told of none.
    pub fn demo_account(self) -> Account {
        self.0.demo_account()
    }

    pub(crate) fn protocol(self) -> &'static dyn Protocol {
        self.0
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Kind {}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::named(&name).ok_or_else(|| {
            let known: Vec<&str> = Self::all().map(Self::as_str).collect();
            serde::de::Error::custom(format_args!("`{name}` is not one of {}", known.join(", ")))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_in_order_and_have_an_account_of_their_own() {
        assert!(KINDS.windows(2).all(|pair| pair[0].name() < pair[1].name()));
        for kind in Kind::all() {
            assert_eq!(kind.demo_account().kind, kind.as_str());
        }
    }
}
