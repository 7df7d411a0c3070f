//! graphile_worker (Rust) with its documented fast settings: local queues and batched completion. Times the worker
//! from its start until no job is left in the database.

use std::time::{Duration, Instant};

use graphile_worker::{IntoTaskHandlerResult, LocalQueueConfig, TaskHandler, WorkerContext, WorkerOptions};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

#[derive(Clone, Deserialize, Serialize)]
struct Nothing {}

impl TaskHandler for Nothing {
    const IDENTIFIER: &'static str = "nothing";

    async fn run(self, _context: WorkerContext) -> impl IntoTaskHandlerResult {
        Ok::<(), String>(())
    }
}

async fn jobs_are_left(pool: &PgPool) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("select exists (select from graphile_worker._private_jobs)").fetch_one(pool).await
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let jobs: usize = std::env::var("BENCH_JOBS")?.parse()?;
    let pool = PgPoolOptions::new().max_connections(10).connect(&std::env::var("DATABASE_URL")?).await?;
    let worker = WorkerOptions::default()
        .concurrency(24)
        .schema("graphile_worker")
        .define_job::<Nothing>()
        .pg_pool(pool.clone())
        .local_queue(LocalQueueConfig::default().with_size(500))
        .complete_job_batch_delay(Duration::from_millis(1))
        .fail_job_batch_delay(Duration::from_millis(1))
        .listen_os_shutdown_signals(false)
        .init()
        .await?;
    let utils = worker.create_utils();
    let spec = Default::default();
    let batch: Vec<_> = (0..5_000).map(|_| (Nothing {}, &spec)).collect();
    for first in (0..jobs).step_by(batch.len()) {
        utils.add_jobs::<Nothing>(&batch[..batch.len().min(jobs - first)]).await?;
    }
    sqlx::query("vacuum analyze graphile_worker._private_jobs").execute(&pool).await?;

    let began = Instant::now();
    tokio::spawn(async move { worker.run().await.map_err(|error| eprintln!("{error}")) });
    while jobs_are_left(&pool).await? {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    println!(r#"{{"jobs":{jobs},"seconds":{}}}"#, began.elapsed().as_secs_f64());
    std::process::exit(0);
}
