//! Reading request bodies: bounded in bytes, in time, and in memory over all requests; and JSON out of them.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use serde_json::error::Category;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::fields::Object;
use crate::problem::Problem;

const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// A body that is too long is read on for so much and so long, so that the client gets to see the answer instead
/// of a broken connection.
const OVERFLOW_BYTES_MAX: usize = 16 << 20;
const OVERFLOW_TIMEOUT: Duration = Duration::from_secs(3);

const BUDGET_UNIT_BYTES: usize = 4 << 10;
const BUDGET_UNITS: usize = (256 << 20) / BUDGET_UNIT_BYTES;

/// The memory that request bodies may take together. What is announced takes none; what has come does.
#[derive(Debug)]
pub(crate) struct Budget(Arc<Semaphore>);

impl Default for Budget {
    fn default() -> Self {
        Self::of_units(BUDGET_UNITS)
    }
}

/// A body's part of the memory. Whoever holds on to what the body said holds on to it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Share {
    _permit: Option<Arc<OwnedSemaphorePermit>>,
    _parts: Option<Box<(Share, Share)>>,
}

impl Share {
    /// This part and another one, given back together.
    pub(crate) fn and(self, other: Self) -> Self {
        Self { _permit: None, _parts: Some(Box::new((self, other))) }
    }
}

/// A request's body, and its share of the memory.
#[derive(Debug)]
pub(crate) struct ReadBody {
    pub bytes: Bytes,
    pub share: Share,
}

impl Budget {
    pub(crate) fn of_units(units: usize) -> Self {
        Self(Arc::new(Semaphore::new(units)))
    }

    /// The whole body.
    ///
    /// # Errors
    /// 413 above `limit` bytes, 408 when it does not come in time, 400 when it breaks off, 503 when the memory for
    /// bodies is taken.
    pub(crate) async fn read(
        &self,
        headers: &HeaderMap,
        mut body: Body,
        limit: usize,
    ) -> Result<ReadBody, Problem> {
        let announced =
            headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        if announced.is_some_and(|bytes| bytes > limit) {
            discard(&mut body).await;
            return Err(too_large(limit));
        }
        let read = self.read_beginning(&mut body, limit).await?;
        if read.bytes.len() > limit { Err(too_large(limit)) } else { Ok(read) }
    }

    /// The whole body, or somewhat more than `enough` bytes of it, and the rest let go by.
    ///
    /// # Errors
    /// As [`read`](Self::read), save 413.
    pub(crate) async fn read_beginning(&self, body: &mut Body, enough: usize) -> Result<ReadBody, Problem> {
        match timeout(READ_TIMEOUT, self.collect(body, enough)).await {
            Ok(Ok(read)) => {
                if read.bytes.len() > enough {
                    discard(body).await;
                }
                Ok(read)
            }
            Ok(Err(problem)) => Err(problem),
            Err(_) => {
                let detail = format!("the request's body did not come within {} s", READ_TIMEOUT.as_secs());
                Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", detail))
            }
        }
    }

    /// As [`read_beginning`](Self::read_beginning), with no time limit of its own, and the rest is not read.
    pub(crate) async fn collect(&self, body: &mut Body, enough: usize) -> Result<ReadBody, Problem> {
        let mut collected = BytesMut::new();
        let mut share: Option<OwnedSemaphorePermit> = None;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| {
                Problem::bad_request("body_incomplete", "the request's body broke off").because(error)
            })?;
            let Ok(data) = frame.into_data() else { continue };
            let needed = (collected.len() + data.len()).div_ceil(BUDGET_UNIT_BYTES);
            let held = share.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
            let more = u32::try_from(needed.saturating_sub(held)).unwrap_or(u32::MAX);
            let more = Arc::clone(&self.0).try_acquire_many_owned(more).map_err(|_| Problem::overloaded())?;
            match &mut share {
                Some(share) => share.merge(more),
                None => share = Some(more),
            }
            collected.extend_from_slice(&data);
            if collected.len() > enough {
                break;
            }
        }
        Ok(ReadBody {
            bytes: collected.freeze(),
            share: Share { _permit: share.map(Arc::new), _parts: None },
        })
    }
}

async fn discard(body: &mut Body) {
    let mut discarded = 0;
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            discarded += frame.data_ref().map_or(0, Bytes::len);
            if discarded > OVERFLOW_BYTES_MAX {
                break;
            }
        }
    };
    // Whether it ended or not, the answer is the same.
    let _ = timeout(OVERFLOW_TIMEOUT, reading).await;
}

