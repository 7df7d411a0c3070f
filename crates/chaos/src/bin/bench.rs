//! `make bench`: measures and prints the figures beside single inserts of the same run; fails below a bar.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use chaos::stage::{self, Stage};
use chaos::{benchmark, table};
use clap::Parser;

/// Measures the real binaries on a PostgreSQL of its own, with its durable settings.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// How long each phase sends.
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    time: u64,
    /// Multiplies the numbers of messages that are drained, for a quick look.
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// Where app-apiserver, app-processor and provider-simulator are [default: beside this program].
    #[arg(long, value_name = "FOLDER")]
    binaries: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    tokio::select! {
        passed = measure(arguments) => Ok(if passed? { ExitCode::SUCCESS } else { ExitCode::FAILURE }),
        // What was started goes with its handles.
        _ = tokio::signal::ctrl_c() => Ok(ExitCode::from(130)),
    }
}

async fn measure(arguments: Arguments) -> anyhow::Result<bool> {
    let binaries = arguments.binaries.map_or_else(stage::binaries_beside_us, Ok)?;
    let mut stage = Stage::open(binaries, arguments.scale).await?;
    eprintln!("{}, {} s a phase", stage.postgres_version(), arguments.time);
    let figures = benchmark::run(&mut stage, Duration::from_secs(arguments.time)).await?;
    stage.close(false).await?;
    let rows = [("bench", Ok(figures))];
    print!("{}", table::render(&rows));
    Ok(table::all_passed(&rows))
}
