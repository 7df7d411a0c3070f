//! Who works with the console. A server that is open asks nobody; else a key is asked for once, and remembered in a
//! cookie that holds its id, signed. What changes something must come from one of our own pages.

use std::time::Duration;

use axum::extract::{RawQuery, Request, State};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use http::header::{COOKIE, HOST, ORIGIN, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use jiff::Timestamp;
use maud::html;
use sha2::Sha256;
use uuid::Uuid;

use super::form::{self, HX_REQUEST, see};
use super::layout;
use super::trouble::{Trouble, sentence};
use crate::App;
use crate::authentication::{Access, Caller, Hashes};
use crate::fields::{Fields, Text};
use crate::named_host::SEC_FETCH_SITE;
use crate::problem::Problem;

const NAME: &str = "app_session";
/// A working day.
const LASTS: Duration = Duration::from_secs(12 * 3600);
const EXPIRY_BYTES: usize = 8;
const ID_BYTES: usize = 16;
const MAC_BYTES: usize = 32;
const KEY_CHARS_MAX: usize = 100;
const PATH_CHARS_MAX: usize = 2000;
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// Who looks, and until when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Session {
    caller: Caller,
    ends_at: Option<Timestamp>,
}

impl Session {
    pub(super) fn is_of_the_same_caller(self, other: Self) -> bool {
        self.caller == other.caller
    }

    /// Whether what began under it may go on.
    pub(super) fn still_stands(self, app: &App) -> bool {
        if self.ends_at.is_some_and(|ends_at| ends_at <= app.clock.now()) {
            return false;
        }
        match (app.keys.access(), self.caller) {
            (Ok(Access::Open), Caller::Anyone) => true,
            (Ok(Access::Keyed(valid)), Caller::Key(id)) => valid.values().any(|&other| other == id),
            _ => false,
        }
    }
}

/// Lets a request through with its [`Session`] and [`Caller`], or asks for a key.
pub(super) async fn guard(State(app): State<App>, mut request: Request, next: Next) -> Response {
    match session(&app, request.method(), request.headers()) {
        Ok(Some(session)) => {
            request.extensions_mut().insert(session);
            request.extensions_mut().insert(session.caller);
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
        "somebody acted in the console"
    );
}

fn session(app: &App, method: &Method, headers: &HeaderMap) -> Result<Option<Session>, Problem> {
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
            Some(Session { caller: Caller::Anyone, ends_at: None })
        }
        Access::Keyed(valid) => cookie(headers)
            .and_then(|text| verified(text, &valid, app.clock.now()))
            .map(|(id, ends_at)| Session { caller: Caller::Key(id), ends_at: Some(ends_at) }),
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
    let mut fields = form::read(&app, request).await?;
    let next = fields.text("next", Text::Line, PATH_CHARS_MAX).unwrap_or_default();
    let key = fields.text("key", Text::Line, KEY_CHARS_MAX).unwrap_or_default();
    if matches!(app.keys.access()?, Access::Open) {
        return Ok(see(path_of(&next)));
    }
    match app.keys.operator(key.trim()) {
        Ok((id, hash)) => {
            let mut response = see(path_of(&next));
            let is_https = app.config.public_url.starts_with("https://");
            response.headers_mut().append(SET_COOKIE, remembered(id, &hash, app.clock.now(), is_https)?);
            Ok(response)
        }
        Err(problem) => {
            let page = page(&next, Some(&problem.summary()));
            Ok((problem.status(), Html(page.into_string())).into_response())
        }
    }
}

pub(super) async fn logout() -> Response {
    let mut response = see("/login");
    let gone = HeaderValue::from_static("app_session=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0");
    response.headers_mut().append(SET_COOKIE, gone);
    response
}

/// A path on this server, and nothing that a browser takes for another one.
fn path_of(next: &str) -> &str {
    let is_path =
        next.starts_with('/') && !next.starts_with("//") && !next.contains(['\\', '\n', '\r', '\t']);
    if is_path && HeaderValue::try_from(next).is_ok() { next } else { "/" }
}

