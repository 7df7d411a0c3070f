//! `make chaos`: plays the scenarios, prints their figures beside their bars, and fails below one.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use chaos::scenarios::{self, SCENARIOS, Scenario};
use chaos::stage::{self, Stage};
use chaos::table::{self, Row};
use clap::Parser;

/// A scenario that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(1_200);

/// Kills and hinders the real binaries on a PostgreSQL of its own, and checks what must hold.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The scenarios to play [default: all].
    scenarios: Vec<String>,
    /// Multiplies the numbers of messages, for a quick look. Each scenario keeps a least number.
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// Where app-apiserver, app-processor and provider-simulator are [default: beside this program].
    #[arg(long, value_name = "FOLDER")]
    binaries: Option<PathBuf>,
    /// Keep the folder with the database, the configurations and the logs.
    #[arg(long)]
    keep: bool,
    /// List the scenarios.
    #[arg(long)]
    list: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    if arguments.list {
        for scenario in SCENARIOS {
            println!("{:<20}  {}", scenario.name, scenario.shows);
        }
        return Ok(ExitCode::SUCCESS);
    }
    tokio::select! {
        passed = play(arguments) => Ok(if passed? { ExitCode::SUCCESS } else { ExitCode::FAILURE }),
        // What was started goes with its handles.
        _ = tokio::signal::ctrl_c() => Ok(ExitCode::from(130)),
    }
}

async fn play(arguments: Arguments) -> anyhow::Result<bool> {
    anyhow::ensure!(arguments.scale > 0.0 && arguments.scale <= 1.0, "--scale is more than 0, and 1 at most");
    let chosen = scenarios::named(&arguments.scenarios)?;
    let binaries = arguments.binaries.map_or_else(stage::binaries_beside_us, Ok)?;
    let mut stage = Stage::open(binaries, arguments.scale).await?;
    eprintln!("{}, scale {}", stage.postgres_version(), arguments.scale);
    let mut rows: Vec<Row> = Vec::new();
    for scenario in chosen {
        eprintln!("{}: {}", scenario.name, scenario.shows);
        let began = Instant::now();
        let row = play_one(&mut stage, scenario).await;
        eprintln!("  {:.1} s", began.elapsed().as_secs_f64());
        rows.push(row);
        if !arguments.keep {
            stage.clear().await?;
        }
    }
    if let Some(folder) = stage.close(arguments.keep).await? {
        eprintln!("kept: {}", folder.display());
    }
    print!("{}", table::render(&rows));
    Ok(table::all_passed(&rows))
}

async fn play_one(stage: &mut Stage, scenario: &Scenario) -> Row {
    let played = tokio::time::timeout(LIMIT, (scenario.run)(stage)).await;
    let result = match played {
        Ok(Ok(figures)) => Ok(figures),
        Ok(Err(error)) => Err(format!("{error:#}")),
        Err(_) => Err(format!("did not end within {} s", LIMIT.as_secs())),
    };
    if let Err(problem) = &result {
        eprintln!("  {problem}");
    }
    (scenario.name, result)
}
