//! The `app-apiserver` binary: configuration, connections, signals; the work is in the library.

use std::io::ErrorKind;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::bail;
use clap::Parser;
use secrecy::ExposeSecret;
use service::metrics::Metrics;
use service::{Clock, Config};
use tokio::net::TcpListener;
use tokio::sync::Notify;

/// Serves the HTTP API: takes messages to send, shows them, receives providers' webhooks.
///
/// Configured by DATABASE_URL, APP_LISTEN (default 127.0.0.1:8080), APP_PUBLIC_URL and the file that APP_CONFIG
/// names (default ./app.toml). Any number may run at once.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {}

#[tokio::main]
async fn main() -> ExitCode {
    Arguments::parse();
    if let Err(error) = service::telemetry::init_server() {
        eprintln!("app-apiserver: {error}");
        return ExitCode::FAILURE;
    }
    service::open_files::raise_limit();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("app-apiserver: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> anyhow::Result<()> {
    let config = Arc::new(Config::load()?);
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let Some(database_url) = config.database_url.clone() else {
        bail!(
            "DATABASE_URL is not set. Only `app up` brings a database of its own; set it to one that `app migrate` \
             has brought up to date, e.g. DATABASE_URL=postgres://user:password@localhost:5432/app app-apiserver"
        );
    };
    let pool = app_db::connect(database_url.expose_secret(), app_apiserver::connections(&config))?;
    let (shutdown, _reloads) = service::shutdown::of_server()?;
    let listener = listen(&config).await?;
    let parts = app_apiserver::Parts {
        config,
        pool,
        metrics: Metrics::default(),
        clock: Clock::System,
        wake: Arc::new(Notify::new()),
        simulator_url: None,
    };
    Ok(app_apiserver::run(parts, listener, shutdown).await?)
}

async fn listen(config: &Config) -> anyhow::Result<TcpListener> {
    let address = config.listen;
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => {
            anyhow::anyhow!(
                "{address} is in use by another program; set APP_LISTEN to another address and port"
            )
        }
        _ => anyhow::Error::new(error).context(format!("cannot listen on {address}, which APP_LISTEN sets")),
    })
}
