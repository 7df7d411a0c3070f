//! What must be true before requests are served: the database answers, its schema is of this version, partitions
//! are there, and the API keys are known. Until then the server listens and says that it is not ready.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use app_db::Client;
use app_db::migrate::{self, MigrateError};
use app_db::partitions::{self, Outlook};

use crate::App;
use crate::run::RunError;

use service::telemetry::chain;

const RETRY_INTERVAL: Duration = Duration::from_millis(500);
const PARTITIONS_INTERVAL: Duration = Duration::from_secs(3600);
/// While this week's partition is missing and the role may not create it.
const PARTITIONS_MISSING_INTERVAL: Duration = Duration::from_secs(5);
const PARTITIONS_WARNING_INTERVAL: Duration = Duration::from_secs(24 * 3600);

/// Which weeks have their partitions, as of the last look. Nothing before the first.
#[derive(Debug, Default)]
pub(crate) struct PartitionsState(Mutex<Option<Outlook>>);

impl PartitionsState {
    pub(crate) fn outlook(&self) -> Option<Outlook> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ensure(&self, client: &mut Client) -> Result<Outlook, app_db::Error> {
        let outlook = partitions::ensure_ahead(client).await?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(outlook);
        Ok(outlook)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Startup {
    done: AtomicBool,
}

impl Startup {
    pub(crate) fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire)
    }
}

/// Waits for the database as long as it takes.
pub(crate) async fn prepare(app: &App) -> Result<(), RunError> {
    let mut said = false;
    loop {
        match try_to_prepare(app).await {
            Ok(()) => {
                app.startup.done.store(true, Ordering::Release);
                tracing::info!("the database is ready");
                return Ok(());
            }
            Err(RunError::Schema(MigrateError::Database(error))) if is_passing(&error) => {
                if !said {
                    tracing::warn!(
                        error = chain(&error),
                        "the database cannot be reached yet; trying again until it can"
                    );
                    said = true;
                }
            }
            Err(error) => return Err(error),
        }
        tokio::time::sleep(RETRY_INTERVAL).await;
    }
}

fn is_passing(error: &app_db::Error) -> bool {
    matches!(error, app_db::Error::Unavailable(_) | app_db::Error::Conflict(_))
}

async fn try_to_prepare(app: &App) -> Result<(), RunError> {
    let database = |error: app_db::Error| RunError::Schema(MigrateError::Database(error));
    let mut client = app_db::pool::get(&app.pool).await.map_err(database)?;
    migrate::check(&client).await?;
    for warning in migrate::durability_warnings(&client).await.map_err(database)? {
        tracing::warn!("{warning}");
    }
    app.database_watch.read(&client).await.map_err(database)?;
    app.partitions.ensure(&mut client).await.map_err(database)?;
    app.keys.read(&client).await.map_err(database)?;
    match app.keys.why_unusable() {
        Ok(Some(why)) => Err(RunError::NoApiKeys(why)),
        // They were read just now.
        Ok(None) | Err(_) => Ok(()),
    }
}

/// Makes partitions ahead of need. Runs until it is dropped.
pub(crate) async fn keep_partitions(app_pool: &app_db::Pool, partitions: &PartitionsState) {
    let mut warned_at: Option<Instant> = None;
    loop {
        if let Some(warning) = partitions.outlook().and_then(|outlook| outlook.warning())
            && warned_at.is_none_or(|at| at.elapsed() >= PARTITIONS_WARNING_INTERVAL)
        {
            tracing::warn!("{warning}");
            warned_at = Some(Instant::now());
        }
        let is_missing = partitions.outlook().is_some_and(|outlook| !outlook.has_this_week());
        let pause = if is_missing { PARTITIONS_MISSING_INTERVAL } else { PARTITIONS_INTERVAL };
        tokio::time::sleep(pause).await;
        let ensured = async { partitions.ensure(&mut app_db::pool::get(app_pool).await?).await };
        if let Err(error) = ensured.await {
            tracing::warn!(error = chain(&error), "partitions were not made; trying again later");
        }
    }
}
