//! What must be true before a processor begins: the database answers, and its schema is right.

use std::time::Duration;

use app_db::migrate::{self, MigrateError};
use service::failures;
use tokio_util::sync::CancellationToken;

const PAUSE: Duration = Duration::from_millis(500);

/// Waits for the database and checks its schema. False where shutdown came first.
///
/// # Errors
/// When the schema is of another version, or the database cannot be used at all.
pub(crate) async fn wait_for_database(
    pool: &app_db::Pool,
    shutdown: &CancellationToken,
) -> Result<bool, MigrateError> {
    loop {
        let checked = tokio::select! {
            checked = check(pool) => checked,
            () = shutdown.cancelled() => return Ok(false),
        };
        match checked {
            Ok(()) => return Ok(true),
            Err(MigrateError::Database(error @ app_db::Error::Unavailable(_))) => {
                failures::report("waiting for the database", &error);
            }
            Err(error) => return Err(error),
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = shutdown.cancelled() => return Ok(false),
        }
    }
}

async fn check(pool: &app_db::Pool) -> Result<(), MigrateError> {
    let client = app_db::pool::get(pool).await?;
    migrate::check(&client).await?;
    for warning in migrate::durability_warnings(&client).await? {
        tracing::warn!("{warning}");
    }
    Ok(())
}