/// The cookie of who has this key. Any server can check it: the signature's secret is the key's hash, which all of them
/// know and which is gone when the key is revoked.
pub(super) fn remembered(
    id: Uuid,
    key_hash: &[u8; 32],
    now: Timestamp,
    is_https: bool,
) -> Result<HeaderValue, Problem> {
    let expires_at = now.as_second().saturating_add(LASTS.as_secs() as i64);
    let mut bytes = Vec::with_capacity(ID_BYTES + EXPIRY_BYTES + MAC_BYTES);
    bytes.extend_from_slice(id.as_bytes());
    bytes.extend_from_slice(&expires_at.to_be_bytes());
    let signature = mac(key_hash, &bytes).finalize().into_bytes();
    bytes.extend_from_slice(&signature);
    let (max_age, secure) = (LASTS.as_secs(), if is_https { "; Secure" } else { "" });
    let cookie =
        format!("{NAME}={}; Path=/; HttpOnly; SameSite=Lax; Max-Age={max_age}{secure}", BASE64.encode(bytes));
    HeaderValue::try_from(cookie).map_err(|error| Problem::internal().because(error))
}

fn mac(key_hash: &[u8; 32], signed: &[u8]) -> Hmac<Sha256> {
    // A key of any length is taken.
    let mut mac = Hmac::<Sha256>::new_from_slice(key_hash).unwrap_or_else(|_| Hmac::new(&Default::default()));
    mac.update(b"console session\n");
    mac.update(signed);
    mac
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get_all(COOKIE).iter().filter_map(|header| header.to_str().ok());
    all.flat_map(|header| header.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(NAME)?.strip_prefix('='))
}

/// The key's id and when the session ends, if the cookie is ours, in time, and the key still one of these: operators' that
/// are valid.
fn verified(cookie: &str, valid: &Hashes, now: Timestamp) -> Option<(Uuid, Timestamp)> {
    let bytes = BASE64.decode(cookie).ok()?;
    let (signed, signature) = bytes.split_at_checked(ID_BYTES + EXPIRY_BYTES)?;
    let (id, expires_at) = signed.split_at(ID_BYTES);
    let id = Uuid::from_slice(id).ok()?;
    let expires_at = i64::from_be_bytes(expires_at.try_into().ok()?);
    let (key_hash, _) = valid.iter().find(|(_, other)| **other == id)?;
    mac(key_hash, signed).verify_slice(signature).ok()?;
    let ends_at = Timestamp::from_second(expires_at).ok()?;
    (now < ends_at).then_some((id, ends_at))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000_000;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn cookie_of(id: Uuid, hash: &[u8; 32]) -> String {
        let header = remembered(id, hash, at(NOW), true).unwrap();
        let text = header.to_str().unwrap();
        assert!(text.contains("; HttpOnly; SameSite=Lax;") && text.ends_with("; Secure"), "{text}");
        text.split_once('=').unwrap().1.split_once(';').unwrap().0.to_owned()
    }

    #[test]
    fn a_cookie_is_good_for_its_key_and_its_time_and_unchanged() {
        let (id, hash) = (Uuid::from_u128(7), [1; 32]);
        let valid = Hashes::from([(hash, id), ([2; 32], Uuid::from_u128(8))]);
        let cookie = cookie_of(id, &hash);
        assert_eq!(verified(&cookie, &valid, at(NOW + 43_199)), Some((id, at(NOW + 43_200))));
        assert_eq!(verified(&cookie, &valid, at(NOW + 43_200)), None);
        assert_eq!(
            verified(&cookie, &Hashes::from([([2; 32], id)]), at(NOW)),
            None,
            "another key's signature"
        );
        assert_eq!(verified(&cookie, &Hashes::new(), at(NOW)), None, "revoked");
        for position in 0..cookie.len() {
            let mut changed = cookie.clone().into_bytes();
            changed[position] = if changed[position] == b'A' { b'B' } else { b'A' };
            assert_eq!(verified(std::str::from_utf8(&changed).unwrap(), &valid, at(NOW)), None, "{position}");
        }
        assert_eq!(verified("", &valid, at(NOW)), None);
    }

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
