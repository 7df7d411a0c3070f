//! The audit log: who changed what, when and from where. Handlers write an entry in the transaction of their change.
//! Sending is not in it: a message is its own record.

pub(crate) mod list_audit_entries;

use std::net::IpAddr;

use app_db::audit::{self, NewEntry};
use http::Extensions;
use serde_json::Value;

use crate::App;
use crate::authentication::Caller;
use crate::problem::Problem;
use crate::server::PeerAddress;

/// An entry of what a server notices by itself.
pub(crate) fn by_server(app: &App, action: &'static str, source: String, detail: Value) -> NewEntry {
    let id = audit::new_id(&app.ids, app.clock.now());
    NewEntry { id, actor: audit::Actor::Server, action, target: None, source, detail }
}

/// Who acts, and from where: in the extensions of every request that comes with a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Actor {
    caller: Caller,
    /// Nothing where the listener did not tell.
    client: Option<IpAddr>,
}

impl Actor {
    pub(crate) fn new(caller: Caller, extensions: &Extensions) -> Self {
        Self { caller, client: extensions.get::<PeerAddress>().map(|peer| peer.ip) }
    }

    /// The same client, as another caller: after a login.
    pub(crate) fn as_caller(self, caller: Caller) -> Self {
        Self { caller, ..self }
    }

    /// Who acts, for the log.
    pub(crate) fn scope(self) -> String {
        self.caller.scope()
    }

    /// What is to be written of a change; `detail` is an object, without secrets, bodies and addresses of messages.
    pub(crate) fn entry(
        self,
        app: &App,
        action: &'static str,
        target: impl Into<Option<String>>,
        detail: Value,
    ) -> NewEntry {
        let actor = match self.caller {
            Caller::Anyone => audit::Actor::Anyone,
            Caller::Key(id) => audit::Actor::Key(id),
        };
        let source = self.client.map_or_else(|| "unknown".to_owned(), |ip| ip.to_string());
        let id = audit::new_id(&app.ids, app.clock.now());
        NewEntry { id, actor, action, target: target.into(), source, detail }
    }

    /// Writes an entry of its own, for what is no statement in the database.
    ///
    /// # Errors
    /// 503 where the database does not answer.
    pub(crate) async fn record(
        self,
        app: &App,
        action: &'static str,
        target: impl Into<Option<String>>,
        detail: Value,
    ) -> Result<(), Problem> {
        let entry = self.entry(app, action, target, detail);
        let database = app.database().await?;
        Ok(audit::write(&*database, &entry).await?)
    }
}
