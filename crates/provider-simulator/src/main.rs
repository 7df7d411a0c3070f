//! The simulator as a process. Everything it does is in the library; this reads the command line.

use std::path::PathBuf;

use clap::Parser;
use provider_simulator::{
    Account, AutoReply, DEMO_SENDGRID_API_KEY, DEMO_TWILIO_ACCOUNT_SID, DEMO_TWILIO_AUTH_TOKEN, Options,
    Receipts, SendgridAccount, SendgridSigner, Simulator, TwilioAccount,
};
use tokio::net::TcpListener;
use url::Url;

/// Speaks the wire protocols of messaging providers, for tests and demonstrations: nothing that is sent to it leaves
/// the machine. docs/simulator.md tells which, and how to use it.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Where to listen.
    #[arg(long, env = "SIMULATOR_LISTEN", default_value = "127.0.0.1:8090")]
    listen: String,
    /// Where to take mail by SMTP, without TLS; nowhere without it.
    #[arg(long, env = "SIMULATOR_SMTP_LISTEN", value_name = "ADDRESS")]
    smtp_listen: Option<String>,
    /// Append every accepted message to this file (NDJSON) and read it again at the start.
    #[arg(long, env = "SIMULATOR_LEDGER", value_name = "FILE")]
    ledger: Option<PathBuf>,
    /// Make ids and chance repeatable. Ids of an earlier run with this seed come back.
    #[arg(long, env = "SIMULATOR_SEED")]
    seed: Option<u64>,
    /// Answer every message with an inbound one.
    #[arg(long, env = "SIMULATOR_AUTO_REPLY")]
    auto_reply: bool,
    /// How long after its last receipt a message is answered.
    #[arg(long, default_value_t = 100, value_name = "MS")]
    reply_after_ms: u64,
    /// A further name by which the ledger and the rest of the control API may be called; may be repeated. Without it
    /// they are answered under localhost and loopback addresses only.
    #[arg(long = "host", env = "SIMULATOR_HOSTS", value_name = "NAME", value_delimiter = ',')]
    hosts: Vec<String>,
    /// Report nothing about delivery.
    #[arg(long)]
    no_receipts: bool,
    /// How long after the accept a message is reported sent.
    #[arg(long, default_value_t = 10, value_name = "MS")]
    sent_after_ms: u64,
    /// How long after the accept a message is reported delivered.
    #[arg(long, default_value_t = 30, value_name = "MS")]
    delivered_after_ms: u64,
    /// Webhook calls at once.
    #[arg(long, default_value_t = 64)]
    max_deliveries: usize,
    /// A Twilio account as SID:TOKEN; may be repeated [default: the demonstration's].
    #[arg(
        long = "twilio-account",
        env = "SIMULATOR_TWILIO_ACCOUNTS",
        value_delimiter = ',',
        hide_env_values = true
    )]
    twilio_accounts: Vec<String>,
    /// Where inbound SMS, MMS and WhatsApp go [default: to the StatusCallback's URL without its query].
    #[arg(long, env = "SIMULATOR_TWILIO_INBOUND_URL", value_name = "URL")]
    twilio_inbound_url: Option<Url>,
    /// A SendGrid API key; may be repeated [default: the demonstration's].
    #[arg(
        long = "sendgrid-api-key",
        env = "SIMULATOR_SENDGRID_API_KEYS",
        value_delimiter = ',',
        hide_env_values = true
    )]
    sendgrid_api_keys: Vec<String>,
    /// Base64 of the PKCS#8 P-256 key that signs events [default: the demonstration's].
    #[arg(long, env = "SIMULATOR_SENDGRID_SIGNING_KEY", value_name = "BASE64", hide_env_values = true)]
    sendgrid_signing_key: Option<String>,
    /// Where SendGrid's events go; without it there are none.
    #[arg(long, env = "SIMULATOR_EVENT_WEBHOOK_URL", value_name = "URL")]
    event_webhook_url: Option<Url>,
    /// Where inbound mail goes, with `?secret=...`; without it there are no replies to mail.
    #[arg(long, env = "SIMULATOR_INBOUND_PARSE_URL", value_name = "URL")]
    inbound_parse_url: Option<Url>,
    /// Deliver inbound mail as MIME source instead of parsed fields.
    #[arg(long)]
    inbound_parse_raw: bool,
    /// An account of another kind, as kind=KIND,name=...,user=...,secret=...,signing_key=...,webhook_url=...,
    /// inbound_url=...; what is left out is the demonstration's. May be repeated.
    #[arg(long = "account", env = "SIMULATOR_ACCOUNTS", value_delimiter = ';', hide_env_values = true)]
    accounts: Vec<Account>,
}

