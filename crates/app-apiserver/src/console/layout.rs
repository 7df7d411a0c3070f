//! What every page has: head, navigation, search, and the headers that bound what a page may do.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY};
use http::{HeaderName, HeaderValue};
use maud::{DOCTYPE, Markup, html};

use super::activity::pulse;
use super::assets::{COMPOSER, HTMX, ICON, LIVE, SCRIPT, STYLE};
use super::live;
use crate::App;
use crate::authentication::Caller;

/// Of the navigation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Inbox,
    Messages,
    Outbox,
    Providers,
    Quarantine,
    Keys,
    Audit,
    Simulator,
}

impl Section {
    const ALL: [Self; 8] = [
        Self::Inbox,
        Self::Messages,
        Self::Outbox,
        Self::Providers,
        Self::Quarantine,
        Self::Keys,
        Self::Audit,
        Self::Simulator,
    ];

    fn path(self) -> &'static str {
        match self {
            Self::Inbox => "/",
            Self::Messages => "/messages",
            Self::Outbox => "/outbox",
            Self::Providers => "/providers",
            Self::Quarantine => "/quarantine",
            Self::Keys => "/keys",
            Self::Audit => "/audit",
            Self::Simulator => "/simulator",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Inbox => "Inbox",
            Self::Messages => "Messages",
            Self::Outbox => "Outbox",
            Self::Providers => "Providers",
            Self::Quarantine => "Quarantine",
            Self::Keys => "Keys",
            Self::Audit => "Audit",
            Self::Simulator => "Simulator",
        }
    }

    /// After `g`, on the keyboard.
    fn key(self) -> &'static str {
        match self {
            Self::Inbox => "i",
            Self::Messages => "m",
            Self::Outbox => "o",
            Self::Providers => "p",
            Self::Quarantine => "q",
            Self::Keys => "k",
            Self::Audit => "a",
            Self::Simulator => "s",
        }
    }
}

/// htmx without what a strict policy forbids: styles that it adds, and history that it keeps. Answers that are errors leave
/// the page as it is, but for those that a form asks for. A lost connection is tried again within two seconds.
const HTMX_CONFIG: &str = r#"{"includeIndicatorCSS":false,"history":false,"noSwap":[204,304,"4xx","5xx"],
    "sse":{"reconnectDelay":250,"reconnectMaxDelay":2000}}"#;

fn head(title: &str) -> Markup {
    html! {
        meta charset="utf-8";
        meta name="viewport" content="width=device-width, initial-scale=1";
        meta name="color-scheme" content="light dark";
        meta name="htmx-config" content=(HTMX_CONFIG);
        title { (title) " · app" }
        link rel="icon" href=(ICON.path) type="image/svg+xml";
        link rel="stylesheet" href=(STYLE.path);
        // htmx last: it may look through the page before the next script has run.
        @for script in [&SCRIPT, &LIVE, &COMPOSER, &HTMX] { script src=(script.path) defer {} }
    }
}

/// A page of the console that has no region of its own: how the whole fares is kept up to date all the same.
pub(super) fn still(app: &App, caller: Caller, section: Section, title: &str, main: &Markup) -> Response {
    page(app, caller, section, title, &html! { (live::source("/live/pulse")) (main) })
}

/// A page of the console.
pub(super) fn page(app: &App, caller: Caller, section: Section, title: &str, main: &Markup) -> Response {
    let sections =
        Section::ALL.into_iter().filter(|it| *it != Section::Simulator || app.console.simulator.is_some());
    let whole = html! {
        (DOCTYPE)
        html lang="en" {
            head { (head(title)) }
            body {
                a .skip href="#main" { "Skip to the content" }
                header {
                    nav aria-label="Pages" {
                        ul {
                            @for it in sections {
                                li {
                                    a href=(it.path()) data-key=(it.key())
                                        aria-current=[(it == section).then_some("page")] {
                                        (it.name())
                                    }
                                }
                            }
                            li { a href="/docs/" { "API" } }
                        }
                    }
                    form action="/search" method="get" role="search" {
                        label .quiet for="search" { "Search" }
                        input #search type="search" name="q" placeholder="text, number, id, status:failed"
                            aria-keyshortcuts="/" autocomplete="off" maxlength="400";
                    }
                    p id=(pulse::ID) .row { (pulse(app)) }
                    @if caller != Caller::Anyone {
                        form action="/logout" method="post" { button .link type="submit" { "Log out" } }
                    }
                }
                div role="status" {
                    p #offline { "Not connected: what is shown may be old. Trying again." }
                    p #gone { "This is no longer here, and shown as it was. Load the page again." }
                }
                @if let Some(hold) = app.database_watch.hold() {
                    p .held role="alert" { "Held: " (hold) "." }
                }
                main #main tabindex="-1" { (main) }
                (shortcuts(app.console.simulator.is_some()))
            }
        }
    };
    Html(whole.into_string()).into_response()
}

/// How the whole fares, for every page.
pub(super) fn pulse(app: &App) -> Markup {
    app.console.activity.pulse(app)
}

/// A page without navigation: for who is not logged in, and for errors.
pub(super) fn bare(title: &str, main: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head { (head(title)) }
            body .bare { main #main { (main) } }
        }
    }
}

fn shortcuts(has_simulator: bool) -> Markup {
    let (g_keys, g_pages) = if has_simulator {
        (
            "g then i, m, o, p, q, k, a, s",
            "Inbox, messages, outbox, providers, quarantine, keys, audit, simulator",
        )
    } else {
        ("g then i, m, o, p, q, k, a", "Inbox, messages, outbox, providers, quarantine, keys, audit")
    };
    let keys = [
        ("/", "Search"),
        ("j, k", "Next, previous entry of a list"),
        ("Enter", "Open it"),
        ("c", "Write a new message"),
        ("r", "Write a reply"),
        ("Ctrl+Enter", "Send it"),
        (g_keys, g_pages),
        ("?", "This list"),
        ("Esc", "Leave a field, close this list"),
    ];
    html! {
        dialog #shortcuts aria-labelledby="shortcuts-title" {
            h2 #shortcuts-title { "Keyboard" }
            dl { @for (key, does) in keys { dt { kbd { (key) } } dd { (does) } } }
            p { label { input #keys-on type="checkbox"; " Single letters do this" } }
            form method="dialog" { button type="submit" { "Close" } }
        }
    }
}

/// What a page may do: use our own files, call this server, and show what foreign people wrote in a frame that may do
/// nothing at all.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

pub(super) async fn contain(request: Request, next: Next) -> Response {
    contained(next.run(request).await)
}

pub(super) fn contained(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(POLICY));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(OPENER_POLICY, HeaderValue::from_static("same-origin"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
