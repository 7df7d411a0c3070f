//! Who works with the console. A server that is open asks for nothing; else a key is asked for once, and opens a session
//! whose random token is in a cookie. What changes something must come from one of our own pages.

use app_db::audit;
use axum::Extension;
use axum::extract::{RawQuery, Request, State};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use http::header::{COOKIE, HOST, ORIGIN, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use maud::html;
use serde_json::json;
use service::named_hosts::SEC_FETCH_SITE;
use uuid::Uuid;

use super::form::{self, HX_REQUEST, see};
use super::layout;
use super::trouble::{Trouble, sentence};
use crate::App;
use crate::audit::Actor;
use crate::authentication::failures::Surface;
use crate::authentication::sessions::{self, KnownSession};
use crate::authentication::{Access, Caller, Hashes};
use crate::fields::{Fields, Text};
use crate::problem::Problem;
use crate::server::PeerAddress;

const NAME: &str = "app_session";
const KEY_CHARS_MAX: usize = 100;
const PATH_CHARS_MAX: usize = 2000;
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// Who looks, and until when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Session {
    caller: Caller,
    /// Nothing where a server is open.
    opened: Option<KnownSession>,
}

impl Session {
    pub(super) fn is_of_the_same_caller(self, other: Self) -> bool {
        self.caller == other.caller
    }

    /// Whether what began under it may go on.
    pub(super) fn still_stands(self, app: &App) -> bool {
        match (app.keys.access(), self.opened) {
            (Ok(Access::Open), None) => true,
            (Ok(Access::Keyed(valid)), Some(session)) => {
                app.clock.now() < session.ends_at
                    && app.keys.sessions.known(&session.token_hash).is_some()
                    && valid.values().any(|&other| other == session.api_key_id)
            }
            _ => false,
        }
    }
}

/// Lets a request through with its [`Session`] and [`Caller`], or asks for a key.
pub(super) async fn guard(State(app): State<App>, mut request: Request, next: Next) -> Response {
    match session(&app, request.method(), request.headers()).await {
        Ok(Some(session)) => {
            request.extensions_mut().insert(session);
            let actor = Actor::new(session.caller, request.extensions());
            request.extensions_mut().insert(session.caller);
            request.extensions_mut().insert(actor);
            let asked = (request.method() == Method::POST).then(|| request.uri().path().to_owned());
            let response = next.run(request).await;
            if let Some(path) = asked.filter(|path| path != "/segments") {
                note(session.caller, &path, response.status());
            }
            response
        }
        Ok(None) => ask_for_a_key(&request),
        Err(problem) => Trouble::from(problem).into_response(),
    }
}

/// Who did what, for the log.
fn note(caller: Caller, path: &str, status: StatusCode) {
    tracing::info!(
        api_key.id = caller.scope(),
        http.path = path,
        http.status = status.as_u16(),
        "console action"
    );
}

async fn session(app: &App, method: &Method, headers: &HeaderMap) -> Result<Option<Session>, Problem> {
    let session = match app.keys.access()? {
        Access::Open => {
            // A link from elsewhere may lead here; a page from elsewhere may not look into what it leads to.
            let is_followed =
                method == Method::GET && headers.get(SEC_FETCH_MODE).is_some_and(|m| m == "navigate");
            if is_followed {
                app.keys.hosts().check_host(headers)?
            } else {
                app.keys.hosts().check(headers)?
            }
            Some(Session { caller: Caller::Anyone, opened: None })
        }
        Access::Keyed(valid) => {
            let opened = of_cookie(app, headers, &valid).await?;
            opened.map(|opened| Session { caller: Caller::Key(opened.api_key_id), opened: Some(opened) })
        }
    };
    if method != Method::GET && method != Method::HEAD {
        check_same_origin(headers)?;
    }
    Ok(session)
}

