//! What a run was made on: told in the report, since figures mean nothing without it.

use serde_json::{Value, json};

use crate::bench::Bench;

/// The settings of PostgreSQL that move the figures.
const SETTINGS: &str = "select name, current_setting(name) from unnest(array['fsync', 'synchronous_commit',
    'full_page_writes', 'wal_level', 'shared_buffers', 'max_wal_size', 'checkpoint_timeout', 'autovacuum',
    'wal_compression', 'max_connections']) as name";

/// # Errors
/// When the database does not answer.
pub async fn describe(bench: &mut Bench) -> anyhow::Result<Value> {
    let installation = bench.installation().await?;
    let client = installation.pool.get().await?;
    let server: String = client.query_one("select current_setting('server_version')", &[]).await?.get(0);
    let rows = client.query(SETTINGS, &[]).await?;
    let settings: serde_json::Map<String, Value> =
        rows.iter().map(|row| (row.get(0), Value::String(row.get(1)))).collect();
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let memory_kb: f64 =
        field(&read("/proc/meminfo"), "MemTotal").trim_end_matches(" kB").parse().unwrap_or_default();
    Ok(json!({
        "processor": field(&read("/proc/cpuinfo"), "model name"),
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "memory_gb": (memory_kb * 1024.0 / 1e9).round(),
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "load_at_start": read("/proc/loadavg").split(' ').next().unwrap_or_default(),
        "postgres": server,
        "settings": settings,
    }))
}
