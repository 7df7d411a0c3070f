//! `app migrate`: the schema, and the partitions of the weeks to come.

use serde_json::json;
use service::Config;

use crate::app_db_access::AppDb;
use crate::output::Output;

pub(crate) async fn run(output: Output) -> anyhow::Result<()> {
    let config = Config::load()?;
    let app_db = AppDb::open(&config).await?;
    let mut client = app_db.client().await?;
    let applied = app_db::migrate::run(&mut client).await?;
    app_db::installation::store_first(&client, config.installation_name.as_deref()).await?;
    drop(client);
    app_db.close().await?;
    for name in &applied {
        output.record(&json!({ "applied": name }), |_| format!("applied {name}"))?;
    }
    let version = app_db::migrate::newest_version();
    let count = applied.len();
    output.record(&json!({ "schema_version": version, "applied": count }), |_| {
        let what = if count == 0 { "nothing to do" } else { "up to date" };
        format!("the schema is at version {version}: {what}")
    })
}
