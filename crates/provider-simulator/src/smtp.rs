//! An SMTP submission server (RFC 6409), on a listener of its own; what arrived for us, and bounces, are posted as
//! their source, as a mail server's pipe would do it.

mod bounce;
mod mishap;
mod server;
mod session;

use std::sync::Arc;

use http::StatusCode;

use crate::account::Account;
use crate::answer::{self, Whole};
use crate::demo::{DEMO_SMTP_PASSWORD, DEMO_SMTP_USER};
use crate::http_call::HttpCall;
use crate::kind::{Hook, Inbound, Outline, Protocol, Reading};
use crate::mail;
use crate::message::{Accepted, Stage};
use crate::numbers::mailbox;
use crate::post::Post;
use crate::simulator::Shared;

pub(crate) use server::serve;

const NAME: &str = "smtp";

#[derive(Debug)]
pub(crate) struct Smtp;

impl Protocol for Smtp {
    fn name(&self) -> &'static str {
        NAME
    }

    fn demo_account(&self) -> Account {
        Account {
            kind: NAME.to_owned(),
            name: DEMO_SMTP_USER.to_owned(),
            secret: DEMO_SMTP_PASSWORD.to_owned(),
            ..Account::default()
        }
    }

    /// None: what is sent does not come by HTTP.
    fn send_paths(&self) -> &'static [&'static str] {
        &[]
    }

    fn authenticate(&self, _shared: &Shared, _call: &HttpCall) -> Result<usize, Whole> {
        Err(self.error(StatusCode::NOT_FOUND, None, None))
    }

    fn read(&self, _call: &HttpCall) -> Reading {
        Reading::refused(self.error(StatusCode::NOT_FOUND, None, None))
    }

    fn answer(&self, _account: &Account, _messages: &[Arc<Accepted>]) -> Whole {
        self.error(StatusCode::NOT_FOUND, None, None)
    }

    fn error(&self, status: StatusCode, _code: Option<&str>, _message: Option<&str>) -> Whole {
        answer::with_body(status.as_u16(), "text/plain", "SMTP is not spoken here\n")
    }

    /// One for all recipients: what the server calls it in its queue.
    fn ids(&self, shared: &Shared, outlines: &[Outline]) -> Vec<String> {
        vec![shared.hex_id()[..12].to_uppercase(); outlines.len()]
    }

    fn inbound_id(&self, hex: &str, _has_media: bool) -> String {
        format!("{hex}@simulator.invalid")
    }

    fn receipts(&self, hook: &Hook<'_>, messages: &[&Accepted]) -> Vec<Post> {
        let bounced = messages.iter().filter_map(|message| match message.stage() {
            Stage::Undelivered(code) => Some((message, code)),
            // Nobody reports a mail that went well, unless asked.
            _ => None,
        });
        bounced
            .flat_map(|(message, code)| {
                let source = bounce::source(message, code, hook.now());
                hook.copies(message, post(hook, message.field("return-path"), source))
            })
            .collect()
    }

    fn inbound(&self, hook: &Hook<'_>, inbound: &Inbound<'_>) -> Post {
        post(hook, mailbox(inbound.to), mail::source(inbound))
    }

    fn arrived_as(&self, message: &Accepted) -> String {
        message.field("Message-ID").to_owned()
    }
}

/// The source as it is; whose mailbox it was for stands in the URL, for the envelope is lost otherwise.
fn post(hook: &Hook<'_>, to: &str, source: String) -> Post {
    let separator = if hook.url.contains('?') { '&' } else { '?' };
    let to = form_urlencoded::Serializer::new(String::new()).append_pair("to", to).finish();
    Post::new(&format!("{}{separator}{to}", hook.url), "message/rfc822", source)
}
