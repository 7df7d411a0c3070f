//! The parts of a running `app up`: started in the order of their needs, stopped in the opposite one.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use app_db::Pool;
use app_db::embedded::{Embedded, EmbeddedError};
use http::StatusCode;
use provider_simulator::Simulator;
use secrecy::{ExposeSecret, SecretString};
use service::metrics::Metrics;
use service::{Clock, Config};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::listeners::{self, SIMULATOR_VARIABLE};
use super::welcome::Welcome;
use super::{demo, first_key};
use crate::api::Api;
use crate::app_db_access;
use crate::output::{self, Output};

/// The longest pause between two tries to start a database that ended.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// A part that runs until its token is canceled.
#[derive(Debug)]
struct Part {
    name: &'static str,
    /// Nothing once its end was told.
    task: Option<JoinHandle<anyhow::Result<()>>>,
    shutdown: CancellationToken,
}

impl Part {
    fn start<F>(name: &'static str, run: impl FnOnce(CancellationToken) -> F) -> Self
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let shutdown = CancellationToken::new();
        Self { name, task: Some(tokio::spawn(run(shutdown.clone()))), shutdown }
    }

    /// Resolves when the part ends although nobody asked it to.
    async fn ended(&mut self) -> anyhow::Error {
        let name = self.name;
        let Some(task) = &mut self.task else { return std::future::pending().await };
        let ended = task.await;
        self.task = None;
        match ended {
            Ok(Ok(())) => anyhow!("{name} ended"),
            Ok(Err(error)) => error.context(format!("{name} ended")),
            Err(panic) => anyhow!("{name} ended: {panic}"),
        }
    }

    async fn stop(self) -> anyhow::Result<()> {
        self.shutdown.cancel();
        let Some(task) = self.task else { return Ok(()) };
        let name = self.name;
        task.await.with_context(|| name)?.with_context(|| name)
    }
}

#[derive(Debug)]
pub(super) struct Running {
    pub(super) pool: Pool,
    pub(super) url: String,
    config: Arc<Config>,
    /// What the welcome says of it.
    database: String,
    has_keys: bool,
    simulator_url: Option<String>,
    is_demo: bool,
    apiserver: Part,
    processor: Part,
    simulator: Option<Part>,
    /// Where app-db is ours.
    embedded: Option<Part>,
}

impl Running {
    pub(super) async fn start(
        config: Config,
        data_dir: &Path,
        hold: bool,
        output: Output,
    ) -> anyhow::Result<Self> {
        let is_demo = config.providers.is_empty();
        let listener = listeners::bind(config.listen, "APP_LISTEN").await?;
        let listen = listener.local_addr()?;
        let (simulator_address, simulator_wanted) = listeners::simulator_address()?;
        let simulator_listener = if is_demo || simulator_wanted {
            Some(listeners::bind(simulator_address, SIMULATOR_VARIABLE).await?)
        } else {
            None
        };
        let metrics_listener = if config.processor.listen_configured {
            // Several processors share a machine, and nothing that one does for messages depends on its listener.
            let bound = listeners::bind(config.processor.listen, "APP_PROCESSOR_LISTEN").await;
            bound.inspect_err(|error| warn(&format!("no /metrics of the processor: {error}"))).ok()
        } else {
            None
        };
        let config = match &simulator_listener {
            Some(simulator) if is_demo => Config {
                // The public URL that the environment names, which the demonstration does not use.
                why_keys_are_needed: config.why_keys_are_needed,
                ..demo::config(listen, simulator.local_addr()?)?
            },
            _ => Config { listen, ..config },
        };
        let config = Arc::new(config);

        let (database_url, embedded) = open_database(&config, data_dir).await?;
        // One more for the feed.
        let connections = app_apiserver::connections(&config) + app_processor::CONNECTIONS + 1;
        let pool = app_db::connect(database_url.expose_secret(), connections)?;
        let database = migrate(&pool, &config, embedded.as_ref(), data_dir).await?;
        let has_keys = first_key::has_keys_or_makes_one(&pool, &config, output).await?;

        let embedded = embedded.map(|embedded| {
            Part::start("PostgreSQL", |shutdown| async move { Ok(keep_running(embedded, shutdown).await?) })
        });

        let wake = Arc::new(Notify::new());
        let metrics = Metrics::default();
        let simulator_url = match &simulator_listener {
            Some(listener) => Some(format!("http://{}", demo::reachable(listener.local_addr()?))),
            None => None,
        };
        let simulator = match simulator_listener {
            Some(listener) => {
                let options = demo::simulator(&config, listener.local_addr()?, data_dir);
                let simulator = Simulator::new(options)
                    .context("the simulator's ledger in ./data cannot be read; move it away")?;
                Some(Part::start("the simulator", |shutdown| async move {
                    Ok(simulator.serve(listener, shutdown).await?)
                }))
            }
            None => None,
        };
        let parts = app_processor::Parts {
            config: Arc::clone(&config),
            pool: pool.clone(),
            database_url: database_url.clone(),
            metrics: metrics.clone(),
            clock: Clock::System,
            begin_held: hold,
            wake: Arc::clone(&wake),
        };
        let processor = Part::start("the processor", |shutdown| async move {
            Ok(app_processor::run(parts, metrics_listener, shutdown).await?)
        });
        let parts = app_apiserver::Parts {
            config: Arc::clone(&config),
            pool: pool.clone(),
            metrics,
            clock: Clock::System,
            wake,
            simulator_url: simulator_url.clone(),
        };
        let apiserver = Part::start("the API server", |shutdown| async move {
            Ok(app_apiserver::run(parts, listener, shutdown).await?)
        });
        Ok(Self {
            url: format!("http://{}", demo::reachable(listen)),
            pool,
            config,
            database,
            has_keys,
            simulator_url,
            is_demo,
            apiserver,
            processor,
            simulator,
            embedded,
        })
    }

