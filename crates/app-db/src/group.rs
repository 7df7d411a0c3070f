//! Group commit: members that arrived together run in one transaction, and a poisoned one fails alone.

use jiff::Timestamp;
use model::IdGenerator;

use crate::{Error, Pool, partitions};

const CONFLICT_TRIES: usize = 5;

/// What a group works with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Surroundings<'a> {
    pub pool: &'a Pool,
    pub ids: &'a IdGenerator,
    pub now: Timestamp,
}

/// Something that is written in groups.
pub(crate) trait Member: Sync + Sized {
    /// What becomes of a member.
    type Result: Send;

    /// Writes all members in one transaction; the results are in their order.
    fn write_together(
        members: &[Self],
        surroundings: Surroundings<'_>,
    ) -> impl Future<Output = Result<Vec<Self::Result>, Error>> + Send;
}

/// Runs the group together; on a conflict again, also where a partition was missing, which is created; on a refusal its
/// members one by one. The results are in the group's order.
pub(crate) async fn run<M: Member>(
    members: &[M],
    surroundings: Surroundings<'_>,
) -> Vec<Result<M::Result, Error>> {
    match repeated(members, surroundings).await {
        Ok(results) => results.into_iter().map(Ok).collect(),
        Err(error @ Error::Unavailable(_)) => members.iter().map(|_| Err(error.clone())).collect(),
        Err(error) if members.len() == 1 => vec![Err(error)],
        Err(_) => {
            let mut results = Vec::with_capacity(members.len());
            for member in members {
                let alone = repeated(std::slice::from_ref(member), surroundings).await;
                let missing = || Error::Unreadable("a group of one without a result".to_owned());
                results.push(alone.and_then(|mut one| one.pop().ok_or_else(missing)));
            }
            results
        }
    }
}

async fn repeated<M: Member>(members: &[M], surroundings: Surroundings<'_>) -> Result<Vec<M::Result>, Error> {
    // Boxed: callers hold this future within their own, and it is large.
    let mut result = Box::pin(M::write_together(members, surroundings)).await;
    for _ in 1..CONFLICT_TRIES {
        match &result {
            Err(Error::Conflict(_)) => {}
            Err(error @ Error::NoPartition { .. }) => {
                Box::pin(partitions::make_missing(surroundings.pool, error)).await?;
            }
            _ => break,
        }
        result = Box::pin(M::write_together(members, surroundings)).await;
    }
    result
}
