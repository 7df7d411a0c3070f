//! Who may call: API keys for our own endpoints, the shared secret for the generic webhooks. Keys are held in
//! memory as hashes and read again every few seconds, so that a request costs no look-up.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use app_db::keys::{self, Role, ValidKey};
use app_db::{Client, Error};
use axum::Router;
use axum::extract::Request;
use axum::response::IntoResponse;
use axum::routing::Route;
use futures_util::future::{Either, ready};
use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;
use tower::layer::layer_fn;
use tower::{Service, service_fn};
use uuid::Uuid;

use crate::App;
use crate::named_host::NamedHosts;
use crate::problem::Problem;

/// How soon a key that was made or revoked elsewhere counts here.
const REFRESH: Duration = Duration::from_secs(2);

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
}

#[derive(Debug)]
struct Known {
    id: Uuid,
    /// Since that was last written down.
    was_used: AtomicBool,
}

impl Valid {
    /// `before` knows which were used.
    fn of(keys: &[ValidKey], before: Option<&Self>) -> Self {
        let known = |key: &ValidKey| match before.and_then(|before| before.all.get(&key.hash)) {
            Some(known) => Arc::clone(known),
            None => Arc::new(Known { id: key.id, was_used: AtomicBool::new(false) }),
        };
        let operators = keys.iter().filter(|key| key.role == Role::Operator);
        Self {
            all: keys.iter().map(|key| (key.hash, known(key))).collect(),
            operators: Arc::new(operators.map(|key| (key.hash, key.id)).collect()),
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
    /// Without keys, anyone on this machine may call; from elsewhere, nobody.
    on_loopback: bool,
    /// By which names, then.
    hosts: NamedHosts,
    valid: RwLock<Option<Arc<Valid>>>,
}

impl ApiKeys {
    pub(crate) fn new(on_loopback: bool, public_url: &str) -> Self {
        Self { on_loopback, hosts: NamedHosts::of(public_url), valid: RwLock::default() }
    }

    /// Reads them; says how many there are.
    pub(crate) async fn read(&self, client: &Client) -> Result<usize, Error> {
        let valid = keys::valid(client).await?;
        let mut known = self.valid.write().unwrap_or_else(PoisonError::into_inner);
        *known = Some(Arc::new(Valid::of(&valid, known.as_deref())));
        Ok(valid.len())
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
    pub(crate) async fn keep_reading(&self, pool: &app_db::Pool) {
        loop {
            tokio::time::sleep(REFRESH).await;
            let read = async {
                let client = app_db::pool::get(pool).await?;
                self.read(&client).await?;
                self.note_use(&client).await
            };
            if let Err(error) = read.await {
                tracing::debug!(error = %error, "API keys were not read again; the ones known go on");
            }
        }
    }

    fn valid(&self) -> Result<Arc<Valid>, Problem> {
        let valid = self.valid.read().unwrap_or_else(PoisonError::into_inner).clone();
        valid.ok_or_else(|| Problem::unavailable("the server is starting and waits for its database"))
    }

    fn is_open(&self, valid: &Valid) -> bool {
        self.on_loopback && valid.all.is_empty()
    }

    /// Who may look into the console.
    ///
    /// # Errors
    /// 503 while the keys are not known.
    pub(crate) fn access(&self) -> Result<Access, Problem> {
        let valid = self.valid()?;
        Ok(if self.is_open(&valid) { Access::Open } else { Access::Keyed(Arc::clone(&valid.operators)) })
    }

    /// The operator's key that this is, and its hash.
    ///
    /// # Errors
    /// 401 if it is no valid key, 403 if it is an application's; 503 while the keys are not known.
    pub(crate) fn operator(&self, key: &str) -> Result<(Uuid, [u8; 32]), Problem> {
        let valid = self.valid()?;
        let found = valid.find(key)?;
        if valid.operators.contains_key(&found.1) {
            return Ok(found);
        }
        Err(not_an_operators())
    }

    /// By which names a server that is open may be called.
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
        if self.is_open(&valid) {
            // Browsers send other sites' requests to this machine too.
            self.hosts.check(headers)?;
            return Ok(Caller::Anyone);
        }
        let Some(key) = bearer(headers) else {
            return Err(Problem::unauthorized("an API key is needed: send Authorization: Bearer app_..."));
        };
        Ok(Caller::Key(valid.find(key)?.0))
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
        if self.on_loopback { Ok(()) } else { self.caller(headers).map(|_| ()) }
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
                request.extensions_mut().insert(caller);
                Either::Left(route.call(request))
            }
            Err(problem) => Either::Right(ready(Ok(problem.into_response()))),
        })
    }))
}

