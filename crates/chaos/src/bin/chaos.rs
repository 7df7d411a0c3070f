//! `make chaos`: plays the scenarios, prints their figures beside their bars, and fails below one.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use chaos::figure::Figure;
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
    /// Chooses the faults of `random-faults`; it alone is played unless scenarios are named.
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Plays with each seed from 1 to this number.
    #[arg(long, value_name = "NUMBER")]
    seeds: Option<u64>,
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
    let is_seeded = arguments.seed.is_some() || arguments.seeds.is_some();
    let names = match arguments.scenarios.as_slice() {
        [] if is_seeded => vec![scenarios::SEEDED.to_owned()],
        names => names.to_vec(),
    };
    let chosen = scenarios::named(&names)?;
    let seeds: Vec<u64> = match (arguments.seed, arguments.seeds) {
        (Some(seed), _) => vec![seed],
        (None, Some(count)) => (1..=count).collect(),
        (None, None) => vec![1],
    };
    let binaries = arguments.binaries.map_or_else(stage::binaries_beside_us, Ok)?;
    let mut stage = Stage::open(binaries, arguments.scale).await?;
    eprintln!("{}, scale {}", stage.postgres_version(), arguments.scale);
    let mut rows: Vec<Row> = Vec::new();
    for (seed, scenario) in
        seeds.iter().flat_map(|&seed| chosen.iter().map(move |scenario| (seed, *scenario)))
    {
        stage.seed = seed;
        let name = match seeds.len() {
            1 => scenario.name.to_owned(),
            _ => format!("{}, seed {seed}", scenario.name),
        };
        eprintln!("{name}: {}", scenario.shows);
        let began = Instant::now();
        let result = play_one(&mut stage, scenario).await;
        eprintln!("  {:.1} s", began.elapsed().as_secs_f64());
        rows.push((name, result));
        if !arguments.keep {
            stage.clear().await?;
        }
    }
    if let Some(folder) = stage.close(arguments.keep).await? {
        eprintln!("kept: {}", folder.display());
    }
    if seeds.len() > 1 {
        rows = table::summary(rows);
    }
    print!("{}", table::render(&rows));
    Ok(table::all_passed(&rows))
}

/// The scenario's figures, and whether the database is as it must be afterwards.
async fn play_one(stage: &mut Stage, scenario: &Scenario) -> Result<Vec<Figure>, String> {
    let played = tokio::time::timeout(LIMIT, async {
        let mut figures = (scenario.run)(stage).await?;
        figures.extend(stage.check_invariants().await?);
        anyhow::Ok(figures)
    })
    .await;
    let result = match played {
        Ok(Ok(figures)) => Ok(figures),
        Ok(Err(error)) => Err(format!("{error:#}")),
        Err(_) => Err(format!("did not end within {} s", LIMIT.as_secs())),
    };
    if let Err(problem) = &result {
        eprintln!("  {problem}");
    }
    result
}
