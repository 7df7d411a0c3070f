//! Who may call: API keys for our own endpoints, the shared secret for the generic webhooks. Keys are held in
//! memory as hashes and read again every few seconds, so that a request costs no look-up.

mod credentials;
pub(crate) mod failures;
pub(crate) mod sessions;
mod webhook_secret;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use app_db::keys::{self, Role, ValidKey};
use app_db::{Client, Error};
use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::IntoResponse;
use axum::routing::Route;
use futures_util::future::{Either, ready};
use http::{HeaderMap, StatusCode};
use service::{Clock, Config, NamedHosts};
use tower::layer::layer_fn;
use tower::{Service, service_fn};
use uuid::Uuid;

use self::credentials::Credential;
use self::failures::{Failures, Surface};
use self::sessions::Sessions;
pub(crate) use self::webhook_secret::{Refusal, check_webhook_secret};
use crate::App;
use crate::audit::Actor;
use crate::problem::Problem;
use crate::server::PeerAddress;

/// Between two looks at keys and sessions: what was made or ended elsewhere counts here within two seconds.
const REFRESH: Duration = Duration::from_millis(1_500);

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// No key is configured.
    Anyone,
    Key(Uuid),
}

impl Caller {
    /// What idempotency keys are unique within.
    pub(crate) fn scope(self) -> String {
        match self {
            Self::Anyone => "anonymous".to_owned(),
            Self::Key(id) => id.to_string(),
        }
    }
}

/// Keys by their hash.
pub(crate) type Hashes = HashMap<[u8; 32], Uuid>;

/// Who may look into the console.
#[derive(Clone, Debug)]
pub(crate) enum Access {
    /// There are no keys, and only this machine can call.
    Open,
    /// Who has one of these: operators' keys. Sessions of any other key do not stand.
    Keyed(Arc<Hashes>),
}

/// The keys that are valid: every one calls the API of messages, an operator's also works with the console and with what
/// is in quarantine.
#[derive(Debug, Default)]
struct Valid {
    all: HashMap<[u8; 32], Arc<Known>>,
    operators: Arc<Hashes>,
    /// Whether a key was ever made. An installation that had one never opens again.
    had_a_key: bool,
}

#[derive(Debug)]
struct Known {
    id: Uuid,
    /// Since that was last written down.
    was_used: AtomicBool,
}

impl Valid {
    /// `before` knows which were used.
    fn of(keys: &[ValidKey], had_a_key: bool, before: Option<&Self>) -> Self {
        let known = |key: &ValidKey| match before.and_then(|before| before.all.get(&key.hash)) {
            Some(known) => Arc::clone(known),
            None => Arc::new(Known { id: key.id, was_used: AtomicBool::new(false) }),
        };
        let operators = keys.iter().filter(|key| key.role == Role::Operator);
        Self {
            all: keys.iter().map(|key| (key.hash, known(key))).collect(),
            operators: Arc::new(operators.map(|key| (key.hash, key.id)).collect()),
            had_a_key: had_a_key || !keys.is_empty(),
        }
    }

    /// The key that a credential brings, and its hash.
    fn find_in(&self, credential: &Credential<'_>) -> Result<(Uuid, [u8; 32]), Problem> {
        match credential {
            Credential::Bearer(key) => self.find(key),
            Credential::Basic { user, password } => self.find(user).or_else(|_| self.find(password)),
        }
    }

    /// The key that this is, and its hash.
    fn find(&self, key: &str) -> Result<(Uuid, [u8; 32]), Problem> {
        let hash = keys::hash(key).map_err(|malformed| Problem::unauthorized(malformed.to_string()))?;
        let known = self.all.get(&hash);
        let known = known.ok_or_else(|| Problem::unauthorized("the API key is unknown or revoked"))?;
        // Requests on other cores read the same line: it is written once in a while.
        if !known.was_used.load(Ordering::Relaxed) {
            known.was_used.store(true, Ordering::Relaxed);
        }
        Ok((known.id, hash))
    }
}

/// The valid keys, once they have been read.
#[derive(Debug)]
pub(crate) struct ApiKeys {
    /// Why the server asks for a key even where none was ever made.
    why_closed: Option<String>,
    is_on_loopback: bool,
    /// The names by which it may be called without a credential.
    hosts: NamedHosts,
    valid: RwLock<Option<Arc<Valid>>>,
    pub(crate) sessions: Sessions,
    pub(crate) failures: Failures,
}

