//! `app outbox`: holds and releases what waits, directly in app-db, so that it works while nothing runs.

use std::time::Duration;

use anyhow::{Context, bail};
use app_db::audit;
use app_db::hold::{self, Scope};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use model::{Channel, IdGenerator, Reason};
use serde_json::json;
use service::Config;

use crate::app_db_access::AppDb;
use crate::os_user;
use crate::output::Output;

#[derive(Debug, Subcommand)]
pub(crate) enum Outbox {
    /// Hold what waits, scheduled messages included, until it is released. Messages accepted later are sent. To hold
    /// the messages of a provider, pause it: `app providers pause`
    Hold(Which),
    /// Make held messages due: at once, or at their send_at
    Release(Which),
}

/// Which messages; at least one of these is needed.
#[derive(Clone, Copy, Debug, Args)]
#[group(required = true, multiple = true)]
pub(crate) struct Which {
    /// Every message
    #[arg(long)]
    all: bool,
    /// Only those of a channel: sms, mms, email, whatsapp
    #[arg(long, conflicts_with = "all")]
    channel: Option<Channel>,
    /// Only those that were accepted before this time (RFC 3339)
    #[arg(long, conflicts_with = "all", value_name = "TIME")]
    accepted_before: Option<Timestamp>,
}

impl Which {
    fn scope(self) -> Scope {
        Scope { channel: self.channel, accepted_before: self.accepted_before }
    }
}

/// So long a hold waits for calls that are under way: what they leave for a retry is held too.
const IN_FLIGHT_WAIT: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(500);

pub(crate) async fn run(command: Outbox, output: Output) -> anyhow::Result<()> {
    let app_db = AppDb::open(&Config::load()?).await?;
    let mut client = app_db.client().await?;
    app_db::migrate::check(&client).await?;
    let ids = IdGenerator::from_entropy().context("the system gives no randomness")?;
    // The entry comes first: many transactions follow.
    let (action, scope) = match &command {
        Outbox::Hold(which) => ("outbox.hold", which.scope()),
        Outbox::Release(which) => ("outbox.release", which.scope()),
    };
    let detail = json!({ "channel": scope.channel, "accepted_before": scope.accepted_before });
    audit::write(&client, &os_user::entry(&ids, action, None, detail)).await?;
    let done = match command {
        Outbox::Hold(which) => hold_all(&mut client, &ids, which.scope(), output).await,
        Outbox::Release(which) => release(&mut client, &ids, which.scope(), output).await,
    };
    drop(client);
    app_db.close().await?;
    done
}

async fn hold_all(
    client: &mut app_db::Client,
    ids: &IdGenerator,
    scope: Scope,
    output: Output,
) -> anyhow::Result<()> {
    let name = Config::load()?.installation_name;
    let is_copy = app_db::installation::look(client, name.as_deref()).await?.difference().is_some();
    let reason = if is_copy { Reason::Restored } else { Reason::Operator };
    // What is accepted meanwhile is not meant.
    let now = app_db::gauges::database_time(client).await?;
    let scope = Scope { accepted_before: scope.accepted_before.or(Some(now)), ..scope };
    let began = tokio::time::Instant::now();
    let mut held = hold::hold(client, ids, scope, reason).await?.messages;
    let mut in_flight = hold::in_flight(client).await?;
    while in_flight > 0 && began.elapsed() < IN_FLIGHT_WAIT {
        tokio::time::sleep(PAUSE).await;
        held += hold::hold(client, ids, scope, reason).await?.messages;
        in_flight = hold::in_flight(client).await?;
    }
    let value = json!({ "held": held, "code": reason.as_str(), "in_flight": in_flight });
    output.record(&value, |_| {
        let calls = match in_flight {
            0 => String::new(),
            count => format!("; {count} are being sent now, run it again to hold what they leave"),
        };
        format!("held {held} messages{calls}")
    })
}

async fn release(
    client: &mut app_db::Client,
    ids: &IdGenerator,
    scope: Scope,
    output: Output,
) -> anyhow::Result<()> {
    if let Some(hold) =
        app_db::installation::look(client, Config::load()?.installation_name.as_deref()).await?.hold()
    {
        bail!("{hold}");
    }
    let released = hold::release(client, ids, scope).await?.messages;
    app_db::wake::notify(client).await?;
    let value = json!({ "released": released });
    output.record(&value, |_| format!("released {released} messages"))
}
