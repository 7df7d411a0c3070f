//! Pages that keep themselves up to date: a stream of server-sent events, each the whole region as it is now
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html>). Nothing is told as a difference, so nothing can
//! be missed: whoever was away (a restart, a hidden tab, a slow line) is shown what is true as soon as the stream begins
//! again. A page has one stream, for whatever parts of it: browsers have six connections for a server. Must not be a load:
//! a stream rests between two looks for thirty times as long as one took, and few look at once.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream::unfold;
use http::HeaderName;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use maud::{Markup, html};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

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

/// What one stream goes on from.
struct Stream<R> {
    app: App,
    session: Session,
    render: R,
    shown: String,
    sent_at: Instant,
    rest: Duration,
    _permit: OwnedSemaphorePermit,
}

/// Renders again and again, and sends what changed.
///
/// # Errors
/// 503 when too many pages are kept up to date already; the page itself is as good as loading it again.
pub(super) fn stream<R, F>(app: App, session: Session, render: R) -> Result<Response, Trouble>
where
    R: Fn(App) -> F + Send + 'static,
    F: Future<Output = Result<Markup, Problem>> + Send,
{
    let permit = app.console.live.clone().try_acquire_owned().map_err(|_| Problem::overloaded())?;
    let began = Stream {
        app,
        session,
        render,
        shown: String::new(),
        sent_at: Instant::now(),
        rest: Duration::ZERO,
        _permit: permit,
    };
    let events = unfold(began, |mut stream| async move {
        let event = next(&mut stream).await?;
        Some((Ok::<_, Infallible>(event), stream))
    });
    let headers =
        [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-store"), (X_ACCEL_BUFFERING, "no")];
    Ok((headers, Body::from_stream(events)).into_response())
}

/// The next event, when there is one; nothing when the stream should end.
async fn next<R, F>(stream: &mut Stream<R>) -> Option<Bytes>
where
    R: Fn(App) -> F,
    F: Future<Output = Result<Markup, Problem>>,
{
    loop {
        tokio::select! {
            () = tokio::time::sleep(stream.rest) => {}
            () = stream.app.shutdown.cancelled() => return None,
        }
        if !stream.session.still_stands(&stream.app) {
            return None;
        }
        let rendered = {
            // Never closed.
            let _look = stream.app.console.looks.acquire().await.ok()?;
            let began = Instant::now();
            let rendered = (stream.render)(stream.app.clone()).await.map(|it| with_pulse(&stream.app, &it));
            stream.rest = (began.elapsed() * REST).clamp(REST_MIN, REST_MAX);
            rendered
        };
        let is_quiet = stream.sent_at.elapsed() >= KEEP_ALIVE;
        match rendered {
            Ok(markup) if markup.0 != stream.shown => {
                stream.shown = markup.0;
                stream.sent_at = Instant::now();
                return Some(event(&stream.shown));
            }
            // What is shown stays as it is while the database is away.
            Ok(_) | Err(_) if is_quiet => {
                stream.sent_at = Instant::now();
                return Some(Bytes::from_static(b"event: alive\ndata:\n\n"));
            }
            Ok(_) | Err(_) => {}
        }
    }
}

/// On every page stands how the whole fares.
fn with_pulse(app: &App, markup: &Markup) -> Markup {
    html! { (markup) (parts(&[(pulse::ID, layout::pulse(app))])) }
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