impl ApiKeys {
    pub(crate) fn new(listener: SocketAddr, config: &Config) -> Self {
        let is_on_loopback = listener.ip().is_loopback();
        let why_closed = if is_on_loopback {
            config.why_keys_are_needed.clone()
        } else {
            Some(format!("the server listens on {listener}, which is not a loopback address"))
        };
        let hosts = config.named_hosts(listener.ip());
        Self {
            why_closed,
            is_on_loopback,
            hosts,
            valid: RwLock::default(),
            sessions: Sessions::default(),
            failures: Failures::default(),
        }
    }

    /// Reads them.
    pub(crate) async fn read(&self, client: &Client) -> Result<(), Error> {
        let valid = keys::valid(client).await?;
        let had_a_key = !valid.is_empty() || keys::was_any_made(client).await?;
        let mut known = self.valid.write().unwrap_or_else(PoisonError::into_inner);
        *known = Some(Arc::new(Valid::of(&valid, had_a_key, known.as_deref())));
        Ok(())
    }

    /// Why the server has to have a key and has none.
    ///
    /// # Errors
    /// 503 while the keys are not known.
    pub(crate) fn why_unusable(&self) -> Result<Option<String>, Problem> {
        let valid = self.valid()?;
        if !valid.all.is_empty() {
            return Ok(None);
        }
        let revoked = || valid.had_a_key.then(|| "every key of this installation was revoked".to_owned());
        Ok(self.why_closed.clone().or_else(revoked))
    }

