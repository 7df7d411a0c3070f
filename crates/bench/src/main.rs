//! `make bench`: measures our binaries, the limits of the machine and other systems in turns, in one run; writes the
//! report, prints the judged figures, and fails below a floor.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use chaos::stage::{self, Stage};
use clap::Parser;
use service::Clock;

use bench::bench::{Bench, Plan};
use bench::guard;
use bench::machine;
use bench::measurements::{self, Measurement, Times};
use bench::report::Report;
use bench::samples::Samples;

/// Of the guard: enough to tell a regression, little enough for every change.
const GUARD_ROUNDS: usize = 3;
const GUARD_JOBS: usize = 20_000;

/// Measures the release binaries, limits and peers in turns, on a PostgreSQL of its own with durable settings.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The measurements to take [default: all]. Only a run of all of them writes the report.
    measurements: Vec<String>,
    /// How often each measurement is taken, in turns with the others.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long a measurement without an end of its own takes in a round.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Messages or jobs of a drain.
    #[arg(long, default_value_t = 100_000)]
    jobs: usize,
    /// Rows of the backlog and of the stored messages that are compared with small ones.
    #[arg(long, default_value_t = 10_000_000)]
    large: usize,
    /// Messages that go through a database before its claims are measured again.
    #[arg(long, default_value_t = 1_000_000)]
    processed: usize,
    /// How long a snapshot is held open while messages go through.
    #[arg(long, default_value_t = 600)]
    snapshot_seconds: u64,
    /// A short look: a million rows instead of ten, a snapshot of seconds.
    #[arg(long)]
    quick: bool,
    /// The regression guard: a minute of ratios with bars that hold on a noisy machine too. Writes no report.
    #[arg(long, conflicts_with_all = ["measurements", "report", "quick"])]
    guard: bool,
    /// Where the binaries are [default: beside this program].
    #[arg(long, value_name = "FOLDER")]
    binaries: Option<PathBuf>,
    /// Where the report goes [default: the checkout's docs].
    #[arg(long, value_name = "FOLDER")]
    report: Option<PathBuf>,
    /// List the measurements.
    #[arg(long)]
    list: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        tokio::select! {
            passed = measure(Arguments::parse()) => Ok(if passed? { ExitCode::SUCCESS } else { ExitCode::FAILURE }),
            // What was started goes with its handles.
            _ = tokio::signal::ctrl_c() => Ok(ExitCode::from(130)),
        }
    })
}

async fn measure(arguments: Arguments) -> anyhow::Result<bool> {
    if arguments.list {
        for Measurement { name, shows, .. } in measurements::MEASUREMENTS {
            println!("{name:<16}  {shows}");
        }
        return Ok(true);
    }
    anyhow::ensure!(
        arguments.rounds >= 1 && arguments.seconds > 0.0,
        "--rounds and --seconds are more than 0"
    );
    if arguments.guard {
        return watch(&arguments).await;
    }
    let chosen = measurements::named(&arguments.measurements)?;
    let binaries = arguments.binaries.clone().map_or_else(stage::binaries_beside_us, Ok)?;
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let peers_target = binaries.parent().context("a folder")?.join("bench-peers");
    let stage = Stage::open(binaries, 1.0).await?;
    let mut bench = Bench::new(stage, plan(&arguments, &checkout, peers_target));
    let when = Clock::System.now().strftime("%Y-%m-%d %H:%M UTC").to_string();
    let machine = machine::describe(&mut bench).await?;
    let mut failures = Vec::new();
    for round in 1..=bench.plan.rounds {
        for measurement in chosen.iter().filter(|m| m.times == Times::EachRound) {
            take(&mut bench, measurement, &format!("round {round}"), &mut failures).await?;
        }
    }
    for measurement in chosen.iter().filter(|m| m.times == Times::Once) {
        take(&mut bench, measurement, "once", &mut failures).await?;
    }
    let report = Report { machine, when, failures };
    println!("{}", Report::verdicts(&bench));
    let is_whole = chosen.len() == measurements::MEASUREMENTS.len();
    if is_whole || arguments.report.is_some() {
        let folder = arguments.report.unwrap_or_else(|| checkout.join("docs"));
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("benchmarks.md"), report.markdown(&bench))?;
        let json = serde_json::to_string_pretty(&report.json(&bench))? + "\n";
        std::fs::write(folder.join("benchmarks.json"), json)?;
    } else {
        println!("{}", report.markdown(&bench));
    }
    let passed = report.passed(&bench);
    for failure in &report.failures {
        println!("broken off: {failure}");
    }
    bench.stage.close(false).await?;
    Ok(passed)
}

/// The guard's run, again where a bar was missed.
async fn watch(arguments: &Arguments) -> anyhow::Result<bool> {
    let names: Vec<String> = guard::MEASUREMENTS.iter().map(|name| (*name).to_owned()).collect();
    let chosen = measurements::named(&names)?;
    let binaries = arguments.binaries.clone().map_or_else(stage::binaries_beside_us, Ok)?;
    let plan = Plan {
        rounds: GUARD_ROUNDS,
        time: Duration::from_secs(1),
        jobs: GUARD_JOBS,
        ..plan(arguments, Path::new("."), PathBuf::new())
    };
    let mut bench = Bench::new(Stage::open(binaries, 1.0).await?, plan);
    let mut holds = false;
    for number in 1..=guard::TRIES {
        bench.samples = Samples::default();
        let mut failures = Vec::new();
        for round in 1..=bench.plan.rounds {
            for measurement in &chosen {
                take(&mut bench, measurement, &format!("try {number}, round {round}"), &mut failures).await?;
            }
        }
        println!("{}", guard::table(&bench.samples));
        holds = failures.is_empty() && guard::GUARDS.iter().all(|guard| guard.holds(&bench.samples));
        if holds {
            break;
        }
    }
    bench.stage.close(false).await?;
    Ok(holds)
}

async fn take(
    bench: &mut Bench,
    measurement: &Measurement,
    which: &str,
    failures: &mut Vec<String>,
) -> anyhow::Result<()> {
    let began = std::time::Instant::now();
    if let Err(error) = (measurement.run)(bench).await {
        eprintln!("  {error:#}");
        failures.push(format!("{} ({which}): {error:#}", measurement.name));
    }
    eprintln!("{which}: {} {:.0} s", measurement.name, began.elapsed().as_secs_f64());
    bench.stage.clear().await
}

fn plan(arguments: &Arguments, checkout: &Path, peers_target: PathBuf) -> Plan {
    let quick = |full: usize, short: usize| if arguments.quick { full.min(short) } else { full };
    let snapshot_s =
        if arguments.quick { arguments.snapshot_seconds.min(20) } else { arguments.snapshot_seconds };
    Plan {
        rounds: arguments.rounds,
        time: Duration::from_secs_f64(arguments.seconds),
        jobs: arguments.jobs,
        large: quick(arguments.large, 1_000_000),
        processed: quick(arguments.processed, 200_000),
        snapshot: Duration::from_secs(snapshot_s),
        idle_messages: quick(500, 200),
        peers_target,
        peers_source: checkout.join("bench/peers"),
    }
}
