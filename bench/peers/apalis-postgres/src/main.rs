//! apalis-postgres with its documented fast settings: large batches, which it also acknowledges at once, and LISTEN
//! in place of polling. Times the workers from their start until no job is open in the database.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use apalis::prelude::{TaskSink, WorkerBuilder};
use apalis_postgres::{Config, PostgresStorage};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::task::JoinSet;

/// On two cores, six workers, batches of 2,000 or `lock_tasks(false)` were no faster; batches of 500 were slower.
const WORKERS: usize = 4;
const BATCH: usize = 1_000;

static RAN: AtomicUsize = AtomicUsize::new(0);

async fn nothing(_number: u32) {
    RAN.fetch_add(1, Ordering::Relaxed);
}

async fn jobs_are_open(pool: &PgPool) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("select exists (select from apalis.jobs where status <> 'Done')").fetch_one(pool).await
}

/// When the database had no open job any more.
async fn drained(pool: &PgPool, jobs: usize) -> Result<Instant, sqlx::Error> {
    // No index of apalis serves the question whether a job is open: asked all along, it would take the workers' time.
    while RAN.load(Ordering::Relaxed) < jobs {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    loop {
        // The answer holds for the moment of asking, and reading the whole table for it is not the workers' time.
        let asked = Instant::now();
        if !jobs_are_open(pool).await? {
            return Ok(asked);
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let jobs: usize = std::env::var("BENCH_JOBS")?.parse()?;
    let pool = PgPoolOptions::new().max_connections(10).connect(&std::env::var("DATABASE_URL")?).await?;
    PostgresStorage::setup(&pool).await?;
    let config = Config::default().queue("nothing").batch_size(BATCH);
    let mut storage = PostgresStorage::<u32>::new(&pool).with_config(config);
    let numbers: Vec<u32> = (0..u32::try_from(jobs)?).collect();
    for some in numbers.chunks(5_000) {
        storage.push_bulk(some.to_vec()).await?;
    }
    sqlx::query("vacuum analyze apalis.jobs").execute(&pool).await?;

    let began = Instant::now();
    let mut workers = JoinSet::new();
    for number in 0..WORKERS {
        let backend = storage.clone().with_pubsub();
        let worker = WorkerBuilder::new(format!("worker-{number}")).backend(backend).build(nothing);
        workers.spawn(worker.run());
    }
    let ended = tokio::select! {
        ended = drained(&pool, jobs) => ended?,
        Some(stopped) = workers.join_next() => return Err(format!("a worker stopped: {stopped:?}").into()),
    };
    println!(r#"{{"jobs":{jobs},"seconds":{}}}"#, (ended - began).as_secs_f64());
    std::process::exit(0);
}