/// Why a generic webhook is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    WrongSecret,
    NoSecretConfigured,
}

/// Whether a generic webhook comes from who knows the secret. Without one, only on this machine.
pub(crate) fn check_webhook_secret(
    secret: Option<&SecretString>,
    on_loopback: bool,
    headers: &HeaderMap,
) -> Result<(), Refusal> {
    match secret {
        None if on_loopback => Ok(()),
        None => Err(Refusal::NoSecretConfigured),
        Some(secret) => {
            let given = bearer(headers).unwrap_or_default();
            let same = given.as_bytes().ct_eq(secret.expose_secret().as_bytes());
            if bool::from(same) { Ok(()) } else { Err(Refusal::WrongSecret) }
        }
    }
}

/// RFC 6750 section 2.1; the scheme's case does not matter (RFC 9110 section 11.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use http::header::HOST;
    use http::{HeaderValue, StatusCode};

    use super::*;

    fn with(authorization: &str) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_str(authorization).unwrap())])
    }

    fn keys(on_loopback: bool, valid: &[ValidKey]) -> ApiKeys {
        ApiKeys {
            valid: RwLock::new(Some(Arc::new(Valid::of(valid, None)))),
            ..ApiKeys::new(on_loopback, "")
        }
    }

    #[test]
    fn without_keys_anyone_on_this_machine_is_let_in_and_nobody_from_elsewhere() {
        let here = keys(true, &[]);
        let mut by_name = with("Bearer whatever");
        by_name.insert(HOST, HeaderValue::from_static("localhost:8080"));
        assert_eq!(here.caller(&by_name).ok(), Some(Caller::Anyone));
        let elsewhere = keys(false, &[]);
        assert_eq!(elsewhere.caller(&HeaderMap::new()).unwrap_err().status(), StatusCode::UNAUTHORIZED);
        by_name.insert(HOST, HeaderValue::from_static("evil.example"));
        assert_eq!(here.caller(&by_name).unwrap_err().status(), StatusCode::FORBIDDEN);
    }

    #[test]
    fn an_applications_key_closes_the_server_and_opens_the_api_alone() {
        let application = ValidKey { hash: [7; 32], id: Uuid::from_u128(7), role: Role::Application };
        let here = keys(true, &[application]);
        assert_eq!(here.caller(&HeaderMap::new()).unwrap_err().status(), StatusCode::UNAUTHORIZED);
        assert!(matches!(here.access().unwrap(), Access::Keyed(operators) if operators.is_empty()));
        let operator = ValidKey { hash: [8; 32], id: Uuid::from_u128(8), role: Role::Operator };
        let Access::Keyed(operators) = keys(true, &[application, operator]).access().unwrap() else {
            panic!("open although there are keys");
        };
        assert_eq!(*operators, Hashes::from([(operator.hash, operator.id)]));
    }

    #[test]
    fn a_use_is_remembered_when_keys_are_read_again() {
        let key = ValidKey { hash: [7; 32], id: Uuid::from_u128(7), role: Role::Application };
        let before = Valid::of(&[key], None);
        let was_used = |valid: &Valid| valid.all[&key.hash].was_used.load(Ordering::Relaxed);
        assert!(!was_used(&before));
        before.all[&key.hash].was_used.store(true, Ordering::Relaxed);
        assert!(was_used(&Valid::of(&[key], Some(&before))));
    }

    #[test]
    fn before_the_keys_are_known_nobody_is_let_in() {
        let starting = ApiKeys::new(true, "");
        assert_eq!(starting.caller(&HeaderMap::new()).unwrap_err().status(), StatusCode::SERVICE_UNAVAILABLE);
    }

    #[test]
    fn a_secret_is_compared_whole_and_needed_off_loopback() {
        let secret = SecretString::from("hush");
        let check = |headers| check_webhook_secret(Some(&secret), true, &headers);
        assert_eq!(check(with("Bearer hush")), Ok(()));
        assert_eq!(check(with("bearer hush")), Ok(()));
        for wrong in ["Bearer hus", "Bearer hushh", "Basic hush", "hush"] {
            assert_eq!(check(with(wrong)), Err(Refusal::WrongSecret), "{wrong}");
        }
        assert_eq!(check(HeaderMap::new()), Err(Refusal::WrongSecret));
        assert_eq!(check_webhook_secret(None, true, &HeaderMap::new()), Ok(()));
        assert_eq!(check_webhook_secret(None, false, &HeaderMap::new()), Err(Refusal::NoSecretConfigured));
    }
}