#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("--twilio-account: `SID:TOKEN` is expected")]
    TwilioAccount,
    #[error("--sendgrid-signing-key: {0}")]
    SigningKey(#[from] provider_simulator::SigningKeyError),
    #[error("cannot listen on {listen}: {source}")]
    Listen { listen: String, source: std::io::Error },
    #[error("--ledger: {0}")]
    Ledger(std::io::Error),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl Arguments {
    fn options(&self) -> Result<Options, StartError> {
        let demo_account = format!("{DEMO_TWILIO_ACCOUNT_SID}:{DEMO_TWILIO_AUTH_TOKEN}");
        let twilio =
            if self.twilio_accounts.is_empty() { &vec![demo_account] } else { &self.twilio_accounts };
        let twilio = twilio.iter().map(|account| {
            let (sid, token) = account.split_once(':').ok_or(StartError::TwilioAccount)?;
            Ok(TwilioAccount {
                account_sid: sid.to_owned(),
                auth_token: token.to_owned(),
                inbound_url: self.twilio_inbound_url.clone(),
            })
        });
        let demo_key = DEMO_SENDGRID_API_KEY.to_owned();
        let keys = if self.sendgrid_api_keys.is_empty() { &vec![demo_key] } else { &self.sendgrid_api_keys };
        let sendgrid = keys.iter().map(|api_key| SendgridAccount {
            api_key: api_key.clone(),
            event_webhook_url: self.event_webhook_url.clone(),
            inbound_parse_url: self.inbound_parse_url.clone(),
            inbound_parse_raw: self.inbound_parse_raw,
        });
        Ok(Options {
            seed: self.seed,
            receipts: Receipts {
                enabled: !self.no_receipts,
                sent_after_ms: self.sent_after_ms,
                delivered_after_ms: self.delivered_after_ms,
            },
            auto_reply: AutoReply { enabled: self.auto_reply, after_ms: self.reply_after_ms },
            twilio: twilio.collect::<Result<_, StartError>>()?,
            sendgrid: sendgrid.collect(),
            sendgrid_signer: match &self.sendgrid_signing_key {
                Some(key) => SendgridSigner::from_pkcs8_base64(key)?,
                None => SendgridSigner::demo(),
            },
            accounts: self.accounts.clone(),
            ledger_file: self.ledger.clone(),
            max_deliveries: self.max_deliveries,
            hosts: self.hosts.clone(),
            ..Options::default()
        })
    }
}

#[tokio::main]
async fn main() -> std::process::ExitCode {
    service::telemetry::init_stderr();
    match run(Arguments::parse()).await {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            std::process::ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), StartError> {
    let shutdown = service::shutdown::on_signal()?;
    let simulator = Simulator::new(arguments.options()?).map_err(StartError::Ledger)?;
    if let Some(listen) = arguments.smtp_listen {
        let listener = bind(listen).await?;
        tracing::info!(address = %listener.local_addr()?, "listening for SMTP");
        let (simulator, shutdown) = (simulator.clone(), shutdown.clone());
        tokio::spawn(async move { simulator.serve_smtp(listener, shutdown).await });
    }
    let listener = bind(arguments.listen).await?;
    let address = listener.local_addr()?;
    if !address.ip().is_loopback() {
        tracing::warn!("whoever reaches this address can read the ledger and make the simulator call URLs");
    }
    tracing::info!(%address, "listening");
    simulator.serve(listener, shutdown).await?;
    Ok(())
}

async fn bind(listen: String) -> Result<TcpListener, StartError> {
    TcpListener::bind(&listen).await.map_err(|source| StartError::Listen { listen, source })
}
