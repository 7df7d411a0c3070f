//! What each peer address may take at once: connections, and memory for bodies. Loopback addresses and trusted proxies
//! stand for many clients and have no such limit, and neither have peers whose webhooks were verified.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::server::PeerAddress;

/// A peer that brought a verified webhook has no limits for so long.
const VERIFIED_FOR: Duration = Duration::from_secs(3600);
/// Providers call from hundreds of addresses.
const VERIFIED_MAX: usize = 10_000;

/// The limits of all peers, and what each holds.
#[derive(Debug)]
pub(crate) struct Peers {
    connections: Arc<Holdings>,
    body_units: Arc<Holdings>,
    verified: Mutex<HashMap<IpAddr, Instant>>,
}

impl Peers {
    pub(crate) fn new(connections_max: usize, body_units_max: usize) -> Self {
        Self {
            connections: Arc::new(Holdings::up_to(connections_max)),
            body_units: Arc::new(Holdings::up_to(body_units_max)),
            verified: Mutex::default(),
        }
    }

    pub(crate) fn without_limits() -> Self {
        Self::new(usize::MAX, usize::MAX)
    }

    /// A connection more; nothing where the peer has as many as it may.
    pub(crate) fn connect(&self, peer: PeerAddress) -> Option<Held> {
        self.take(&self.connections, peer, 1)
    }

    /// More of the memory for bodies; nothing where the peer has as much as it may.
    pub(crate) fn take_body_units(&self, peer: PeerAddress, units: usize) -> Option<Held> {
        self.take(&self.body_units, peer, units)
    }

    /// The peer brought a verified webhook: it is a provider.
    pub(crate) fn note_verified(&self, peer: PeerAddress) {
        let Some(ip) = peer.limited() else { return };
        let now = Instant::now();
        let mut verified = locked(&self.verified);
        if verified.len() >= VERIFIED_MAX {
            verified.retain(|_, until| *until > now);
        }
        if verified.len() < VERIFIED_MAX || verified.contains_key(&ip) {
            verified.insert(ip, now + VERIFIED_FOR);
        }
    }

    fn take(&self, holdings: &Arc<Holdings>, peer: PeerAddress, count: usize) -> Option<Held> {
        let Some(ip) = peer.limited().filter(|ip| !self.is_verified(*ip)) else { return Some(Held(None)) };
        holdings.take(ip, count).then(|| Held(Some((Arc::clone(holdings), ip, count))))
    }

    fn is_verified(&self, ip: IpAddr) -> bool {
        locked(&self.verified).get(&ip).is_some_and(|until| *until > Instant::now())
    }
}

/// How much of one thing each peer holds. Peers that hold nothing have no entry.
#[derive(Debug)]
struct Holdings {
    max: usize,
    by_peer: Mutex<HashMap<IpAddr, usize>>,
}

impl Holdings {
    fn up_to(max: usize) -> Self {
        Self { max, by_peer: Mutex::default() }
    }

    fn take(&self, ip: IpAddr, count: usize) -> bool {
        let mut by_peer = locked(&self.by_peer);
        let held = by_peer.get(&ip).copied().unwrap_or(0).saturating_add(count);
        if held > self.max {
            return false;
        }
        by_peer.insert(ip, held);
        true
    }

    fn give_back(&self, ip: IpAddr, count: usize) {
        let mut by_peer = locked(&self.by_peer);
        if let Some(held) = by_peer.get_mut(&ip) {
            *held = held.saturating_sub(count);
            if *held == 0 {
                by_peer.remove(&ip);
            }
        }
    }
}

/// What a peer holds until this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Held(Option<(Arc<Holdings>, IpAddr, usize)>);

impl Held {
    /// Adds what the same peer took of the same thing.
    pub(crate) fn merge(&mut self, mut other: Self) {
        match (&mut self.0, other.0.take()) {
            (Some((_, _, count)), Some((_, _, more))) => *count += more,
            (held @ None, other) => *held = other,
            (Some(_), None) => {}
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some((holdings, ip, count)) = self.0.take() {
            holdings.give_back(ip, count);
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Counters stay usable after a panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn peer(ip: &str, is_shared: bool) -> PeerAddress {
        PeerAddress { ip: ip.parse().unwrap(), is_shared }
    }

    #[test]
    fn a_peer_holds_no_more_than_its_limit_and_takes_nothing_from_another() {
        let peers = Peers::new(2, 10);
        let [one, other] = ["203.0.113.1", "203.0.113.2"].map(|ip| peer(ip, false));
        let held = [peers.connect(one).unwrap(), peers.connect(one).unwrap()];
        assert!(peers.connect(one).is_none());
        assert!(peers.connect(other).is_some() && peers.take_body_units(one, 10).is_some());
        assert!(peers.take_body_units(one, 11).is_none());
        drop(held);
        assert!(peers.connect(one).is_some());
        assert!(
            locked(&peers.connections.by_peer).is_empty() && locked(&peers.body_units.by_peer).is_empty()
        );
    }

    #[test]
    fn addresses_of_one_ipv6_network_share_a_limit() {
        let peers = Peers::new(1, 0);
        let _held = peers.connect(peer("2001:db8::1", false)).unwrap();
        assert!(peers.connect(peer("2001:db8::2", false)).is_none());
        assert!(peers.connect(peer("2001:db8:0:1::2", false)).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn proxies_and_peers_of_verified_webhooks_have_no_limit() {
        let peers = Peers::new(0, 0);
        assert!(peers.connect(peer("127.0.0.1", true)).is_some());
        let provider = peer("203.0.113.1", false);
        assert!(peers.connect(provider).is_none());
        peers.note_verified(provider);
        assert!(peers.connect(provider).is_some() && peers.take_body_units(provider, 100).is_some());
        advance(VERIFIED_FOR).await;
        assert!(peers.connect(provider).is_none());
    }
}
