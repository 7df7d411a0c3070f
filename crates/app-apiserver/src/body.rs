//! Reading request bodies: bounded in bytes, in time and rate, and in memory over all requests; and JSON out of them.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Frame};
use serde_json::error::Category;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use crate::fields::Object;
use crate::peers::{Held, Peers};
use crate::problem::Problem;
use crate::server::PeerAddress;

/// For a whole body.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// After this, the body must have come at the minimum rate on average.
const RATE_GRACE: Duration = Duration::from_secs(10);
const RATE_MIN_BYTES_PER_S: usize = 1 << 10;
/// A body that is too long is read on for so much and so long, so that the client gets to see the answer instead
/// of a broken connection.
const OVERFLOW_BYTES_MAX: usize = 16 << 20;
const OVERFLOW_TIMEOUT: Duration = Duration::from_secs(3);

/// The beginning of each body is not counted: the cap on connections bounds it. So a short webhook is read while others
/// take all of the memory.
const FREE_BYTES: usize = 16 << 10;
/// The beginning of a body that cannot be taken is waited for so long.
const BEGINNING_TIMEOUT: Duration = Duration::from_secs(3);

/// From here on, a body has a buffer of its announced length.
const LARGE_BYTES: usize = 1 << 20;

const BUDGET_UNIT_BYTES: usize = 4 << 10;
/// Of the 256 MiB for bodies of webhooks; the rest is for parsing them (`parse_memory`) and for what is not counted.
const BUDGET_BYTES: usize = 64 << 20;

/// The memory that request bodies may take together. What is announced takes none; what has come does.
#[derive(Debug)]
pub(crate) struct Budget {
    units: Arc<Semaphore>,
    peers: Arc<Peers>,
}

/// How much of a budget the bodies of one peer may take: a third, but always one body of the largest size.
pub(crate) fn units_per_peer(body_bytes_max: usize) -> usize {
    (BUDGET_BYTES / 3).max(body_bytes_max).div_ceil(BUDGET_UNIT_BYTES) + 16
}

/// The memory that one body takes.
#[derive(Debug)]
struct Taken {
    units: OwnedSemaphorePermit,
    by_peer: Held,
}

/// A body's part of the memory. Whoever holds on to what the body said holds on to it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Share {
    _taken: Option<Arc<Taken>>,
    _permit: Option<Arc<OwnedSemaphorePermit>>,
    _parts: Option<Box<(Share, Share)>>,
}

impl Share {
    /// This part and another one, given back together.
    pub(crate) fn and(self, other: Self) -> Self {
        Self { _parts: Some(Box::new((self, other))), ..Self::default() }
    }
}

/// A request's body, and its share of the memory.
#[derive(Debug)]
pub(crate) struct ReadBody {
    pub bytes: Bytes,
    pub share: Share,
}

impl From<OwnedSemaphorePermit> for Share {
    fn from(permit: OwnedSemaphorePermit) -> Self {
        Self { _permit: Some(Arc::new(permit)), ..Self::default() }
    }
}

impl Budget {
    /// Memory for bodies of up to that size, and for at least one of them.
    pub(crate) fn for_bodies_of(body_bytes_max: usize, peers: &Arc<Peers>) -> Self {
        let bytes = BUDGET_BYTES.max(body_bytes_max + (1 << 20));
        Self { units: Arc::new(Semaphore::new(bytes / BUDGET_UNIT_BYTES)), peers: Arc::clone(peers) }
    }

    #[cfg(test)]
    pub(crate) fn of_units(units: usize) -> Self {
        let peers = Arc::new(Peers::without_limits());
        Self { units: Arc::new(Semaphore::new(units)), peers }
    }

    /// The whole body.
    ///
    /// # Errors
    /// 413 above `limit` bytes, 408 when it does not come in time or at the minimum rate, 400 when it breaks off, 503
    /// when the memory for bodies is taken, or this peer's part of it.
    pub(crate) async fn read(
        &self,
        parts: &Parts,
        mut body: Body,
        limit: usize,
    ) -> Result<ReadBody, Problem> {
        let announced =
            parts.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        if announced.is_some_and(|bytes| bytes > limit) {
            discard(&mut body).await;
            return Err(too_large(limit));
        }
        let collected = Collected {
            peer: PeerAddress::of(&parts.extensions),
            free_bytes: FREE_BYTES,
            announced_bytes: announced.unwrap_or(0),
            ..Collected::new(self)
        };
        let read = collected.read_beginning(&mut body, limit).await?;
        if read.bytes.len() > limit { Err(too_large(limit)) } else { Ok(read) }
    }

