//! The `app-processor` binary: configuration, connections, signals; the work is in the library.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use app_db::migrate::MigrateError;
use app_processor::{CONNECTIONS, Parts};
use clap::Parser;
use secrecy::ExposeSecret;
use service::metrics::Metrics;
use service::telemetry::chain;
use service::{Clock, Config};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Delivers outbound messages: claims what is due, chooses a provider, sends, retries, settles.
///
/// Configured by DATABASE_URL and the file that APP_CONFIG names (default ./app.toml). Any number may run at once.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Hold what waits in the outbox before the first claim; `app outbox release` releases it
    #[arg(long)]
    hold: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    service::telemetry::init_stderr();
    match run(&arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("app-processor: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let config = Arc::new(Config::load()?);
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let Some(database_url) = config.database_url.clone() else {
        bail!(
            "DATABASE_URL is not set. Only `app up` brings a database of its own; set it to the one that app-apiserver uses."
        );
    };
    let pool = app_db::connect(database_url.expose_secret(), CONNECTIONS)?;
    let shutdown = service::shutdown::on_signal()?;
    if !wait_for_database(&pool, &shutdown).await? {
        return Ok(());
    }
    let metrics_listener = listen(&config).await?;
    let parts = Parts {
        config,
        pool,
        database_url,
        metrics: Metrics::default(),
        clock: Clock::System,
        begin_held: arguments.hold,
        wake: Arc::new(Notify::new()),
    };
    Ok(app_processor::run(parts, metrics_listener, shutdown).await?)
}

/// Waits for the database and checks its schema. False where shutdown came first.
async fn wait_for_database(pool: &app_db::Pool, shutdown: &CancellationToken) -> anyhow::Result<bool> {
    while !shutdown.is_cancelled() {
        let checked = async {
            let client = app_db::pool::get(pool).await?;
            app_db::migrate::check(&client).await?;
            for warning in app_db::migrate::durability_warnings(&client).await? {
                tracing::warn!("{warning}");
            }
            Ok::<_, MigrateError>(())
        };
        match checked.await {
            Ok(()) => return Ok(true),
            Err(MigrateError::Database(error @ app_db::Error::Unavailable(_))) => {
                tracing::warn!(error = chain(&error), "waiting for the database");
            }
            Err(error) => return Err(error.into()),
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(500)) => {}
            () = shutdown.cancelled() => {}
        }
    }
    Ok(false)
}

/// The default address gives way where another processor has it; a configured one must be had.
async fn listen(config: &Config) -> anyhow::Result<Option<TcpListener>> {
    let address = config.processor.listen;
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if !config.processor.listen_configured => {
            tracing::warn!(%address, %error, "no /metrics here: set APP_PROCESSOR_LISTEN to another address");
            Ok(None)
        }
        Err(error) => {
            Err(error).with_context(|| format!("cannot listen on {address} (APP_PROCESSOR_LISTEN)"))
        }
    }
}
