//! Reading request bodies: bounded in bytes, in time, and in memory over all requests; and JSON out of them.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use serde_json::error::Category;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::fields::Object;
use crate::problem::Problem;

const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// A body that is too long is read on for so much and so long, so that the client gets to see the answer instead
/// of a broken connection.
const OVERFLOW_BYTES_MAX: usize = 16 << 20;
const OVERFLOW_TIMEOUT: Duration = Duration::from_secs(3);

const BUDGET_UNIT_BYTES: usize = 64 << 10;
const BUDGET_UNITS: usize = (512 << 20) / BUDGET_UNIT_BYTES;

/// The memory that request bodies may take together.
#[derive(Debug)]
pub(crate) struct Budget(Semaphore);

impl Default for Budget {
    fn default() -> Self {
        Self(Semaphore::new(BUDGET_UNITS))
    }
}

/// A request's body, and its share of the memory.
#[derive(Debug)]
pub(crate) struct ReadBody<'a> {
    pub bytes: Bytes,
    _share: SemaphorePermit<'a>,
}

impl Budget {
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
    ) -> Result<ReadBody<'_>, Problem> {
        let announced =
            headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        if announced.is_some_and(|bytes| bytes > limit) {
            discard(&mut body).await;
            return Err(too_large(limit));
        }
        let units = announced.unwrap_or(limit).div_ceil(BUDGET_UNIT_BYTES).clamp(1, BUDGET_UNITS);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let share = self.0.try_acquire_many(units).map_err(|_| Problem::overloaded())?;
        match timeout(READ_TIMEOUT, collect(&mut body, limit)).await {
            Ok(Ok(Some(bytes))) => Ok(ReadBody { bytes, _share: share }),
            Ok(Ok(None)) => {
                discard(&mut body).await;
                Err(too_large(limit))
            }
            Ok(Err(error)) => {
                Err(Problem::bad_request("body_incomplete", "the request's body broke off").because(error))
            }
            Err(_) => {
                let detail = format!("the request's body did not come within {} s", READ_TIMEOUT.as_secs());
                Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", detail))
            }
        }
    }
}

/// Nothing where the body is longer than `limit`.
async fn collect(body: &mut Body, limit: usize) -> Result<Option<Bytes>, axum::Error> {
    let mut collected = BytesMut::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            if collected.len() + data.len() > limit {
                return Ok(None);
            }
            collected.extend_from_slice(&data);
        }
    }
    Ok(Some(collected.freeze()))
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
/// 415 unless the content is said to be JSON. A browser cannot say so to another site without asking first.
pub(crate) fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if media_type == "application/json"
        || (media_type.starts_with("application/") && media_type.ends_with("+json"))
    {
        return Ok(());
    }
    let detail = "send JSON, with the header Content-Type: application/json";
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail))
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
    async fn bodies_share_a_bounded_memory_and_give_it_back() {
        let budget = Budget(Semaphore::new(2));
        let read = async || budget.read(&HeaderMap::new(), Body::from("x"), 2 * BUDGET_UNIT_BYTES).await;
        let first = read().await.unwrap();
        assert_eq!(read().await.unwrap_err().status(), StatusCode::SERVICE_UNAVAILABLE);
        drop(first);
        assert_eq!(read().await.unwrap().bytes, "x");
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