    /// Until the API server answers that it is ready.
    pub(super) async fn until_ready(&mut self) -> anyhow::Result<()> {
        let api = Api::new(&self.url)?;
        let asking = async {
            let mut tick = interval(Duration::from_millis(10));
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tick.tick().await;
                if let Ok((StatusCode::OK, _)) = api.get_any("/readyz").await {
                    return;
                }
            }
        };
        tokio::select! {
            () = asking => Ok(()),
            error = self.supervise() => Err(error),
        }
    }

    pub(super) fn is_demo(&self) -> bool {
        self.is_demo
    }

    pub(super) fn welcome(&self, ready_in: Duration) -> Welcome {
        let provider = |provider: &service::ProviderConfig| {
            let channels: Vec<&str> = provider.channels.iter().map(|channel| channel.as_str()).collect();
            format!("{} ({})", provider.id, channels.join(", "))
        };
        let providers =
            if self.is_demo { Vec::new() } else { self.config.providers.iter().map(provider).collect() };
        Welcome {
            ready_in,
            url: self.url.clone(),
            simulator_url: self.simulator_url.clone(),
            providers,
            database: self.database.clone(),
            has_keys: self.has_keys,
        }
    }

    /// Resolves when a part fails. May be dropped and called again.
    pub(super) async fn supervise(&mut self) -> anyhow::Error {
        tokio::select! {
            error = self.apiserver.ended() => error,
            error = self.processor.ended() => error,
            error = ended(&mut self.simulator) => error,
            error = ended(&mut self.embedded) => error,
        }
    }

    /// No new requests; then what is in hand is settled; the database last.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        let mut stopped = self.apiserver.stop().await;
        stopped = stopped.and(self.processor.stop().await);
        if let Some(simulator) = self.simulator {
            stopped = stopped.and(simulator.stop().await);
        }
        self.pool.close();
        if let Some(embedded) = self.embedded {
            stopped = stopped.and(embedded.stop().await);
        }
        stopped
    }
}

async fn ended(part: &mut Option<Part>) -> anyhow::Error {
    match part {
        Some(part) => part.ended().await,
        None => std::future::pending().await,
    }
}

/// Starts a database of ours again when it ends, until it is to stop. A task of its own: a start that is dropped half way
/// leaves a server that the next start meets.
async fn keep_running(mut embedded: Embedded, shutdown: CancellationToken) -> Result<(), EmbeddedError> {
    loop {
        let status = tokio::select! {
            biased;
            () = shutdown.cancelled() => return embedded.stop().await,
            status = embedded.ended() => status,
        };
        warn(&format!("PostgreSQL ended ({status}): starting it again"));
        tokio::select! {
            biased;
            // It may be busy with its recovery for minutes.
            () = shutdown.cancelled() => return embedded.stop().await,
            () = start_again(&mut embedded) => {}
        }
        output::note("PostgreSQL is back");
        tracing::info!("PostgreSQL is back");
    }
}

/// However long that takes: who killed it may do so again, a disk may be full for a while, and nothing is better off when
/// the other parts end too.
async fn start_again(embedded: &mut Embedded) {
    let mut pause = Duration::from_secs(1);
    while let Err(error) = embedded.restart().await {
        warn(&format!("PostgreSQL did not start, the next try is in {} s: {error}", pause.as_secs()));
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// On the terminal and in the log.
fn warn(text: &str) {
    output::warning(text);
    tracing::warn!("{text}");
}

async fn open_database(config: &Config, data_dir: &Path) -> anyhow::Result<(SecretString, Option<Embedded>)> {
    if let Some(url) = &config.database_url {
        return Ok((url.clone(), None));
    }
    output::note(&format!("Starting PostgreSQL in ./{}", data_dir.display()));
    let embedded = Embedded::start(data_dir).await?;
    embedded.notes().iter().for_each(|note| output::note(note));
    Ok((SecretString::from(embedded.url()), Some(embedded)))
}

/// Brings the schema up to date. Answers what the welcome says of the database.
async fn migrate(
    pool: &Pool,
    config: &Config,
    embedded: Option<&Embedded>,
    data_dir: &Path,
) -> anyhow::Result<String> {
    let mut client = app_db_access::client(pool).await?;
    let applied = app_db::migrate::run(&mut client).await?;
    let name = config.installation_name.as_deref();
    app_db::installation::store_first(&client, name).await?;
    if let Some(hold) = app_db::installation::look(&client, name).await?.hold() {
        output::warning(&hold);
    }
    if !applied.is_empty() {
        output::note("Brought the schema up to date");
    }
    let warnings = app_db::migrate::durability_warnings(&client).await?;
    warnings.iter().for_each(|warning| output::warning(warning));
    let durable = if warnings.is_empty() { "durable" } else { "NOT durable" };
    let version = app_db::migrate::server_version(&client).await?;
    let place = match embedded {
        Some(_) => format!("./{}", data_dir.display()),
        None => "DATABASE_URL".to_owned(),
    };
    Ok(format!("{place} (PostgreSQL {version}, {durable})"))
}
