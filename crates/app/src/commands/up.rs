//! `app up`: database, API server, processor and simulated providers in one process, for a newcomer and for small
//! installations. Here is the order in which they start and stop; what they do is in their own crates.

mod demo;
mod feed;
mod first_key;
mod holder;
mod listeners;
mod parts;
mod private_files;
mod welcome;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use serde_json::json;
use service::Config;
use service::log_file::Rotation;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::parts::Running;
use crate::app_db_access::DATA_DIR;
use crate::output::{self, Output};

/// What the log may take of the disk: 80 MiB.
const LOG_ROTATION: Rotation = Rotation { bytes_max: 16 << 20, files: 5 };

const ROOT: &str = "this runs as root, and so do the API server and the processor; only PostgreSQL has a user of its own. \
                    Run `app up` as an unprivileged user";

pub(crate) async fn run(output: Output, hold: bool) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    let shutdown = service::shutdown::on_signal()?;
    tokio::spawn(second_signal_forces(shutdown.clone()));

    let config = Config::load()?;
    let data_dir = Path::new(DATA_DIR);
    private_files::make(data_dir).with_context(|| format!("{DATA_DIR}/ cannot be made here"))?;
    let log = data_dir.join("app.log");
    service::telemetry::init_file(&log, Some(LOG_ROTATION))
        .with_context(|| format!("{} cannot be written", log.display()))?;
    service::open_files::raise_limit();
    private_files::close(&log);
    if private_files::is_root() {
        output::warning(ROOT);
    }
    for warning in &config.warnings {
        output::warning(warning);
    }

    let mut running = tokio::select! {
        running = Running::start(config, data_dir, hold, output) => running?,
        // What was started by then goes with its handles.
        () = shutdown.cancelled() => return Ok(ExitCode::SUCCESS),
    };
    let ended = serve(&mut running, &shutdown, output, began).await;
    if let Err(why) = &ended {
        output::note(&format!("\n{why:#}"));
    }
    output::note("\nStopping: what is in hand is finished first. Ctrl-C again does not wait.");
    let stopped = running.stop().await;
    // Why it had to end counts for more than how it did.
    ended.and(stopped)?;
    output::note("Stopped.");
    Ok(ExitCode::SUCCESS)
}

/// Until a signal comes, or a part fails.
async fn serve(
    running: &mut Running,
    shutdown: &CancellationToken,
    output: Output,
    began: Instant,
) -> anyhow::Result<()> {
    tokio::select! {
        ready = running.until_ready() => ready?,
        () = shutdown.cancelled() => return Ok(()),
    }
    if output.json {
        output.record(&json!({ "event": "running", "url": running.url }), |_| String::new())?;
    } else {
        output::print(&welcome::text(&running.welcome(began.elapsed())))?;
    }
    let feed = feed::run(running.pool.clone(), output, running.is_demo());
    tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        error = running.supervise() => Err(error),
        never = feed => match never {},
    }
}

/// The second signal ends the process at once: leases lapse, and the database's supervisor stops it.
async fn second_signal_forces(first: CancellationToken) {
    first.cancelled().await;
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    output::note("Stopped by force: what was in hand is repaired at the next start.");
    std::process::exit(130);
}
