//! What an adapter wants done, and what came of it. Only the processor's transports do it.

use bytes::Bytes;
use http::{Request, Response};
use secrecy::SecretString;

/// One call of a provider.
#[derive(Debug)]
pub enum Call {
    Http(Request<Bytes>),
    Smtp(Submission),
}

/// A mail for a submission server (RFC 6409).
#[derive(Debug)]
pub struct Submission {
    pub server: SmtpServer,
    /// The envelope's addresses, without angle brackets.
    pub from: String,
    pub to: String,
    /// What delivery reports bring back (ENVID of RFC 3461), where the server speaks DSN: printable ASCII without
    /// `+`, `=` and spaces.
    pub envelope_id: String,
    /// The whole mail (RFC 5322), lines ending in CRLF, dots not doubled.
    pub mail: Bytes,
}

/// Where a mail is submitted: the same for all calls of a provider, which share its connections.
#[derive(Clone, Debug)]
pub struct SmtpServer {
    pub host: String,
    pub port: u16,
    pub security: SmtpSecurity,
    /// How we introduce ourselves in EHLO: our host's name, or its address in brackets.
    pub helo_name: String,
    /// AUTH PLAIN or LOGIN, as the server offers.
    pub credentials: Option<(String, SecretString)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpSecurity {
    /// TLS from the first byte (RFC 8314), port 465.
    Tls,
    /// Refuses a server that does not offer STARTTLS.
    StartTls,
    /// For servers on this machine or network.
    None,
}

/// What a submission came to, as far as the server said something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmtpReply {
    /// RFC 5321 section 4.2.
    pub code: u16,
    /// The reply's lines without their codes.
    pub text: String,
    /// Which command it answers.
    pub stage: SmtpStage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpStage {
    /// The greeting, EHLO or STARTTLS.
    Connect,
    Auth,
    MailFrom,
    RcptTo,
    /// DATA, or what follows its final dot.
    Data,
}

/// A provider's answer to a [`Call`].
#[derive(Debug)]
pub enum Answer {
    Http(Response<Bytes>),
    Smtp(SmtpReply),
}
