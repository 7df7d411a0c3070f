//! Group commit: members that arrived together run in one transaction, and a poisoned one fails alone.

use crate::Error;

const CONFLICT_TRIES: usize = 5;

/// Runs the group together; on a conflict again, on a refusal its members one by one. The results are in the
/// group's order.
pub(crate) async fn run<T, R>(
    group: &[T],
    together: impl AsyncFn(&[T]) -> Result<Vec<R>, Error>,
) -> Vec<Result<R, Error>> {
    match repeated(group, &together).await {
        Ok(results) => results.into_iter().map(Ok).collect(),
        Err(error @ Error::Unavailable(_)) => group.iter().map(|_| Err(error.clone())).collect(),
        Err(error) if group.len() == 1 => vec![Err(error)],
        Err(_) => {
            let mut results = Vec::with_capacity(group.len());
            for member in group {
                let alone = repeated(std::slice::from_ref(member), &together).await;
                let missing = || Error::Unreadable("a group of one without a result".to_owned());
                results.push(alone.and_then(|mut one| one.pop().ok_or_else(missing)));
            }
            results
        }
    }
}

async fn repeated<T, R>(
    group: &[T],
    together: &impl AsyncFn(&[T]) -> Result<Vec<R>, Error>,
) -> Result<Vec<R>, Error> {
    let mut result = together(group).await;
    for _ in 1..CONFLICT_TRIES {
        if !matches!(result, Err(Error::Conflict(_))) {
            break;
        }
        result = together(group).await;
    }
    result
}
