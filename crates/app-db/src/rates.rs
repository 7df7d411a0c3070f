//! The calls a second that a provider takes, shared by all processors. One row for each provider, by the generic cell
//! rate algorithm: it holds until when the budget is used up, so a step is one update and needs no clock but the
//! database's.

use crate::{Client, Error};

pub(crate) const ADD_ROW: &str =
    "insert into provider_rates (provider_id, used_until) values ($1, clock_timestamp())
                   on conflict (provider_id) do nothing";

/// Takes up to `wanted` calls of a budget of `rate` a second, of which up to `burst_s` seconds' worth (at least one
/// call) may be taken at once. Returns how many were there.
///
/// # Errors
/// As the database gives them; what was taken is then lost to everybody, which only makes the rate lower for a moment.
pub async fn take(
    client: &Client,
    provider_id: &str,
    rate: f64,
    burst_s: f64,
    wanted: usize,
) -> Result<usize, Error> {
    let wanted = f64::from(u32::try_from(wanted).unwrap_or(u32::MAX));
    loop {
        if let Some(given) = take_from_row(client, provider_id, rate, burst_s, wanted).await? {
            return Ok(given);
        }
        client.execute(ADD_ROW, &[&provider_id]).await?;
    }
}

pub(crate) fn take_sql() -> String {
    // clock_timestamp(), not now(): a statement that waited for the row's lock must not count from before that. The thousandth is
    // for what the clock and the division round off.
    let room = "least($4::float8, greatest(0, floor(0.001 + $3::float8
        - $2::float8 * greatest(0, extract(epoch from used_until - clock_timestamp())::float8))))";
    format!(
        "update provider_rates set given = {room},
             used_until = greatest(used_until, clock_timestamp()) + {room} / $2 * interval '1 second'
         where provider_id = $1 returning given"
    )
}

/// Nothing where the provider has no row yet.
async fn take_from_row(
    client: &Client,
    provider_id: &str,
    rate: f64,
    burst_s: f64,
    wanted: f64,
) -> Result<Option<usize>, Error> {
    let burst = (burst_s * rate).floor().max(1.0);
    let statement = client.prepare_cached(&take_sql()).await?;
    let row = client.query_opt(&statement, &[&provider_id, &rate, &burst, &wanted]).await?;
    Ok(row.map(|row| usize::try_from(row.get::<_, i32>(0)).unwrap_or(0)))
}

pub(crate) const GIVE_BACK: &str =
    "update provider_rates set used_until = used_until - $2 * interval '1 second' where provider_id = $1";

/// Gives back calls that were taken and not made.
///
/// # Errors
/// As the database gives them.
pub async fn give_back(client: &Client, provider_id: &str, rate: f64, calls: usize) -> Result<(), Error> {
    let statement = client.prepare_cached(GIVE_BACK).await?;
    let seconds = f64::from(u32::try_from(calls).unwrap_or(u32::MAX)) / rate;
    client.execute(&statement, &[&provider_id, &seconds]).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn takers_share_one_budget_and_what_is_given_back_is_there_again() {
        let database = testkit::database().await;
        let client = crate::connect(&database.url, 1).unwrap().get().await.unwrap();
        // So slow that the test's own time earns nothing.
        let rate = 0.001;
        assert_eq!(take(&client, "p", rate, 10_000.0, 4).await.unwrap(), 4);
        assert_eq!(
            take(&client, "q", rate, 10_000.0, 100).await.unwrap(),
            10,
            "another provider's is its own"
        );
        let mut others = Vec::new();
        for _ in 0..4 {
            let client = crate::connect(&database.url, 1).unwrap().get().await.unwrap();
            others.push(async move { take(&client, "p", rate, 10_000.0, 4).await.unwrap() });
        }
        let taken = futures_util::future::join_all(others).await;
        assert_eq!(taken.iter().sum::<usize>(), 6, "{taken:?}");
        give_back(&client, "p", rate, 3).await.unwrap();
        assert_eq!(take(&client, "p", rate, 10_000.0, 100).await.unwrap(), 3);
    }

    #[tokio::test]
    async fn a_budget_fills_with_time_up_to_its_burst() {
        let database = testkit::database().await;
        let client = crate::connect(&database.url, 1).unwrap().get().await.unwrap();
        assert_eq!(take(&client, "p", 1.0, 5.0, 100).await.unwrap(), 5);
        let later = |seconds: f64| {
            format!("update provider_rates set used_until = used_until - {seconds} * interval '1 second'")
        };
        client.batch_execute(&later(2.0)).await.unwrap();
        assert_eq!(take(&client, "p", 1.0, 5.0, 100).await.unwrap(), 2);
        client.batch_execute(&later(3600.0)).await.unwrap();
        assert_eq!(take(&client, "p", 1.0, 5.0, 100).await.unwrap(), 5, "an hour's is not saved up");
    }
}