fn too_large(limit: usize) -> Problem {
    let detail = format!("the request's body is larger than the {limit} bytes that are taken here");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
}

/// # Errors
/// 415 unless the content is said to be JSON, and not compressed. A browser cannot say so to another site without asking first.
pub(crate) fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    let unsupported =
        |detail| Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail));
    if !headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity"))
    {
        return unsupported("send the body as it is, without compression and without a Content-Encoding");
    }
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let media_type = media_type.to_ascii_lowercase();
    if media_type.starts_with("application/") && media_type.ends_with("+json") {
        return Ok(());
    }
    unsupported("send JSON, with the header Content-Type: application/json")
}

/// A JSON object's fields. Nothing of the content is repeated in the error.
///
/// # Errors
/// 400 `malformed_json` with line and column; nesting is limited by the parser (128 levels).
pub(crate) fn parse_object(bytes: &[u8]) -> Result<Object, Problem> {
    serde_json::from_slice(bytes).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let detail = match error.classify() {
            Category::Eof => {
                format!("the body ends in the middle of the JSON, at line {line} column {column}")
            }
            Category::Data => "the body must be one JSON object".to_owned(),
            Category::Syntax | Category::Io => {
                format!("the body is not JSON that can be read, at line {line} column {column}")
            }
        };
        Problem::bad_request("malformed_json", detail)
    })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn endless() -> Body {
        let chunks =
            futures_util::stream::repeat_with(|| Ok::<_, Infallible>(Bytes::from_static(&[0; 1024])));
        Body::from_stream(chunks)
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_408() {
        let stalled = Body::from_stream(futures_util::stream::pending::<Result<Bytes, Infallible>>());
        let problem = Budget::default().read(&HeaderMap::new(), stalled, 1000).await.unwrap_err();
        assert_eq!(problem.status(), StatusCode::REQUEST_TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_of_unannounced_length_is_cut_off_at_the_limit() {
        let problem = Budget::default().read(&HeaderMap::new(), endless(), 10_000).await.unwrap_err();
        assert_eq!(problem.status(), StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[tokio::test]
    async fn bodies_share_a_bounded_memory_and_give_it_back_with_their_last_share() {
        let budget = Budget::of_units(2);
        let read = async |body: Vec<u8>| budget.read(&HeaderMap::new(), Body::from(body), 1 << 20).await;
        let first = read(vec![b'x'; BUDGET_UNIT_BYTES + 1]).await.unwrap();
        assert_eq!(read(vec![b'x']).await.unwrap_err().status(), StatusCode::SERVICE_UNAVAILABLE);
        let share = first.share.clone();
        drop(first);
        assert_eq!(read(vec![b'x']).await.unwrap_err().status(), StatusCode::SERVICE_UNAVAILABLE);
        drop(share);
        assert_eq!(read(vec![b'x']).await.unwrap().bytes, "x");
    }

    #[tokio::test]
    async fn shares_together_give_back_both() {
        let budget = Budget::of_units(2);
        let read = async || budget.read(&HeaderMap::new(), Body::from(vec![b'x']), 10).await.unwrap().share;
        let both = read().await.and(read().await);
        assert_eq!(budget.0.available_permits(), 0);
        drop(both);
        assert_eq!(budget.0.available_permits(), 2);
    }

    #[tokio::test]
    async fn a_body_that_outgrows_the_memory_gives_back_what_it_had() {
        let budget = Budget::of_units(2);
        let outgrown = budget.read(&HeaderMap::new(), endless(), 1 << 20).await;
        assert_eq!(outgrown.unwrap_err().status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(budget.0.available_permits(), 2);
    }

    #[tokio::test]
    async fn of_a_long_body_the_beginning_can_be_read() {
        let read = Budget::default().read_beginning(&mut endless(), 10_000).await.unwrap();
        assert_eq!(read.bytes.len(), 10 * 1024);
    }

    #[test]
    fn json_may_have_parameters_and_a_suffix() {
        for (content_type, fits) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/vnd.example+json", true),
            ("text/json", false),
            ("application/x-www-form-urlencoded", false),
        ] {
            let value = http::HeaderValue::from_static(content_type);
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, value)]);
            assert_eq!(require_json(&headers).is_ok(), fits, "{content_type}");
        }
    }
}
