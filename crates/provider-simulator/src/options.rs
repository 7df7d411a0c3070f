//! What a simulator is started with, and the credentials of the demonstration. The latter protect nothing: they
//! are published here so that a configuration and a simulator can be made to match.

use std::path::PathBuf;

use service::Clock;
use url::Url;

use crate::account::Account;
use crate::sign::SendgridSigner;

pub const DEMO_TWILIO_ACCOUNT_SID: &str = "AC5ade0000000000000000000000000001";
pub const DEMO_TWILIO_AUTH_TOKEN: &str = "simulator-auth-token";
pub const DEMO_SENDGRID_API_KEY: &str = "SG.simulator";
/// Base64 of the DER SubjectPublicKeyInfo, as SendGrid's settings show it.
pub const DEMO_SENDGRID_WEBHOOK_PUBLIC_KEY: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE8aZxuFul7XpK37A/D8YlRh4s39ez50f93fN36QDfpOjXEvABg0QANGTRBGUFrXn1A6znjL1/fD0wqn8Qh6UY1Q==";
/// The other half of [`DEMO_SENDGRID_WEBHOOK_PUBLIC_KEY`]: base64 of PKCS#8.
pub const DEMO_SENDGRID_SIGNING_KEY: &str = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgQo2cPnuJKPgOvvNNnpew5+oQfBtZt3kMCgZu2DpwHmShRANCAATxpnG4W6XtekrfsD8PxiVGHizf17PnR/3d83fpAN+k6NcS8AGDRAA0ZNEEZQWtefUDrOeMvX98PTCqfxCHpRjV";
/// Goes as `?secret=` into the Inbound Parse URL.
pub const DEMO_SENDGRID_INBOUND_SECRET: &str = "simulator-inbound-secret";

/// How a simulator behaves.
#[derive(Clone, Debug)]
pub struct Options {
    pub clock: Clock,
    /// Ids, and the dice of faults with a probability. Nothing: another sequence at every start, so that the ids
    /// of an earlier run do not come back and pass for duplicates.
    pub seed: Option<u64>,
    pub receipts: Receipts,
    pub auto_reply: AutoReply,
    pub twilio: Vec<TwilioAccount>,
    pub sendgrid: Vec<SendgridAccount>,
    pub sendgrid_signer: SendgridSigner,
    /// Accounts of the other kinds. A kind of which none is here has its demo account.
    pub accounts: Vec<Account>,
    /// Every accepted message is appended here before it is answered, and read again at the start.
    pub ledger_file: Option<PathBuf>,
    /// Webhook calls that run at once.
    pub max_deliveries: usize,
    /// Further names by which the control API may be called: it asks for no credential.
    pub hosts: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            clock: Clock::System,
            seed: None,
            receipts: Receipts::default(),
            auto_reply: AutoReply::default(),
            twilio: vec![TwilioAccount::default()],
            sendgrid: vec![SendgridAccount::default()],
            sendgrid_signer: SendgridSigner::demo(),
            accounts: Vec::new(),
            ledger_file: None,
            max_deliveries: 64,
            hosts: Vec::new(),
        }
    }
}

/// When receipts leave, counted from the accept.
#[derive(Clone, Debug)]
pub struct Receipts {
    pub enabled: bool,
    pub sent_after_ms: u64,
    pub delivered_after_ms: u64,
}

impl Default for Receipts {
    fn default() -> Self {
        Self { enabled: true, sent_after_ms: 10, delivered_after_ms: 30 }
    }
}

/// Whether the person at the other end answers.
#[derive(Clone, Debug)]
pub struct AutoReply {
    pub enabled: bool,
    /// Counted from the last receipt.
    pub after_ms: u64,
}

impl Default for AutoReply {
    fn default() -> Self {
        Self { enabled: false, after_ms: 100 }
    }
}

/// An account that may send SMS, MMS and WhatsApp.
#[derive(Clone, Debug)]
pub struct TwilioAccount {
    /// `AC` and 32 hexadecimal digits.
    pub account_sid: String,
    pub auth_token: String,
    /// Where inbound messages go. Nothing: to the StatusCallback's URL without its query.
    pub inbound_url: Option<Url>,
}

impl Default for TwilioAccount {
    fn default() -> Self {
        Self {
            account_sid: DEMO_TWILIO_ACCOUNT_SID.to_owned(),
            auth_token: DEMO_TWILIO_AUTH_TOKEN.to_owned(),
            inbound_url: None,
        }
    }
}

/// An account that may send email.
#[derive(Clone, Debug)]
pub struct SendgridAccount {
    pub api_key: String,
    /// Where events go. Nothing: no events.
    pub event_webhook_url: Option<Url>,
    /// Where inbound mail goes, `?secret=` included. Nothing: no replies.
    pub inbound_parse_url: Option<Url>,
    /// The full MIME source instead of parsed fields.
    pub inbound_parse_raw: bool,
}

impl Default for SendgridAccount {
    fn default() -> Self {
        Self {
            api_key: DEMO_SENDGRID_API_KEY.to_owned(),
            event_webhook_url: None,
            inbound_parse_url: None,
            inbound_parse_raw: false,
        }
    }
}
