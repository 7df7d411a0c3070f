//! The audit log: who changed what, when and from where. An entry is written in the transaction of its change wherever
//! that is a statement of ours. Entries are never changed.

use jiff::Timestamp;
use model::{Bucket, IdGenerator};
use serde_json::Value;
use tokio_postgres::types::Json;
use uuid::Uuid;

use crate::pool::GenericClient;
use crate::text::storable;
use crate::{Client, Error};

/// Longer texts are cut: names of hosts and of users come from outside.
const TEXT_CHARS_MAX: usize = 300;

/// Who acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// An API key, directly or through a session that it opened.
    Key(Uuid),
    /// Any caller of a server that has no keys.
    Anyone,
    /// A person at the command line.
    OsUser(String),
    /// A server, by itself.
    Server,
}

impl Actor {
    fn kind(&self) -> &'static str {
        match self {
            Self::Key(_) => "key",
            Self::Anyone => "anyone",
            Self::OsUser(_) => "os_user",
            Self::Server => "server",
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Key(id) => id.to_string(),
            Self::Anyone => "anyone".to_owned(),
            Self::OsUser(name) => short(name),
            Self::Server => "server".to_owned(),
        }
    }
}

/// What is written of a change.
#[derive(Clone, Debug)]
pub struct NewEntry {
    pub id: Uuid,
    pub actor: Actor,
    /// Noun and verb, such as `provider.pause`.
    pub action: &'static str,
    /// The id of what was changed.
    pub target: Option<String>,
    /// Where the actor was: the client's address, or a host's command line.
    pub source: String,
    /// An object; never a secret, a body or an address of a message.
    pub detail: Value,
}

/// An id for an entry. The table is small and never spread: its ids follow the order of time.
pub fn new_id(ids: &IdGenerator, now: Timestamp) -> Uuid {
    ids.next(now, Bucket(0))
}

pub(crate) const WRITE: &str =
    "insert into audit_log (id, actor_kind, actor, actor_name, action, target, source, detail)
             values ($1, $2, $3, (select name from api_keys where id = $4), $5, $6, $7, $8)";

/// Writes an entry.
///
/// # Errors
/// As the database gives them.
pub async fn write(client: &impl GenericClient, entry: &NewEntry) -> Result<(), Error> {
    let key_id = match entry.actor {
        Actor::Key(id) => Some(id),
        Actor::Anyone | Actor::OsUser(_) | Actor::Server => None,
    };
    let statement = client.prepare_cached(WRITE).await?;
    let (actor, target) = (entry.actor.text(), entry.target.as_deref().map(short));
    client
        .execute(
            &statement,
            &[
                &entry.id,
                &entry.actor.kind(),
                &actor,
                &key_id,
                &entry.action,
                &target,
                &short(&entry.source),
                &Json(&entry.detail),
            ],
        )
        .await?;
    Ok(())
}

fn short(text: &str) -> String {
    storable(text).chars().take(TEXT_CHARS_MAX).collect()
}

/// A written entry.
#[derive(Clone, Debug)]
pub struct Entry {
    pub id: Uuid,
    pub at: Timestamp,
    /// `key`, `anyone`, `os_user` or `server`.
    pub actor_kind: String,
    /// The key's id, the user's name, or the word for the kind.
    pub actor: String,
    /// The key's name at the time.
    pub actor_name: Option<String>,
    pub action: String,
    pub target: Option<String>,
    pub source: String,
    pub detail: Value,
}

/// Which entries a list holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// `provider.pause`, or only its noun: `provider`.
    pub action: Option<String>,
    /// A key's id or name, or a user's name.
    pub actor: Option<String>,
    pub target: Option<String>,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
}

pub(crate) const LIST: &str =
    "select id, at, actor_kind, actor, actor_name, action, target, source, detail from audit_log
             where id < $1 and ($2::text is null or action = $2 or split_part(action, '.', 1) = $2)
               and ($3::text is null or actor = $3 or actor_name = $3)
               and ($4::text is null or target = $4)
               and ($5::timestamptz is null or at >= $5) and ($6::timestamptz is null or at < $6)
             order by id desc limit $7";

/// Entries older than `before`, the newest first.
///
/// # Errors
/// As the database gives them.
pub async fn list(
    client: &Client,
    filter: &Filter,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Entry>, Error> {
    let statement = client.prepare_cached(LIST).await?;
    let before = before.unwrap_or(Uuid::max());
    let Filter { action, actor, target, since, until } = filter;
    let rows = client.query(&statement, &[&before, action, actor, target, since, until, &limit]).await?;
    Ok(rows
        .iter()
        .map(|row| Entry {
            id: row.get(0),
            at: row.get(1),
            actor_kind: row.get(2),
            actor: row.get(3),
            actor_name: row.get(4),
            action: row.get(5),
            target: row.get(6),
            source: row.get(7),
            detail: row.get::<_, Json<Value>>(8).0,
        })
        .collect())
}
