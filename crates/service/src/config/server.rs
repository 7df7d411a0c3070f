//! Section `[server]`: the limits of the API server and the proxies in front of it.

use std::time::Duration;

use serde::Deserialize;

use super::exposure;
use super::networks::Network;
use super::value::Problems;

/// Section `[server]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    pub max_connections: usize,
    /// Of one address that is neither a loopback address nor a trusted proxy.
    pub connections_per_peer: usize,
    /// A connection without progress ends after so long.
    pub stall_timeout_s: f64,
    /// Proxies whose X-Forwarded-For and PROXY protocol headers name the client.
    pub trusted_proxies: Vec<Network>,
    /// Largest request body of our own endpoints, in bytes.
    pub body_bytes_max: usize,
    /// Largest webhook body, in bytes: inbound email carries its attachments.
    pub webhook_bytes_max: usize,
    /// Connections that write groups of messages.
    pub accept_connections: usize,
    /// Connections that read.
    pub read_connections: usize,
    /// Further names by which the server may be called without a credential.
    pub hosts: Vec<String>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            max_connections: 4096,
            connections_per_peer: 256,
            stall_timeout_s: 30.0,
            trusted_proxies: Vec::new(),
            body_bytes_max: 2 << 20,
            webhook_bytes_max: 32 << 20,
            accept_connections: 2,
            read_connections: 8,
            hosts: Vec::new(),
        }
    }
}

impl Server {
    pub fn stall_timeout(&self) -> Duration {
        Duration::try_from_secs_f64(self.stall_timeout_s).unwrap_or_default()
    }

    pub(super) fn check(&self, problems: &mut Problems<'_>) {
        exposure::check_hosts(&self.hosts, problems);
        for (key, value) in [
            ("server.max_connections", self.max_connections),
            ("server.connections_per_peer", self.connections_per_peer),
            ("server.accept_connections", self.accept_connections),
            ("server.read_connections", self.read_connections),
            ("server.body_bytes_max", self.body_bytes_max),
            ("server.webhook_bytes_max", self.webhook_bytes_max),
        ] {
            if value == 0 {
                problems.add(key, "must be at least 1");
            }
        }
        if !(0.1..=3600.0).contains(&self.stall_timeout_s) {
            problems.add("server.stall_timeout_s", "must be between 0.1 and 3600");
        }
    }
}
