//! The `app-processor` binary: configuration, connections, signals; the work is in the library.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::bail;
use app_processor::{CONNECTIONS, Parts};
use clap::Parser;
use secrecy::ExposeSecret;
use service::metrics::Metrics;
use service::{Clock, Config};
use tokio::sync::Notify;

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
    if let Err(error) = service::telemetry::init_server() {
        eprintln!("app-processor: {error}");
        return ExitCode::FAILURE;
    }
    service::open_files::raise_limit();
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
    let (shutdown, _reloads) = service::shutdown::of_server()?;
    let metrics_listener = app_processor::listen_for_metrics(&config).await;
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