    /// A document of our own request: with no time limit, and the rest is not read.
    pub(crate) async fn collect(&self, body: &mut Body, enough: usize) -> Result<ReadBody, Problem> {
        let mut collected = Collected::new(self);
        while collected.bytes.len() <= enough {
            let Some(frame) = body.frame().await else { break };
            collected.add(frame)?;
        }
        Ok(collected.finish())
    }
}

/// What has come of a body.
struct Collected<'a> {
    budget: &'a Budget,
    peer: PeerAddress,
    /// So much of it is not counted.
    free_bytes: usize,
    /// 0 where it was not announced.
    announced_bytes: usize,
    bytes: BytesMut,
    taken: Option<Taken>,
}

impl<'a> Collected<'a> {
    fn new(budget: &'a Budget) -> Self {
        Self {
            budget,
            peer: PeerAddress::UNKNOWN,
            free_bytes: 0,
            announced_bytes: 0,
            bytes: BytesMut::new(),
            taken: None,
        }
    }

    /// The whole body, or somewhat more than `enough` bytes of it; the rest is discarded.
    ///
    /// # Errors
    /// As [`Budget::read`], save 413.
    async fn read_beginning(mut self, body: &mut Body, enough: usize) -> Result<ReadBody, Problem> {
        let began = Instant::now();
        while self.bytes.len() <= enough {
            let Ok(frame) = timeout_at(began + time_for(self.bytes.len()), body.frame()).await else {
                return Err(too_slow());
            };
            let Some(frame) = frame else { return Ok(self.finish()) };
            self.add(frame)?;
        }
        discard(body).await;
        Ok(self.finish())
    }

    fn add(&mut self, frame: Result<Frame<Bytes>, axum::Error>) -> Result<(), Problem> {
        let frame = frame.map_err(|error| {
            Problem::bad_request("body_incomplete", "the request's body broke off").because(error)
        })?;
        let Ok(data) = frame.into_data() else { return Ok(()) };
        let counted = (self.bytes.len() + data.len()).saturating_sub(self.free_bytes);
        let held = self.taken.as_ref().map_or(0, |taken| taken.units.num_permits());
        let more = counted.div_ceil(BUDGET_UNIT_BYTES).saturating_sub(held);
        if more > 0 {
            self.take(more)?;
        }
        // A large buffer that grows is copied, and takes the memory twice.
        if self.bytes.len() >= LARGE_BYTES && self.announced_bytes > self.bytes.capacity() {
            self.bytes.reserve(self.announced_bytes - self.bytes.len());
        }
        self.bytes.extend_from_slice(&data);
        Ok(())
    }

    fn take(&mut self, more: usize) -> Result<(), Problem> {
        let by_peer = self.budget.peers.take_body_units(self.peer, more).ok_or_else(Problem::overloaded)?;
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        let units = Arc::clone(&self.budget.units);
        let units = units.try_acquire_many_owned(more).map_err(|_| Problem::overloaded())?;
        match &mut self.taken {
            Some(taken) => {
                taken.units.merge(units);
                taken.by_peer.merge(by_peer);
            }
            None => self.taken = Some(Taken { units, by_peer }),
        }
        Ok(())
    }

    fn finish(self) -> ReadBody {
        let share = Share { _taken: self.taken.map(Arc::new), ..Share::default() };
        ReadBody { bytes: self.bytes.freeze(), share }
    }
}

/// When a body of which so much has come must have gone on.
fn time_for(bytes: usize) -> Duration {
    let at_min_rate = Duration::from_secs((bytes / RATE_MIN_BYTES_PER_S).try_into().unwrap_or(u64::MAX));
    at_min_rate.clamp(RATE_GRACE, READ_TIMEOUT)
}

fn too_slow() -> Problem {
    let detail = format!(
        "the request's body did not come within {} s, at {RATE_MIN_BYTES_PER_S} bytes a second or more",
        READ_TIMEOUT.as_secs()
    );
    Problem::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", detail)
}

/// The beginning of a body that cannot be taken, for a person to look at: as much as comes within a short time and is
/// not counted. Whether that is all.
pub(crate) async fn read_little(body: &mut Body) -> (Bytes, bool) {
    let mut collected = BytesMut::new();
    let reading = async {
        while collected.len() < FREE_BYTES {
            match body.frame().await {
                Some(Ok(frame)) => {
                    let data = frame.into_data().unwrap_or_default();
                    let room = FREE_BYTES - collected.len();
                    collected.extend_from_slice(&data[..data.len().min(room)]);
                    if data.len() > room {
                        return false;
                    }
                }
                Some(Err(_)) => return false,
                None => return true,
            }
        }
        body.is_end_stream()
    };
    let is_whole = timeout(BEGINNING_TIMEOUT, reading).await.unwrap_or(false);
    if !is_whole {
        discard(body).await;
    }
    (collected.freeze(), is_whole)
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
mod tests;
