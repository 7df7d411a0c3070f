//! Providers that an operator has taken out of use. Processors read them now and then.

use jiff::Timestamp;

use crate::pool::GenericClient;
use crate::text::storable;
use crate::{Client, Error, wake};

/// An operator's pause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderPause {
    pub provider_id: String,
    pub paused_at: Timestamp,
    /// What the operator says about it.
    pub note: Option<String>,
}

pub(crate) const PAUSE: &str =
    "insert into provider_pauses (provider_id, note) values ($1, $2) on conflict (provider_id) do nothing";

pub(crate) const NOTE: &str = "update provider_pauses set note = $2 where provider_id = $1";

/// No message goes to the provider from now on; calls under way end. Whether that is new; the note is kept in any case.
///
/// # Errors
/// As the database gives them.
pub async fn pause(
    client: &impl GenericClient,
    provider_id: &str,
    note: Option<&str>,
) -> Result<bool, Error> {
    let note = note.map(storable);
    let inserted = client.execute(PAUSE, &[&provider_id, &note]).await?;
    if inserted == 0 && note.is_some() {
        client.execute(NOTE, &[&provider_id, &note]).await?;
    }
    Ok(inserted > 0)
}

pub(crate) const RESUME: &str = "delete from provider_pauses where provider_id = $1";

/// Messages go to the provider again, and processors are told. Whether it was paused.
///
/// # Errors
/// As the database gives them.
pub async fn resume(client: &impl GenericClient, provider_id: &str) -> Result<bool, Error> {
    let deleted = client.execute(RESUME, &[&provider_id]).await?;
    wake::notify(client).await?;
    Ok(deleted > 0)
}

pub(crate) const ALL: &str = "select provider_id, paused_at, note from provider_pauses order by provider_id";

/// All pauses.
///
/// # Errors
/// As the database gives them.
pub async fn all(client: &Client) -> Result<Vec<ProviderPause>, Error> {
    let statement = client.prepare_cached(ALL).await?;
    let pause = |row: &tokio_postgres::Row| ProviderPause {
        provider_id: row.get(0),
        paused_at: row.get(1),
        note: row.get(2),
    };
    Ok(client.query(&statement, &[]).await?.iter().map(pause).collect())
}
