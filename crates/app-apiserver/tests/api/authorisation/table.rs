//! What every route asks for, and what must be let in.

/// What a route asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Guard {
    /// Nothing.
    Open,
    /// A Host of ours, or a key.
    Named,
    /// Any key.
    Caller,
    /// An operator's key.
    Operator,
    /// The secret of generic webhooks.
    Secret,
    /// A provider's signature, which no request here has.
    Signature,
    /// A session of the console.
    Page,
    /// A session, and a page of this console that sends the request.
    Action,
    /// As `Action`, without the session.
    Login,
}

use self::Guard::{Action, Caller, Login, Named, Open, Operator, Page, Secret, Signature};

pub(super) const ROUTES: &[(Guard, &str)] = &[
    (Open, "GET /healthz"),
    (Open, "GET /readyz"),
    (Named, "GET /openapi.json"),
    (Named, "GET /metrics"),
    (Named, "GET /login"),
    (Named, "GET /assets/{name}"),
    (Login, "POST /login"),
    (Caller, "GET /api/messages"),
    (Caller, "POST /api/messages/sms"),
    (Caller, "POST /api/messages/email"),
    (Caller, "POST /api/messages/whatsapp"),
    (Caller, "GET /api/messages/{id}"),
    (Caller, "GET /api/messages/{id}/events"),
    (Caller, "GET /api/messages/{id}/explain"),
    (Caller, "POST /api/messages/{id}/cancel"),
    (Caller, "POST /api/messages/{id}/retry"),
    (Caller, "GET /api/conversations"),
    (Caller, "GET /api/conversations/{id}"),
    (Caller, "GET /api/conversations/{id}/messages"),
    (Caller, "POST /api/conversations/{id}/messages"),
    (Caller, "GET /api/media/{id}"),
    (Operator, "GET /api/webhook_deliveries"),
    (Operator, "GET /api/webhook_deliveries/{id}"),
    (Operator, "POST /api/webhook_deliveries/{id}/replay"),
    (Operator, "GET /api/audit"),
    (Secret, "POST /api/webhooks/sms"),
    (Secret, "POST /api/webhooks/email"),
    (Signature, "POST /api/webhooks/{provider_id}"),
    (Signature, "GET /api/webhooks/{provider_id}"),
    (Page, "GET /live/pulse"),
    (Page, "GET /"),
    (Page, "GET /live/inbox"),
    (Page, "GET /conversations/{id}"),
    (Page, "GET /live/conversations/{id}"),
    (Action, "POST /conversations/{id}/reply"),
    (Page, "GET /new"),
    (Action, "POST /new"),
    (Action, "POST /segments"),
    (Page, "GET /messages"),
    (Page, "GET /live/messages"),
    (Page, "GET /messages/{id}"),
    (Page, "GET /live/messages/{id}"),
    (Page, "GET /messages/{id}/html"),
    (Action, "POST /messages/{id}/retry"),
    (Action, "POST /messages/{id}/cancel"),
    (Page, "GET /media/{id}"),
    (Page, "GET /bulk"),
    (Action, "POST /bulk"),
    (Page, "GET /live/bulk"),
    (Page, "GET /jobs/{id}"),
    (Action, "POST /jobs/{id}/stop"),
    (Page, "GET /live/jobs/{id}"),
    (Page, "GET /outbox"),
    (Page, "GET /live/outbox"),
    (Page, "GET /providers"),
    (Page, "GET /live/providers"),
    (Action, "POST /providers/{id}/pause"),
    (Action, "POST /providers/{id}/resume"),
    (Page, "GET /quarantine"),
    (Page, "GET /live/quarantine"),
    (Page, "GET /quarantine/all"),
    (Action, "POST /quarantine/all"),
    (Page, "GET /quarantine/{id}"),
    (Action, "POST /quarantine/{id}/replay"),
    (Page, "GET /quarantine/{id}/trust"),
    (Action, "POST /quarantine/{id}/trust"),
    (Page, "GET /quarantine/{id}/forget"),
    (Action, "POST /quarantine/{id}/forget"),
    (Page, "GET /keys"),
    (Action, "POST /keys"),
    (Page, "GET /keys/{id}/revoke"),
    (Action, "POST /keys/{id}/revoke"),
    (Page, "GET /audit"),
    (Page, "GET /simulator"),
    (Page, "GET /live/simulator"),
    (Action, "POST /simulator/faults"),
    (Action, "POST /simulator/faults/clear"),
    (Action, "POST /simulator/inbound"),
    (Page, "GET /search"),
    (Action, "POST /logout"),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Credential {
    None,
    Wrong,
    Revoked,
    Application,
    Operator,
    BasicUser,
    BasicPassword,
    WebhookSecret,
    Session,
}

impl Credential {
    pub(super) const ALL: [Self; 9] = [
        Self::None,
        Self::Wrong,
        Self::Revoked,
        Self::Application,
        Self::Operator,
        Self::BasicUser,
        Self::BasicPassword,
        Self::WebhookSecret,
        Self::Session,
    ];

    fn is_operators_key(self) -> bool {
        matches!(self, Self::Operator | Self::BasicUser | Self::BasicPassword)
    }

    fn is_key(self) -> bool {
        self == Self::Application || self.is_operators_key()
    }
}

pub(super) const RIGHT: &str = "msg.localhost";
pub(super) const FOREIGN: &str = "evil.example";
pub(super) const HOSTS: [&str; 2] = [RIGHT, FOREIGN];
pub(super) const ORIGINS: [Option<&str>; 3] = [None, Some(RIGHT), Some(FOREIGN)];

/// What must be let in by a server with keys and a webhook secret.
pub(super) fn is_let_in(guard: Guard, credential: Credential, host: &str, origin: Option<&str>) -> bool {
    let is_named = host == RIGHT || credential.is_key();
    let is_own_page = origin == Some(host);
    match guard {
        Open => true,
        Named => is_named,
        Caller => credential.is_key(),
        Operator => credential.is_operators_key(),
        Secret => credential == Credential::WebhookSecret,
        Signature => false,
        Page => credential == Credential::Session,
        Action => credential == Credential::Session && is_own_page,
        Login => is_named && is_own_page,
    }
}

/// What must be let in by a server without keys, on loopback, with simulated providers.
pub(super) fn is_let_in_when_open(guard: Guard, host: &str, origin: Option<&str>) -> bool {
    let is_ours = host == RIGHT && origin != Some(FOREIGN);
    match guard {
        Open => true,
        Named => host == RIGHT,
        Caller | Operator | Secret | Page => is_ours,
        Signature => false,
        Action | Login => is_ours && origin == Some(host),
    }
}
