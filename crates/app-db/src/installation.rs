//! Which database this is, so that a copy is recognised: a restored backup, or staging's copy of production, must not
//! send. Never told by host, port or timeline: a failover is no copy.

use jiff::Timestamp;
use tokio_postgres::Row;

use crate::pool::GenericClient;
use crate::{Client, Error};

/// What a database is told by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Of the PostgreSQL cluster; a physical copy keeps it. Absent where the role may not read it.
    pub system_identifier: Option<i64>,
    /// Another one in every restored dump, also within one cluster.
    pub database_oid: i64,
    /// `[installation] name`. The only thing that tells a physical copy.
    pub name: Option<String>,
}

/// What a look at the installation found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// The database's time.
    pub now: Timestamp,
    pub found: Identity,
    /// As stored by the first `app migrate` and by `app adopt`. Absent before that.
    pub stored: Option<Identity>,
}

impl Look {
    /// What tells that this database is a copy, in words; nothing where it is not one.
    pub fn difference(&self) -> Option<String> {
        let stored = self.stored.as_ref()?;
        let name =
            |name: &Option<String>| name.as_ref().map_or("none".to_owned(), |name| format!("`{name}`"));
        let systems = stored.system_identifier.zip(self.found.system_identifier);
        if stored.name != self.found.name {
            let (found, stored) = (name(&self.found.name), name(&stored.name));
            Some(format!("the configured installation name is {found}, the stored one {stored}"))
        } else if systems.is_some_and(|(stored, found)| stored != found) {
            Some("it is on another PostgreSQL cluster than the one that is stored".to_owned())
        } else if stored.database_oid != self.found.database_oid {
            Some("it is another database than the one that is stored, as after a restored dump".to_owned())
        } else {
            None
        }
    }

    /// Why nothing is sent and what to do, where this database is a copy.
    pub fn hold(&self) -> Option<String> {
        let difference = self.difference()?;
        Some(format!(
            "this database is a copy of another installation ({difference}): nothing is sent until `app adopt`; see \
             docs/backup.md"
        ))
    }
}

pub(crate) const MAY_READ_SYSTEM: &str =
    "select has_function_privilege('pg_catalog.pg_control_system()', 'execute')";
pub(crate) const SYSTEM: &str = "select system_identifier from pg_catalog.pg_control_system()";
pub(crate) const LOOK: &str =
    "select clock_timestamp(), d.oid::bigint, i.system_identifier, i.database_oid, i.name
     from pg_database d left join installation i on i.singleton
     where d.datname = current_database()";
pub(crate) const STORE: &str =
    "insert into installation (system_identifier, database_oid, name) values ($1, $2, $3)
     on conflict (singleton) do nothing";
pub(crate) const ADOPT: &str =
    "insert into installation (system_identifier, database_oid, name) values ($1, $2, $3)
     on conflict (singleton) do update set system_identifier = excluded.system_identifier,
         database_oid = excluded.database_oid, name = excluded.name, recorded_at = excluded.recorded_at";

/// Compares the database with what is stored of it; `name` is the configured one.
///
/// # Errors
/// As the database gives them.
pub async fn look(client: &impl GenericClient, name: Option<&str>) -> Result<Look, Error> {
    let system_identifier = system_identifier(client).await?;
    let row = client.query_one(LOOK, &[]).await?;
    let found = Identity { system_identifier, database_oid: row.get(1), name: name.map(str::to_owned) };
    Ok(Look { now: row.get(0), found, stored: stored(&row) })
}

fn stored(row: &Row) -> Option<Identity> {
    let database_oid = row.get::<_, Option<i64>>(3)?;
    Some(Identity { system_identifier: row.get(2), database_oid, name: row.get(4) })
}

/// Managed services may keep it from their users: then database and name have to do.
async fn system_identifier(client: &impl GenericClient) -> Result<Option<i64>, Error> {
    if !client.query_one(MAY_READ_SYSTEM, &[]).await?.get::<_, bool>(0) {
        return Ok(None);
    }
    Ok(Some(client.query_one(SYSTEM, &[]).await?.get(0)))
}

/// Stores which database this is, where nothing is stored yet. Returns whether it was this call.
///
/// # Errors
/// As the database gives them.
pub async fn store_first(client: &Client, name: Option<&str>) -> Result<bool, Error> {
    store(client, STORE, name).await
}

/// Stores which database this is: from now on it is the installation's own, and its messages are sent.
///
/// # Errors
/// As the database gives them.
pub async fn adopt(client: &impl GenericClient, name: Option<&str>) -> Result<(), Error> {
    store(client, ADOPT, name).await.map(|_| ())
}

async fn store(client: &impl GenericClient, statement: &str, name: Option<&str>) -> Result<bool, Error> {
    let Identity { system_identifier, database_oid, name } = look(client, name).await?.found;
    Ok(client.execute(statement, &[&system_identifier, &database_oid, &name]).await? > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(system: Option<i64>, oid: i64, name: Option<&str>) -> Identity {
        Identity { system_identifier: system, database_oid: oid, name: name.map(str::to_owned) }
    }

    fn is_copy(stored: Option<Identity>, found: Identity) -> bool {
        Look { now: Timestamp::UNIX_EPOCH, found, stored }.difference().is_some()
    }

    #[test]
    fn a_copy_is_told_by_cluster_database_or_name() {
        let stored = || Some(identity(Some(1), 5, Some("production")));
        assert!(!is_copy(stored(), identity(Some(1), 5, Some("production"))));
        assert!(is_copy(stored(), identity(Some(2), 5, Some("production"))), "another cluster");
        assert!(is_copy(stored(), identity(Some(1), 6, Some("production"))), "a restored dump");
        assert!(is_copy(stored(), identity(Some(1), 5, Some("staging"))), "a physical copy");
        assert!(is_copy(stored(), identity(Some(1), 5, None)), "a configuration without the name");
        assert!(!is_copy(stored(), identity(None, 5, Some("production"))), "the cluster cannot be read");
        assert!(!is_copy(None, identity(Some(1), 5, Some("production"))), "nothing is stored yet");
    }
}
