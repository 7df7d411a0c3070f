//! Failed authentication: counted, logged at a bounded rate, and slowed for each peer. A burst of failures is written to
//! the audit log. Must never lock out another peer, nor a request with a valid key.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use app_db::Client;
use app_db::audit::{self, NewEntry};
use http::StatusCode;
use serde_json::json;
use service::metrics::SurfaceReason;
use tokio::time::Instant;

use crate::App;
use crate::audit::by_server;
use crate::problem::Problem;
use crate::server::PeerAddress;

const WINDOW: Duration = Duration::from_secs(60);
/// So many failures of one peer within the window are answered as such; later ones are answered 429.
const FAILURES_MAX: u32 = 20;
/// Peers that are counted at once. Beyond it, the windows that began first are dropped.
const PEERS_MAX: usize = 10_000;
/// Bursts that wait to be written down.
const BURSTS_MAX: usize = 100;

/// Where a credential was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Surface {
    Api,
    Console,
    Webhook,
}

impl Surface {
    fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Console => "console",
            Self::Webhook => "webhook",
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Failed {
    since: Instant,
    count: u32,
}

/// The failures of the last minute.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    peers: Mutex<HashMap<IpAddr, Failed>>,
    bursts: Mutex<Vec<NewEntry>>,
}

impl Failures {
    /// Notes one. What to answer in place of the refusal, where the peer has failed too often.
    pub(crate) fn note(
        &self,
        app: &App,
        surface: Surface,
        reason: &str,
        peer: PeerAddress,
    ) -> Option<Problem> {
        let labels = SurfaceReason::new(surface.as_str(), reason);
        app.metrics.authentication_failures.get_or_create(&labels).inc();
        let cause = format!("failed authentication {} {reason}", surface.as_str());
        if let Some(suppressed) = app.log_throttle.due(&cause) {
            tracing::warn!(
                authentication.surface = surface.as_str(),
                authentication.reason = reason,
                log.suppressed = suppressed,
                "authentication failed"
            );
        }
        let key = peer.limited().unwrap_or(peer.ip);
        let (count, retry_after) = self.count(key, Instant::now());
        if count == FAILURES_MAX {
            let detail =
                json!({ "surface": surface.as_str(), "reason": reason, "count": count, "within_s": 60 });
            let entry = by_server(app, "authentication.failures", peer.ip.to_string(), detail);
            let mut bursts = locked(&self.bursts);
            if bursts.len() < BURSTS_MAX {
                bursts.push(entry);
            }
        }
        is_too_many(count, peer).then(|| too_many(retry_after))
    }

    /// One more of this peer: how many there are within the window, and how long that still lasts.
    fn count(&self, peer: IpAddr, now: Instant) -> (u32, Duration) {
        let mut peers = locked(&self.peers);
        if peers.len() >= PEERS_MAX && !peers.contains_key(&peer) {
            peers.retain(|_, failed| now.duration_since(failed.since) < WINDOW);
            let oldest = peers.iter().min_by_key(|(_, failed)| failed.since).map(|(ip, _)| *ip);
            if let Some(oldest) = oldest.filter(|_| peers.len() >= PEERS_MAX) {
                peers.remove(&oldest);
            }
        }
        let failed = peers.entry(peer).or_insert(Failed { since: now, count: 0 });
        if now.duration_since(failed.since) >= WINDOW {
            *failed = Failed { since: now, count: 0 };
        }
        failed.count = failed.count.saturating_add(1);
        (failed.count, WINDOW.saturating_sub(now.duration_since(failed.since)))
    }

    /// Writes bursts to the audit log.
    ///
    /// # Errors
    /// As the database gives them; what was not written stays.
    pub(super) async fn write_bursts(&self, client: &Client) -> Result<(), app_db::Error> {
        loop {
            let Some(entry) = locked(&self.bursts).first().cloned() else { return Ok(()) };
            audit::write(client, &entry).await?;
            locked(&self.bursts).retain(|other| other.id != entry.id);
        }
    }
}

/// A loopback address or a trusted proxy stands for many clients.
fn is_too_many(count: u32, peer: PeerAddress) -> bool {
    count > FAILURES_MAX && !peer.is_shared
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn too_many(retry_after: Duration) -> Problem {
    let detail =
        "authentication from this address failed too often; try again later, with a valid credential";
    let seconds = u32::try_from(retry_after.as_secs().max(1)).unwrap_or(u32::MAX);
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_failures", detail).retry_after(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(ip: &str, is_shared: bool) -> PeerAddress {
        PeerAddress { ip: ip.parse().unwrap(), is_shared }
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_fails_too_often_waits_for_the_end_of_its_minute_and_no_other_does() {
        let failures = Failures::default();
        let (guesser, other) = (peer("203.0.113.9", false), peer("203.0.113.10", false));
        let count = |peer: PeerAddress| failures.count(peer.limited().unwrap_or(peer.ip), Instant::now());
        for _ in 0..FAILURES_MAX {
            assert!(!is_too_many(count(guesser).0, guesser));
        }
        tokio::time::advance(WINDOW / 3).await;
        let (number, retry_after) = count(guesser);
        assert!(is_too_many(number, guesser));
        assert_eq!(retry_after, WINDOW - WINDOW / 3);
        assert!(!is_too_many(count(other).0, other));
        assert!(!is_too_many(number, peer("203.0.113.9", true)), "a proxy stands for many");
        assert_eq!(too_many(retry_after).status(), StatusCode::TOO_MANY_REQUESTS);
        tokio::time::advance(WINDOW).await;
        assert_eq!(count(guesser).0, 1);
    }

    #[test]
    fn the_peers_that_are_counted_are_bounded() {
        let failures = Failures::default();
        let now = Instant::now();
        for number in 0..u32::try_from(PEERS_MAX).unwrap() + 100 {
            failures.count(IpAddr::from(number.to_be_bytes()), now);
        }
        assert_eq!(locked(&failures.peers).len(), PEERS_MAX);
    }
}
