//! The other side of the wire: a server that speaks the providers' protocols, with scripted faults, signed
//! receipts and replies. Must not share code with the adapters in `providers`: a mistake made in both would hide.

mod account;
mod answer;
mod bandwidth;
mod bird;
mod control;
mod demo;
mod digest;
mod documents;
mod faults;
mod http;
mod http_call;
mod idempotency;
mod infobip;
mod kind;
mod ledger;
mod mail;
mod mailgun;
mod media;
mod message;
mod messagebird;
mod mime;
mod multipart;
mod numbers;
mod options;
mod plivo;
mod post;
mod postmark;
mod resend;
mod router;
mod schedule;
mod segments;
mod send;
mod sendgrid;
mod server;
mod ses;
mod sign;
mod simulator;
mod sinch;
mod smtp;
mod telnyx;
mod twilio;
mod vonage;
mod whatsapp;

pub use account::{Account, AccountError};
pub use demo::*;
pub use faults::{ActiveRule, Code, Fault, MAGIC, Magic, Matcher, OutageForm, Rule, RuleError, WaitForm};
pub use kind::Kind;
pub use ledger::Summary;
pub use message::{Accepted, Answered, ReceiptPlan};
pub use options::{
    AutoReply, DEMO_SENDGRID_API_KEY, DEMO_SENDGRID_INBOUND_SECRET, DEMO_SENDGRID_SIGNING_KEY,
    DEMO_SENDGRID_WEBHOOK_PUBLIC_KEY, DEMO_TWILIO_ACCOUNT_SID, DEMO_TWILIO_AUTH_TOKEN, Options, Receipts,
    SendgridAccount, TwilioAccount,
};
pub use sign::{SendgridSigner, SigningKeyError, twilio_signature};
pub use simulator::Simulator;