/// Browsers say which page a request comes from, and pages cannot make them say otherwise: `Sec-Fetch-Site` where the
/// connection is trusted (<https://www.w3.org/TR/fetch-metadata/>), else `Origin` (RFC 6454 section 7).
fn check_same_origin(headers: &HeaderMap) -> Result<(), Problem> {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let origin =
        headers.get(ORIGIN).and_then(|origin| origin.to_str().ok()?.split_once("://")).map(|(_, it)| it);
    let is_same = match headers.get(SEC_FETCH_SITE) {
        Some(site) => site == "same-origin",
        None => host.is_some() && origin == host,
    };
    if is_same {
        return Ok(());
    }
    let detail = "this comes from no page of this console, or a proxy changed its Host header; load the page again, \
                  and let the proxy pass on Host";
    Err(Problem::new(StatusCode::FORBIDDEN, "cross_site", detail))
}

fn ask_for_a_key(request: &Request) -> Response {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let next = match (request.method(), request.headers().contains_key(&HX_REQUEST)) {
        (&Method::GET, false) => path,
        _ => "/",
    };
    let query: String = form_urlencoded::Serializer::new(String::new()).append_pair("next", next).finish();
    let login = format!("/login?{query}");
    if request.headers().contains_key(&HX_REQUEST) {
        // The page knows what to do about it: a draft stays where it is.
        return StatusCode::UNAUTHORIZED.into_response();
    }
    see(&login)
}

/// The page that asks for a key.
pub(super) async fn show(State(app): State<App>, RawQuery(query): RawQuery) -> Result<Response, Trouble> {
    let mut query = Fields::of_query(query.as_deref());
    let next = query.text("next", Text::Line, PATH_CHARS_MAX).unwrap_or_default();
    if matches!(app.keys.access()?, Access::Open) {
        return Ok(see(path_of(&next)));
    }
    // A page that was open led here.
    let has_ended = query.text("ended", Text::Line, 4).is_some();
    let why = has_ended.then_some(
        "your session has ended: you have logged out in another tab, its key was revoked, or twelve hours have passed",
    );
    Ok(Html(page(&next, why).into_string()).into_response())
}

fn page(next: &str, wrong: Option<&str>) -> maud::Markup {
    layout::bare(
        "Log in",
        &html! {
            h1 { "Log in" }
            form .stack method="post" action="/login" {
                input type="hidden" name="next" value=(next);
                label for="key" { "API key" }
                input #key name="key" type="password" autocomplete="current-password" required autofocus
                    maxlength=(KEY_CHARS_MAX) aria-describedby="key-about";
                @if let Some(wrong) = wrong { p .bad role="alert" { (sentence(wrong)) } }
                p #key-about .quiet {
                    "An operator's key; it begins with app_. " code { "app keys create NAME" } " makes one."
                }
                button type="submit" { "Log in" }
            }
        },
    )
}

pub(super) async fn login(State(app): State<App>, request: Request) -> Result<Response, Trouble> {
    check_same_origin(request.headers())?;
    let (actor, peer) =
        (Actor::new(Caller::Anyone, request.extensions()), PeerAddress::of(request.extensions()));
    let mut fields = form::read_small(&app, request).await?;
    let next = fields.text("next", Text::Line, PATH_CHARS_MAX).unwrap_or_default();
    let key = fields.text("key", Text::Line, KEY_CHARS_MAX).unwrap_or_default();
    if matches!(app.keys.access()?, Access::Open) {
        return Ok(see(path_of(&next)));
    }
    match app.keys.operator(key.trim()) {
        Ok(id) => {
            let mut database = app.database().await?;
            let transaction = app_db::begin(&mut database).await?;
            let cookie = open(&app, &transaction, id).await?;
            let entry = actor.as_caller(Caller::Key(id)).entry(&app, "session.login", None, json!({}));
            audit::write(&transaction, &entry).await?;
            app_db::commit(transaction).await?;
            let mut response = see(path_of(&next));
            response.headers_mut().append(SET_COOKIE, cookie);
            Ok(response)
        }
        Err(problem) => {
            let problem = noted(&app, problem, peer);
            let page = page(&next, Some(&problem.summary()));
            Ok((problem.status(), Html(page.into_string())).into_response())
        }
    }
}

/// The answer to a login that is refused: a server that does not know the keys yet refuses no key.
fn noted(app: &App, problem: Problem, peer: PeerAddress) -> Problem {
    let reason = match problem.status() {
        StatusCode::UNAUTHORIZED => "unknown_key",
        StatusCode::FORBIDDEN => "not_operator",
        _ => return problem,
    };
    app.keys.failures.note(app, Surface::Console, reason, peer).unwrap_or(problem)
}

