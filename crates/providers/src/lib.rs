//! Provider kinds: pure functions over bytes. Nothing here opens a socket, reads a clock or waits; what it needs
//! comes in, what it wants done goes out. So an adapter is total, fuzzable, and tested from files.
//!
//! Adding a kind: one source file, one line in [`KINDS`], one folder of fixtures, one page in `docs/providers/`.

mod base_url;
mod call;
mod callback;
mod credentials;
mod download;
mod email;
mod error_codes;
mod form_data;
mod hex;
mod hmac_sha256;
mod http_call;
mod inbound_text;
mod json_field;
mod jwt;
mod kind;
mod media_type;
mod response_class;
pub mod rotation;
mod run_together;
mod settings;
mod shared_secret;
mod signed_at;
mod standard_webhooks;
mod text_message;
mod wait;
mod webhook;

mod bandwidth;
mod bird;
mod http;
mod infobip;
mod mailgun;
mod messagebird;
mod plivo;
mod postmark;
mod resend;
mod sendgrid;
mod ses;
mod sinch;
mod smtp;
mod telnyx;
mod twilio;
mod vonage;
mod whatsapp;

#[cfg(test)]
mod properties;

pub use call::{Answer, Call, SmtpReply, SmtpSecurity, SmtpServer, SmtpStage, Submission};
pub use email::html::{is_html, to_text as html_to_text};
pub use email::message_id_of;
pub use email::received::message_id_in;
pub use error_codes::{Class, UnknownClass};
pub use kind::{Kind, Outgoing, Provider};
pub use settings::{Settings, SettingsError};
pub use webhook::{
    Fetched, File, InboundMessage, Receipt, Webhook, WebhookError, WebhookReply, WebhookRequest,
};

/// Every kind that the platform speaks.
pub const KINDS: &[Kind] = &[
    bandwidth::KIND,
    bird::KIND,
    http::KIND,
    infobip::KIND,
    mailgun::KIND,
    messagebird::KIND,
    plivo::KIND,
    postmark::KIND,
    resend::KIND,
    sendgrid::KIND,
    ses::KIND,
    sinch::KIND,
    smtp::KIND,
    telnyx::KIND,
    twilio::KIND,
    vonage::KIND,
    whatsapp::KIND,
];

/// The kind of that name.
pub fn kind(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == name)
}
