//! Pages that keep themselves up to date: a stream of server-sent events, each the whole region as it is now
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html>). Nothing is told as a difference, so nothing can
//! be missed: whoever was away (a restart, a hidden tab, a slow line) is shown what is true as soon as the stream begins
//! again. A page has one stream, for whatever parts of it: browsers have six connections for a server. Must not be a load:
//! a stream rests between two looks for thirty times as long as one took, up to 1.5 s, and few look at once.

use std::convert::Infallible;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream::unfold;
use http::HeaderName;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use maud::{Markup, PreEscaped, html};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout};

use super::activity::pulse;
use super::layout;
use super::session::Session;
use super::trouble::Trouble;
use crate::App;
use crate::problem::Problem;

/// How long a stream rests between two looks: never longer than an outage may go unseen.
const REST_MIN: Duration = Duration::from_millis(400);
const REST_MAX: Duration = Duration::from_millis(1_500);
/// In looks.
const REST: u32 = 30;
/// A look that takes longer shows nothing any more: the database does not answer.
const LOOK_MAX: Duration = Duration::from_secs(4);
/// Something is sent so often, so that either side notices that the other is gone: a comment would not reach the page.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// For proxies that would collect events before they pass them on.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// The page's script says when to connect: once somebody looks.
const TRIGGER: &str = "live";

/// A region of a page that is kept up to date from `url`.
pub(super) fn region(id: &str, url: &str, content: &Markup) -> Markup {
    html! {
        div id=(id) hx-sse:connect=(url) hx-trigger=(TRIGGER) hx-swap="innerMorph" { (content) }
    }
}

/// What keeps several parts of a page up to date: `url` streams [`parts`].
pub(super) fn source(url: &str) -> Markup {
    html! { div hx-sse:connect=(url) hx-trigger=(TRIGGER) hx-swap="none" {} }
}

/// Regions by their ids, each as it is now.
pub(super) fn parts(parts: &[(&str, Markup)]) -> Markup {
    html! {
        @for (id, content) in parts {
            hx-partial hx-target={ "#" (id) } hx-swap="innerMorph" { (content) }
        }
    }
}

/// For a page that has no region of its own: how the whole fares.
pub(super) async fn still(
    State(app): State<App>,
    Extension(session): Extension<Session>,
) -> Result<Response, Trouble> {
    stream(app, session, At::Other, |_| async { Ok(html! {}) }).await
}

/// What a stream looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// The database: a few streams at once.
    Database,
    /// What is at hand, or elsewhere.
    Other,
}

/// What one stream goes on from.
struct Stream<R> {
    app: App,
    session: Session,
    at: At,
    render: R,
    shown: String,
    pulse: String,
    sent_at: Instant,
    rest: Duration,
    /// Of the first look.
    next: Option<Bytes>,
    _permit: OwnedSemaphorePermit,
}

/// Renders again and again, and sends what changed. It ends where it cannot: the page asks again then, and is told why.
///
/// # Errors
/// As the first rendering has them; 503 when too many pages are kept up to date already.
pub(super) async fn stream<R, F>(app: App, session: Session, at: At, render: R) -> Result<Response, Trouble>
where
    R: Fn(App) -> F + Send + 'static,
    F: Future<Output = Result<Markup, Problem>> + Send + 'static,
{
    let permit = app.console.live.clone().try_acquire_owned().map_err(|_| Problem::overloaded())?;
    let mut began = Stream {
        app,
        session,
        at,
        render,
        shown: String::new(),
        pulse: String::new(),
        sent_at: Instant::now(),
        rest: Duration::ZERO,
        next: None,
        _permit: permit,
    };
    began.next = began.look().await?;
    let events = unfold(began, |mut stream| async move {
        let event = match stream.next.take() {
            Some(first) => first,
            None => stream.goes_on().await?,
        };
        Some((Ok::<_, Infallible>(event), stream))
    });
    let headers =
        [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-store"), (X_ACCEL_BUFFERING, "no")];
    Ok((headers, Body::from_stream(events)).into_response())
}

impl<R, F> Stream<R>
where
    R: Fn(App) -> F,
    F: Future<Output = Result<Markup, Problem>> + Send + 'static,
{
    /// The next event, when there is one; nothing when the stream should end.
    async fn goes_on(&mut self) -> Option<Bytes> {
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.rest) => {}
                () = self.app.shutdown.cancelled() => return None,
            }
            if !self.session.still_stands(&self.app) {
                return None;
            }
            if let Some(event) = self.look().await.ok()? {
                return Some(event);
            }
            if self.sent_at.elapsed() >= KEEP_ALIVE {
                self.sent_at = Instant::now();
                return Some(Bytes::from_static(b"event: alive\ndata:\n\n"));
            }
        }
    }

    /// What has changed, as an event.
    async fn look(&mut self) -> Result<Option<Bytes>, Problem> {
        let (app, at) = (self.app.clone(), self.at);
        let rendering = (self.render)(self.app.clone());
        let looking = async move {
            // Never closed.
            let _look = if at == At::Database { app.console.looks.acquire().await.ok() } else { None };
            let began = Instant::now();
            let rendered = rendering.await?;
            Ok::<_, Problem>((rendered, began.elapsed()))
        };
        // It goes on to its end by itself: a query that nobody waits for any more would keep its connection busy, and
        // give its place to the next.
        let looked = timeout(LOOK_MAX, tokio::spawn(looking)).await.map_err(|_| Problem::overloaded())?;
        let (rendered, took) = looked.map_err(|panic| Problem::internal().because(panic))??;
        self.rest = (took * REST).clamp(REST_MIN, REST_MAX);
        // On every page stands how the whole fares.
        let pulse = layout::pulse(&self.app).into_string();
        let (is_new, is_new_pulse) = (rendered.0 != self.shown, pulse != self.pulse);
        if !is_new && !is_new_pulse {
            return Ok(None);
        }
        self.sent_at = Instant::now();
        let changed = html! {
            @if is_new { (rendered) }
            @if is_new_pulse { (parts(&[(pulse::ID, PreEscaped(pulse.clone()))])) }
        };
        (self.shown, self.pulse) = (rendered.0, pulse);
        Ok(Some(event(&changed.0)))
    }
}

fn event(markup: &str) -> Bytes {
    let mut event = String::with_capacity(markup.len() + 64);
    for line in markup.replace("\r\n", "\n").split(['\n', '\r']) {
        event.push_str("data: ");
        event.push_str(line);
        event.push('\n');
    }
    event.push('\n');
    Bytes::from(event)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_an_event_is_data() {
        assert_eq!(event("<p>a\r\nb\rc"), "data: <p>a\ndata: b\ndata: c\n\n");
        assert_eq!(event("a\n\nid: 7"), "data: a\ndata: \ndata: id: 7\n\n");
    }
}
