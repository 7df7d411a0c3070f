//! The first API key: where an installation may not run without one, `app up` makes an operator's and prints it once.

use app_db::Pool;
use app_db::keys;
use serde_json::json;
use service::Config;

use crate::commands::keys::make_operators;
use crate::output::{self, Output};

const NAME: &str = "first key, made by app up";

/// Whether there are valid keys, which may be one that was made here. Only the very first key is made: where all were
/// revoked, a person decides.
pub(super) async fn has_keys_or_makes_one(
    pool: &Pool,
    config: &Config,
    output: Output,
) -> anyhow::Result<bool> {
    let mut client = pool.get().await?;
    if !keys::valid(&client).await?.is_empty() {
        return Ok(true);
    }
    let Some(why) = why_needed(config) else { return Ok(false) };
    if keys::was_any_made(&client).await? {
        return Ok(false);
    }
    let secret = make_operators(&mut client, NAME).await?;
    output.record(&json!({ "event": "first_key", "key": secret }), |_| {
        format!(
            "\nAn API key is needed, because {why}.\nThis is the first one, an operator's. It is not shown again:\n\n  \
             export APP_API_KEY={secret}\n"
        )
    })?;
    output::note("`app keys create NAME --role application` makes keys for what sends messages.");
    Ok(true)
}

fn why_needed(config: &Config) -> Option<String> {
    if config.listen.ip().is_loopback() {
        return config.why_keys_are_needed.clone();
    }
    Some(format!("the server listens on {}, which is not a loopback address", config.listen))
}