    /// Writes down which were used.
    async fn note_use(&self, client: &Client) -> Result<(), Error> {
        let Ok(valid) = self.valid() else { return Ok(()) };
        let used: Vec<&Arc<Known>> =
            valid.all.values().filter(|known| known.was_used.load(Ordering::Relaxed)).collect();
        if used.is_empty() {
            return Ok(());
        }
        keys::note_use(client, &used.iter().map(|known| known.id).collect::<Vec<_>>()).await?;
        for known in used {
            known.was_used.store(false, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Reads them again and again, and writes down which were used. Runs until it is dropped.
    pub(crate) async fn keep_reading(&self, pool: &app_db::Pool, clock: &Clock) {
        loop {
            tokio::time::sleep(REFRESH).await;
            let read = async {
                let client = app_db::pool::get(pool).await?;
                self.read(&client).await?;
                self.sessions.refresh(&client, clock.now()).await?;
                self.failures.write_bursts(&client).await?;
                self.note_use(&client).await
            };
            if let Err(error) = read.await {
                tracing::debug!(error = %error, "API keys and sessions were not read again; the known ones stay valid");
            }
        }
    }

    fn valid(&self) -> Result<Arc<Valid>, Problem> {
        let valid = self.valid.read().unwrap_or_else(PoisonError::into_inner).clone();
        valid.ok_or_else(|| Problem::unavailable("the server is starting and waits for its database"))
    }

    fn is_open_with(&self, valid: &Valid) -> bool {
        self.why_closed.is_none() && !valid.had_a_key
    }

    /// Whether requests need no credential.
    ///
    /// # Errors
    /// 503 while the keys are not known.
    pub(crate) fn is_open(&self) -> Result<bool, Problem> {
        Ok(self.is_open_with(&*self.valid()?))
    }

    /// Who may look into the console.
    ///
    /// # Errors
    /// 503 while the keys are not known.
    pub(crate) fn access(&self) -> Result<Access, Problem> {
        let valid = self.valid()?;
        Ok(if self.is_open_with(&valid) { Access::Open } else { Access::Keyed(Arc::clone(&valid.operators)) })
    }

    /// The operator's key that this is.
    ///
    /// # Errors
    /// 401 if it is no valid key, 403 if it is an application's; 503 while the keys are not known.
    pub(crate) fn operator(&self, key: &str) -> Result<Uuid, Problem> {
        let valid = self.valid()?;
        let (id, hash) = valid.find(key)?;
        if valid.operators.contains_key(&hash) {
            return Ok(id);
        }
        Err(not_an_operators())
    }

    /// The names by which the server may be called without a credential.
    pub(crate) fn hosts(&self) -> &NamedHosts {
        &self.hosts
    }

    /// Who a request comes from.
    ///
    /// # Errors
    /// 401 without a valid key; 403 where a server that is open is called by another name, or by a web page of
    /// another site; 503 while the keys are not known.
    pub(crate) fn caller(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        let valid = self.valid()?;
        if self.is_open_with(&valid) {
            // Browsers send other sites' requests to this machine too.
            self.hosts.check(headers)?;
            return Ok(Caller::Anyone);
        }
        let Some(credential) = Credential::of(headers) else {
            return Err(Problem::unauthorized("an API key is needed: send Authorization: Bearer app_..."));
        };
        Ok(Caller::Key(valid.find_in(&credential)?.0))
    }

    /// Whether to answer a request that needs no credential: where the Host header names this server, or a key comes
    /// with it.
    ///
    /// # Errors
    /// 403 `forbidden_host`.
    pub(crate) fn check_unauthenticated(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let Err(foreign) = self.hosts.check_host(headers) else { return Ok(()) };
        let credential = Credential::of(headers);
        let has_key =
            credential.is_some_and(|credential| self.valid().is_ok_and(|v| v.find_in(&credential).is_ok()));
        if has_key { Ok(()) } else { Err(foreign.into()) }
    }

    /// An operator whom a request comes from: whoever calls a server that is open, or with an operator's key.
    ///
    /// # Errors
    /// As [`caller`](Self::caller), and 403 with an application's key.
    pub(crate) fn operating_caller(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        let caller = self.caller(headers)?;
        match caller {
            Caller::Key(id) if !self.valid()?.operators.values().any(|&other| other == id) => {
                Err(not_an_operators())
            }
            Caller::Key(_) | Caller::Anyone => Ok(caller),
        }
    }

    /// Whether to show metrics.
    pub(crate) fn may_see_metrics(&self, headers: &HeaderMap) -> Result<(), Problem> {
        match self.is_on_loopback {
            true => self.check_unauthenticated(headers),
            false => self.caller(headers).map(|_| ()),
        }
    }
}

fn not_an_operators() -> Problem {
    let detail = "this is an application's key: it sends and reads messages through the API, but opens neither the \
                  console, where keys are made and providers paused, nor what is in quarantine; take an operator's key, \
                  which another operator makes under Keys, or `app keys create NAME` where the server runs";
    Problem::new(StatusCode::FORBIDDEN, "not_an_operators_key", detail)
}

/// Lets a request through to these routes with its [`Caller`], or answers it.
pub(crate) fn with_key(app: &App, routes: Router<App>) -> Router<App> {
    guarded(app, routes, ApiKeys::caller)
}

/// As [`with_key`], for operators only.
pub(crate) fn with_operators_key(app: &App, routes: Router<App>) -> Router<App> {
    guarded(app, routes, ApiKeys::operating_caller)
}

/// (`axum::middleware::from_fn` would copy and box the route for each request.)
fn guarded(
    app: &App,
    routes: Router<App>,
    check: fn(&ApiKeys, &HeaderMap) -> Result<Caller, Problem>,
) -> Router<App> {
    let app = app.clone();
    routes.route_layer(layer_fn(move |mut route: Route| {
        let app = app.clone();
        service_fn(move |mut request: Request| match check(&app.keys, request.headers()) {
            Ok(caller) => {
                let actor = Actor::new(caller, request.extensions());
                request.extensions_mut().insert(caller);
                request.extensions_mut().insert(actor);
                Either::Left(route.call(request))
            }
            Err(problem) => {
                let refusal =
                    refusal(&app, problem, request.headers(), PeerAddress::of(request.extensions()));
                Either::Right(ready(Ok(refusal.into_response())))
            }
        })
    }))
}

/// The answer to a request that is refused. A credential that is wrong is noted; one that is missing is no guess.
pub(crate) fn refusal(app: &App, problem: Problem, headers: &HeaderMap, peer: PeerAddress) -> Problem {
    if problem.status() != StatusCode::UNAUTHORIZED || Credential::of(headers).is_none() {
        return problem;
    }
    app.keys.failures.note(app, Surface::Api, "unknown_key", peer).unwrap_or(problem)
}

/// Lets a request through to these routes, which need no credential, where it names this server.
pub(crate) fn with_named_host(app: &App, routes: Router<App>) -> Router<App> {
    let app = app.clone();
    routes.route_layer(from_fn(move |request: Request, next: Next| {
        let app = app.clone();
        async move {
            match app.keys.check_unauthenticated(request.headers()) {
                Ok(()) => next.run(request).await,
                Err(problem) => crate::console::as_page(request.headers(), problem),
            }
        }
    }))
}

#[cfg(test)]
mod tests;
