//! `app providers pause|resume`, in app-db, where every processor reads them.

use anyhow::{Context, bail};
use app_db::{Client, audit, provider_pauses, provider_states};
use serde_json::json;
use service::Config;

use super::known_ids;
use crate::os_user;
use crate::output::Output;

pub(super) async fn pause(
    config: &Config,
    client: &mut Client,
    id: &str,
    note: Option<&str>,
    output: Output,
) -> anyhow::Result<()> {
    let known = known_ids(config, &provider_states::all(client).await?);
    if !known.iter().any(|known| known == id) {
        bail!("{}", unknown(id, &known));
    }
    let ids = model::IdGenerator::from_entropy().context("the system gives no randomness")?;
    let transaction = app_db::begin(client).await?;
    let is_new = provider_pauses::pause(&transaction, id, note).await?;
    let entry = os_user::entry(&ids, "provider.pause", Some(id.to_owned()), json!({ "note": note }));
    audit::write(&transaction, &entry).await?;
    app_db::commit(transaction).await?;
    let value = json!({ "provider_id": id, "paused": true, "changed": is_new });
    output
        .record(&value, |_| if is_new { format!("paused {id}") } else { format!("{id} was paused already") })
}

/// Also what the configuration no longer has, so that a pause can always be lifted.
pub(super) async fn resume(
    config: &Config,
    client: &mut Client,
    id: &str,
    output: Output,
) -> anyhow::Result<()> {
    let ids = model::IdGenerator::from_entropy().context("the system gives no randomness")?;
    let transaction = app_db::begin(client).await?;
    let was_paused = provider_pauses::resume(&transaction, id).await?;
    if was_paused {
        let entry = os_user::entry(&ids, "provider.resume", Some(id.to_owned()), json!({}));
        audit::write(&transaction, &entry).await?;
    }
    app_db::commit(transaction).await?;
    if !was_paused {
        let known = known_ids(config, &provider_states::all(client).await?);
        if !known.iter().any(|known| known == id) {
            bail!("{}", unknown(id, &known));
        }
    }
    let value = json!({ "provider_id": id, "paused": false, "changed": was_paused });
    output.record(
        &value,
        |_| {
            if was_paused { format!("resumed {id}") } else { format!("{id} was not paused") }
        },
    )
}

fn unknown(id: &str, known: &[String]) -> String {
    if known.is_empty() {
        return format!("there is no provider `{id}`: none is configured");
    }
    format!("there is no provider `{id}`; there are {}", known.join(", "))
}
