//! What can go wrong between us and PostgreSQL, by what the caller can do about it.

use std::sync::Arc;

use deadpool_postgres::PoolError;
use tokio_postgres::error::SqlState;

/// Cheap to clone: everybody in a failed group gets it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// No connection, or it broke. Whether a commit under way happened is then unknown.
    #[error("the database cannot be reached")]
    Unavailable(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// Two transactions stood in each other's way; the same again will do.
    #[error("the database asks to repeat the transaction")]
    Conflict(#[source] Arc<tokio_postgres::Error>),
    #[error("the database refused a statement")]
    Refused(#[source] Arc<tokio_postgres::Error>),
    /// A stored value that this version does not know.
    #[error("the database holds a value that this version does not know: {0}")]
    Unreadable(String),
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(state) = error.code() else { return Self::Unavailable(Arc::new(error)) };
        let class = &state.code()[..2];
        if *state == SqlState::T_R_DEADLOCK_DETECTED || *state == SqlState::T_R_SERIALIZATION_FAILURE {
            Self::Conflict(Arc::new(error))
        } else if matches!(class, "08" | "57" | "53") {
            // Connection, operator intervention (shutdown, time-out), out of resources.
            Self::Unavailable(Arc::new(error))
        } else {
            Self::Refused(Arc::new(error))
        }
    }
}

impl From<PoolError> for Error {
    fn from(error: PoolError) -> Self {
        match error {
            // A database that takes no connections for now; within a session the same code is a refusal.
            PoolError::Backend(error)
                if error.code() == Some(&SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE) =>
            {
                Self::Unavailable(Arc::new(error))
            }
            PoolError::Backend(error) => Self::from(error),
            error => Self::Unavailable(Arc::new(error)),
        }
    }
}

impl From<model::channel::UnknownWord> for Error {
    fn from(error: model::channel::UnknownWord) -> Self {
        Self::Unreadable(error.to_string())
    }
}
