//! What can go wrong between us and PostgreSQL, by what the caller can do about it. Errors are logged: they must not
//! carry what the statement was about (PostgreSQL's DETAIL quotes whole rows).

use std::sync::Arc;

use deadpool::managed::PoolError;
use tokio_postgres::error::{DbError, SqlState};
use uuid::Uuid;

use crate::pool::LinkError;

/// Cheap to clone: everybody in a failed group gets it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// No connection, or it broke, or the server does not serve now. Whether a commit under way happened is then
    /// unknown.
    #[error("the database cannot be reached")]
    Unavailable(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// Two transactions stood in each other's way; the same again will do.
    #[error("the database asks to repeat the transaction")]
    Conflict(#[source] Arc<Answer>),
    #[error("the database refused a statement")]
    Refused(#[source] Arc<Answer>),
    /// No partition exists for a row's week. [`crate::partitions::make_missing`] creates it; then the statement can be
    /// repeated.
    #[error("the database has no partition for the week of a message")]
    NoPartition {
        /// The message, where the role may see it.
        id: Option<Uuid>,
        #[source]
        answer: Arc<Answer>,
    },
    /// A stored value that this version does not know.
    #[error("the database holds a value that this version does not know: {0}")]
    Unreadable(String),
    /// The database is of a kind that cannot be used: repeating does not help.
    #[error("{0}")]
    Unusable(String),
}

/// PostgreSQL's error, without the values it is about.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message} (SQLSTATE {state}{})", place.as_deref().map(|place| format!(", {place}")).unwrap_or_default())]
pub struct Answer {
    pub state: String,
    message: String,
    /// Table and constraint.
    place: Option<String>,
}

impl Answer {
    fn of(error: &DbError) -> Self {
        let place: Vec<&str> = [error.table(), error.constraint()].into_iter().flatten().collect();
        Self {
            state: error.code().code().to_owned(),
            message: error.message().to_owned(),
            place: (!place.is_empty()).then(|| place.join(" ")),
        }
    }
}

impl Error {
    /// Whether the values themselves were refused (data exception, integrity constraint): no repetition will do.
    pub fn is_about_values(&self) -> bool {
        matches!(self, Self::Refused(answer) if matches!(&answer.state[..2], "22" | "23"))
    }

    /// Whether the role may not do this.
    pub fn is_missing_privilege(&self) -> bool {
        let state = SqlState::INSUFFICIENT_PRIVILEGE;
        matches!(self, Self::Refused(answer) if answer.state == state.code())
    }
}

/// Deadlock, serialization failure, lock not available in time.
const CONFLICTS: [SqlState; 3] =
    [SqlState::T_R_DEADLOCK_DETECTED, SqlState::T_R_SERIALIZATION_FAILURE, SqlState::LOCK_NOT_AVAILABLE];

const ENDS_OF_SESSIONS: [SqlState; 2] =
    [SqlState::READ_ONLY_SQL_TRANSACTION, SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT];

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(said) = error.as_db_error() else { return Self::Unavailable(Arc::new(error)) };
        let answer = Arc::new(Answer::of(said));
        if CONFLICTS.contains(said.code()) {
            return Self::Conflict(answer);
        }
        if is_missing_partition(said) {
            return Self::NoPartition { id: said.detail().and_then(first_uuid), answer };
        }
        match &answer.state[..2] {
            // Connection, resources, operator intervention (shutdown, time-out), system, internal.
            "08" | "53" | "57" | "58" | "XX" => Self::Unavailable(answer),
            // A read-only server: a failover is under way. Or the server ended a session that was slow to go on.
            "25" if ENDS_OF_SESSIONS.contains(said.code()) => Self::Unavailable(answer),
            _ => Self::Refused(answer),
        }
    }
}

/// A check violation without a constraint is a row that no partition takes (`ExecFindPartition`).
fn is_missing_partition(error: &DbError) -> bool {
    *error.code() == SqlState::CHECK_VIOLATION && error.constraint().is_none() && error.table().is_some()
}

/// DETAIL names the partition key's value, in every language: `... (id) = (019a...).`
fn first_uuid(detail: &str) -> Option<Uuid> {
    const UUID_LENGTH: usize = 36;
    let starts = detail.char_indices().map(|(start, _)| start);
    starts.filter_map(|start| detail.get(start..start + UUID_LENGTH)).find_map(|text| text.parse().ok())
}

/// There is no connection, whatever the server answers: a password may be changed, a database created anew.
impl From<LinkError> for Error {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Postgres(error) => match error.as_db_error() {
                Some(said) => Self::Unavailable(Arc::new(Answer::of(said))),
                None => Self::Unavailable(Arc::new(error)),
            },
            LinkError::Encoding(_) | LinkError::TransactionPooling => Self::Unusable(error.to_string()),
            error => Self::Unavailable(Arc::new(error)),
        }
    }
}

impl From<PoolError<LinkError>> for Error {
    fn from(error: PoolError<LinkError>) -> Self {
        match error {
            PoolError::Backend(error) => error.into(),
            error => Self::Unavailable(Arc::new(error)),
        }
    }
}

impl From<model::channel::UnknownWord> for Error {
    fn from(error: model::channel::UnknownWord) -> Self {
        Self::Unreadable(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_of_a_missing_partition_is_read_from_the_detail() {
        let id = "019ad5b8-d7a0-7012-8000-000000000001";
        let english = format!("Partition key of the failing row contains (id) = ({id}).");
        let german = format!("Partitionierungsschlüssel der fehlgeschlagenen Zeile enthält (id) = ({id}).");
        for detail in [english, german] {
            assert_eq!(first_uuid(&detail), Some(id.parse().unwrap()), "{detail}");
        }
        assert_eq!(first_uuid("Partition key of the failing row contains (id) = (null)."), None);
    }
}
