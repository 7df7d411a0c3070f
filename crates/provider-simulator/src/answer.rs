//! Takes a call through its faults: refuse, wait or break before the accept; accept; then answer, late, badly or
//! not at all. Knows no provider's format beyond the errors that faults ask for.

use std::convert::Infallible;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::Value;

use crate::faults::{Fault, Met, OutageForm, WaitForm};
use crate::kind::Kind;
use crate::ledger::CallNumber;
use crate::message::{Accepted, Answered};
use crate::schedule;
use crate::server::Connection;
use crate::simulator::Shared;

/// An answer whose body is still whole, so that a fault can spoil it. Boxed, for refusals are errors.
#[derive(Debug)]
pub(crate) struct Whole(Box<Response<Bytes>>);

impl Whole {
    /// 200 without a body.
    pub(crate) fn empty() -> Self {
        Self(Box::new(Response::new(Bytes::new())))
    }

    pub(crate) fn into_response(self) -> Response {
        self.0.map(Body::from)
    }
}

impl Deref for Whole {
    type Target = Response<Bytes>;

    fn deref(&self) -> &Response<Bytes> {
        &self.0
    }
}

impl DerefMut for Whole {
    fn deref_mut(&mut self) -> &mut Response<Bytes> {
        &mut self.0
    }
}

pub(crate) fn json(status: u16, value: &Value) -> Whole {
    with_body(status, "application/json", value.to_string())
}

pub(crate) fn with_body(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Whole {
    let mut answer = Whole(Box::new(Response::new(body.into())));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

/// A call whose sender is known and whose text could be read.
pub(crate) struct Exchange<'a> {
    pub shared: &'a Shared,
    pub connection: &'a Connection,
    pub kind: Kind,
    pub number: CallNumber,
    pub met: Met,
}

/// What validation says: the entries of the ledger and the answer; for a refusal, its answer alone.
pub(crate) type Verdict = (Vec<Arc<Accepted>>, Whole);

impl Exchange<'_> {
    /// `accept` validates and makes the ledger's entries; it runs once the faults before it are over.
    pub(crate) async fn run(mut self, accept: impl FnOnce(&mut Met) -> Verdict) -> Response {
        let fault = self.met.call.clone();
        match &fault {
            Some(Fault::Throttle { retry_after_s, form }) => {
                return self.give(self.throttled(*retry_after_s, *form)).await;
            }
            Some(Fault::Status { status, code, message }) => {
                let code = code.as_ref().map(ToString::to_string);
                return self.give(error(self.kind, *status, code.as_deref(), message.as_deref())).await;
            }
            Some(Fault::Outage { how: OutageForm::Unavailable, .. }) => {
                return self.give(error(self.kind, 503, None, None)).await;
            }
            Some(Fault::Reset | Fault::Outage { .. }) => return self.break_off().await,
            Some(Fault::Hang { for_s, accept_first: false }) => pause(*for_s).await,
            _ => {}
        }
        let (messages, answer) = accept(&mut self.met);
        if !answer.status().is_success() {
            return self.give(answer).await;
        }
        if let Err(problem) = self.shared.ledger.accept(&messages) {
            tracing::error!(%problem, "the ledger's file cannot be written");
            return self.give(error(self.kind, 500, None, Some("the ledger's file cannot be written"))).await;
        }
        for message in messages {
            if message.plan.before_answer {
                schedule::deliver_now(self.shared, &message).await;
            } else {
                schedule::begin(self.shared, message);
            }
        }
        self.spoil(fault, answer).await
    }

    async fn spoil(self, fault: Option<Fault>, answer: Whole) -> Response {
        match fault {
            Some(Fault::AcceptThenReset) => self.break_off().await,
            Some(Fault::Hang { for_s, accept_first: true }) => {
                pause(for_s).await;
                self.give(answer).await
            }
            Some(Fault::SlowBody { for_s }) => {
                self.note(Answered::Status(answer.status().as_u16()));
                trickle(answer, for_s)
            }
            Some(Fault::Garbage) => self.give(garbage(answer.status())).await,
            Some(Fault::Truncated) => {
                self.note(Answered::Status(answer.status().as_u16()));
                truncated(answer)
            }
            _ => self.give(answer).await,
        }
    }

    fn note(&self, answered: Answered) {
        self.shared.ledger.end_call(self.number, answered);
    }

    async fn give(&self, answer: Whole) -> Response {
        self.note(Answered::Status(answer.status().as_u16()));
        answer.into_response()
    }

    async fn break_off(&self) -> Response {
        self.note(Answered::Reset);
        self.connection.reset().await
    }

    fn throttled(&self, retry_after_s: u64, form: WaitForm) -> Whole {
        let mut answer = error(self.kind, 429, None, None);
        let now_unix_s = u64::try_from(self.shared.options.clock.now().as_second()).unwrap_or(0);
        let until_unix_s = now_unix_s.saturating_add(retry_after_s);
        let headers = answer.headers_mut();
        match form {
            WaitForm::Seconds => insert(headers, header::RETRY_AFTER, &retry_after_s.to_string()),
            WaitForm::HttpDate => {
                // A date has whole seconds: the next one, so that the wait is never shorter than told.
                let until = std::time::UNIX_EPOCH + Duration::from_secs(until_unix_s.saturating_add(1));
                insert(headers, header::RETRY_AFTER, &httpdate::fmt_http_date(until));
            }
            WaitForm::RateLimitReset => {
                for (name, value) in self.kind.protocol().rate_limit_headers(retry_after_s, until_unix_s) {
                    insert(headers, header::HeaderName::from_static(name), &value);
                }
            }
            WaitForm::None => {}
        }
        answer
    }
}

fn insert(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn error(kind: Kind, status: u16, code: Option<&str>, message: Option<&str>) -> Whole {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    kind.protocol().error(status, code, message)
}

async fn pause(for_s: f64) {
    tokio::time::sleep(Duration::from_secs_f64(for_s)).await;
}

/// The status of a success, and nothing that a client could read a success from.
fn garbage(status: StatusCode) -> Whole {
    with_body(status.as_u16(), "text/html", Bytes::from_static(b"<html>\xff\xfe\x00 proxy error {\"sid\": "))
}

/// Sends the head at once, and the body evenly over the time. An empty body becomes blanks: the head already
/// says everything then, and only a body can be slow.
fn trickle(answer: Whole, for_s: f64) -> Response {
    let (parts, body) = answer.0.into_parts();
    let body = if body.is_empty() { Bytes::from_static(b"                ") } else { body };
    let gap = Duration::from_secs_f64(for_s / body.len().max(1) as f64);
    let bytes = stream::unfold(body, move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::time::sleep(gap).await;
        Some((Ok::<_, Infallible>(rest.split_to(1)), rest))
    });
    Response::from_parts(parts, Body::from_stream(bytes))
}

/// Promises the whole body, sends half of it and ends the connection.
fn truncated(answer: Whole) -> Response {
    let (mut parts, body) = answer.0.into_parts();
    let body = if body.is_empty() { Bytes::from_static(b"{\"a\":1}\n") } else { body };
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    let half = body.slice(..body.len() / 2);
    let bytes = stream::unfold(Some(half), |half| async move {
        match half {
            Some(half) => Some((Ok(half), None)),
            None => {
                // Lets the connection flush the half: an error at once would drop it unsent.
                tokio::task::yield_now().await;
                Some((Err(std::io::Error::other("cut off by a scripted fault")), None))
            }
        }
    });
    Response::from_parts(parts, Body::from_stream(bytes))
}