pub(super) async fn logout(
    State(app): State<App>,
    Extension(session): Extension<Session>,
    Extension(actor): Extension<Actor>,
) -> Result<Response, Trouble> {
    if let Some(KnownSession { token_hash, .. }) = session.opened {
        let mut database = app.database().await?;
        let transaction = app_db::begin(&mut database).await?;
        app_db::sessions::end(&transaction, &token_hash).await?;
        audit::write(&transaction, &actor.entry(&app, "session.logout", None, json!({}))).await?;
        app_db::commit(transaction).await?;
        // Here at once, elsewhere within two seconds.
        app.keys.sessions.forget(&token_hash);
    }
    let mut response = see("/login");
    let gone = HeaderValue::from_static("app_session=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0");
    response.headers_mut().append(SET_COOKIE, gone);
    Ok(response)
}

/// A path on this server, and nothing that a browser takes for another one.
fn path_of(next: &str) -> &str {
    let is_path =
        next.starts_with('/') && !next.starts_with("//") && !next.contains(['\\', '\n', '\r', '\t']);
    if is_path && HeaderValue::try_from(next).is_ok() { next } else { "/" }
}

/// Opens a session of this key in the caller's transaction; its cookie.
///
/// # Errors
/// 401 where the key was revoked meanwhile; 503 where the database does not answer.
pub(super) async fn open(
    app: &App,
    transaction: &app_db::Transaction<'_>,
    api_key_id: Uuid,
) -> Result<HeaderValue, Problem> {
    let (token, hash) = sessions::new_token()?;
    if !app_db::sessions::open(transaction, &hash, api_key_id).await? {
        return Err(Problem::unauthorized("the API key is unknown or revoked"));
    }
    let max_age = app_db::sessions::LASTS.as_secs();
    let secure = if app.config.public_url.starts_with("https://") { "; Secure" } else { "" };
    let cookie = format!("{NAME}={token}; Path=/; HttpOnly; SameSite=Lax; Max-Age={max_age}{secure}");
    HeaderValue::try_from(cookie).map_err(|error| Problem::internal().because(error))
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get_all(COOKIE).iter().filter_map(|header| header.to_str().ok());
    all.flat_map(|header| header.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(NAME)?.strip_prefix('='))
}

/// The session that a request's cookie names, if it is valid and its key still an operator's.
async fn of_cookie(
    app: &App,
    headers: &HeaderMap,
    operators: &Hashes,
) -> Result<Option<KnownSession>, Problem> {
    let Some(hash) = cookie(headers).and_then(sessions::token_hash) else { return Ok(None) };
    let found = app.keys.sessions.find(app, &hash).await?;
    Ok(found.filter(|session| operators.values().any(|&id| id == session.api_key_id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_something_must_come_from_this_origin() {
        let check = |headers: &[(HeaderName, &'static str)]| {
            let headers = headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
            check_same_origin(&HeaderMap::from_iter(headers)).is_ok()
        };
        assert!(check(&[(HOST, "a:1"), (SEC_FETCH_SITE, "same-origin")]));
        assert!(check(&[(HOST, "a:1"), (ORIGIN, "http://a:1")]));
        for headers in [
            &[(HOST, "a:1")][..],
            &[(HOST, "a:1"), (ORIGIN, "null")],
            &[(HOST, "a:1"), (ORIGIN, "http://a:2")],
            &[(HOST, "a:1"), (ORIGIN, "http://a:1"), (SEC_FETCH_SITE, "same-site")],
            &[(HOST, "a:1"), (ORIGIN, "http://a:1"), (SEC_FETCH_SITE, "cross-site")],
        ] {
            assert!(!check(headers), "{headers:?}");
        }
    }

    #[test]
    fn a_login_leads_to_this_server_only() {
        assert_eq!(path_of("/messages?status=failed"), "/messages?status=failed");
        for elsewhere in ["", "//evil.example", "/\\evil.example", "https://evil.example", "/a\tb"] {
            assert_eq!(path_of(elsewhere), "/", "{elsewhere}");
        }
    }
}
