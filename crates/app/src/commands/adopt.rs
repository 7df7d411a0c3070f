//! `app adopt`: a copied or restored database becomes this installation's own, and its messages are sent.

use anyhow::Context;
use app_db::audit;
use serde_json::json;
use service::Config;

use crate::app_db_access::AppDb;
use crate::os_user;
use crate::output::{self, Output};

pub(crate) async fn run(output: Output) -> anyhow::Result<()> {
    let config = Config::load()?;
    let name = config.installation_name.as_deref();
    let app_db = AppDb::open(&config).await?;
    let mut client = app_db.client().await?;
    app_db::migrate::check(&client).await?;
    let before = app_db::installation::look(&client, name).await?;
    let ids = model::IdGenerator::from_entropy().context("the system gives no randomness")?;
    let transaction = app_db::begin(&mut client).await?;
    app_db::installation::adopt(&transaction, name).await?;
    let detail = json!({ "difference": before.difference() });
    audit::write(&transaction, &os_user::entry(&ids, "installation.adopt", None, detail)).await?;
    app_db::commit(transaction).await?;
    drop(client);
    app_db.close().await?;
    let difference = before.difference();
    output.record(
        &json!({ "adopted": true, "was_a_copy": difference.is_some(), "difference": difference }),
        |_| match &difference {
            Some(difference) => format!("adopted ({difference}): processors send from now on"),
            None => "this database was this installation's own already".to_owned(),
        },
    )?;
    if difference.is_some() {
        output::note(
            "What was sent after the backup was taken is not known here. Messages that `app outbox hold --all` held \
             before stay held: compare them with the provider's log, then `app outbox release` or cancel them.",
        );
    }
    Ok(())
}
