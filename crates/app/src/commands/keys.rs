//! `app keys`: API keys, directly in app-db, since the first one cannot be made through an API that wants one.

use anyhow::{Context, bail};
use app_db::audit;
use app_db::keys::{ApiKey, Role, ValidKey};
use clap::Subcommand;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde_json::json;
use service::{Clock, Config};
use uuid::Uuid;

use crate::app_db_access::AppDb;
use crate::os_user;
use crate::output::{self, Output};

#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    /// Make a key; it is shown this once
    Create {
        /// Whose key it is, for people
        name: String,
        /// What it may do: an operator's everything, an application's the API of messages but not the console
        #[arg(long, default_value = "operator", value_parser = roles())]
        role: Role,
    },
    /// List keys, without their secrets
    List,
    /// Refuse a key from now on
    Revoke {
        /// Its id, or its name where no other valid key has it
        key: String,
    },
}

fn roles() -> impl TypedValueParser<Value = Role> {
    PossibleValuesParser::new(Role::ALL.map(Role::as_str)).try_map(|word| word.parse::<Role>())
}

pub(crate) async fn run(command: Keys, output: Output) -> anyhow::Result<()> {
    let app_db = AppDb::open(&Config::load()?).await?;
    let mut client = app_db.client().await?;
    app_db::migrate::check(&client).await?;
    let done = work(command, output, &mut client).await;
    drop(client);
    app_db.close().await?;
    done
}

async fn work(command: Keys, output: Output, client: &mut app_db::Client) -> anyhow::Result<()> {
    match command {
        Keys::Create { name, role } => create(&name, role, output, client).await,
        Keys::List => list(output, client).await,
        Keys::Revoke { key } => revoke(&key, output, client).await,
    }
}

async fn revoke(key: &str, output: Output, client: &mut app_db::Client) -> anyhow::Result<()> {
    let id = id_of(key, &app_db::keys::list(client).await?)?;
    let ids = model::IdGenerator::from_entropy().context("the system gives no randomness")?;
    let transaction = app_db::begin(client).await?;
    if !app_db::keys::revoke(&transaction, id).await? {
        bail!("there is no key {id} that is not revoked yet; `app keys list` shows them");
    }
    let entry = os_user::entry(&ids, "key.revoke", Some(id.to_string()), json!({}));
    audit::write(&transaction, &entry).await?;
    app_db::commit(transaction).await?;
    output.record(&json!({ "id": id, "revoked": true }), |_| format!("revoked {id}"))?;
    if let Some(meaning) = meaning_of(&app_db::keys::valid(client).await?) {
        output::warning(meaning);
    }
    Ok(())
}

/// What it means that no other keys are left than these, where that is something to know.
fn meaning_of(left: &[ValidKey]) -> Option<&'static str> {
    if left.is_empty() {
        return Some(
            "no valid key is left: every request is refused from now on, and servers do not start again; \
             `app keys create NAME` makes a key",
        );
    }
    let has_operator = left.iter().any(|key| key.role == Role::Operator);
    (!has_operator).then_some(
        "no operator's key is left: nobody can log in to the console; `app keys create NAME` makes one",
    )
}

/// The key that is meant: by its id, or as the only valid one of its name.
fn id_of(key: &str, keys: &[ApiKey]) -> anyhow::Result<Uuid> {
    if let Ok(id) = key.parse() {
        return Ok(id);
    }
    let named: Vec<Uuid> = keys
        .iter()
        .filter(|found| found.revoked_at.is_none() && found.name == key)
        .map(|key| key.id)
        .collect();
    match named[..] {
        [id] => Ok(id),
        [] => bail!("no valid key has the id or the name `{key}`; `app keys list` shows them"),
        _ => bail!("{} valid keys are named `{key}`; take an id, see `app keys list`", named.len()),
    }
}

async fn create(name: &str, role: Role, output: Output, client: &mut app_db::Client) -> anyhow::Result<()> {
    if name.is_empty() || name.chars().count() > 100 {
        bail!("a key's name has 1 to 100 characters");
    }
    let (secret, key) = make(client, name, role).await?;
    let value = json!({ "id": key.id, "name": key.name, "role": key.role, "key": secret });
    output.record(&value, |_| secret.clone())?;
    output::note("This key is not shown again. Clients send it as `Authorization: Bearer KEY`.");
    Ok(())
}

async fn make(client: &mut app_db::Client, name: &str, role: Role) -> anyhow::Result<(String, ApiKey)> {
    let ids = model::IdGenerator::from_entropy().context("the system gives no randomness")?;
    // Many times what a key takes.
    let mut pool = [0_u8; 512];
    getrandom::fill(&mut pool).context("the system gives no randomness")?;
    let mut bytes = pool.into_iter().cycle();
    let mut random = || bytes.next().unwrap_or_default();
    let transaction = app_db::begin(client).await?;
    let (secret, key) =
        app_db::keys::create(&transaction, &ids, Clock::System.now(), name, role, &mut random).await?;
    let detail = json!({ "name": name, "role": role });
    let entry = os_user::entry(&ids, "key.create", Some(key.id.to_string()), detail);
    audit::write(&transaction, &entry).await?;
    app_db::commit(transaction).await?;
    Ok((secret, key))
}

/// An operator's key; its secret.
pub(crate) async fn make_operators(client: &mut app_db::Client, name: &str) -> anyhow::Result<String> {
    Ok(make(client, name, Role::Operator).await?.0)
}

async fn list(output: Output, client: &app_db::Client) -> anyhow::Result<()> {
    for key in app_db::keys::list(client).await? {
        output.record(&json!(key), |_| {
            let state = match key.revoked_at {
                Some(at) => format!("revoked {at:.0}"),
                None => match key.last_used_at {
                    Some(at) => format!("valid, last used {at:.0}"),
                    None => "valid, no use noted yet".to_owned(),
                },
            };
            let role = key.role.as_str();
            format!("{}  {}…  {role:<11}  {:<24} {state}", key.id, key.prefix, output::visible(&key.name))
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_meant_by_its_id_or_by_a_name_that_one_valid_key_has() {
        let at = |s| jiff::Timestamp::from_second(s).unwrap();
        let key = |n: u128, name: &str, revoked: bool| ApiKey {
            id: Uuid::from_u128(n),
            name: name.to_owned(),
            prefix: String::new(),
            role: Role::Operator,
            created_at: at(1),
            revoked_at: revoked.then(|| at(2)),
            last_used_at: None,
        };
        let keys = [
            key(1, "me", true),
            key(2, "me", false),
            key(3, "ci", false),
            key(4, "ci", false),
            key(5, "x", true),
        ];
        assert_eq!(id_of("me", &keys).unwrap(), Uuid::from_u128(2));
        assert_eq!(id_of(&Uuid::from_u128(9).to_string(), &keys).unwrap(), Uuid::from_u128(9));
        assert!(id_of("ci", &keys).unwrap_err().to_string().starts_with("2 valid keys are named `ci`"));
        for unknown in ["x", "y", ""] {
            assert!(id_of(unknown, &keys).unwrap_err().to_string().contains("`app keys list`"), "{unknown}");
        }
    }

    #[test]
    fn what_is_left_is_told_where_it_closes_a_server_or_its_console() {
        let key = |role| ValidKey { hash: [0; 32], id: Uuid::nil(), role };
        let (operator, application) = (key(Role::Operator), key(Role::Application));
        assert!(meaning_of(&[]).unwrap().contains("every request is refused"));
        assert!(meaning_of(&[application]).unwrap().contains("log in to the console"));
        assert_eq!(meaning_of(&[application, operator]), None);
    }
}
