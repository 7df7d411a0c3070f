//! Every measurement, a line each, in the order in which they are taken. Figures that are compared stand near each
//! other, so that the machine's other work meets both.

mod accept;
mod bare_client;
mod bare_server;
mod batched_inserts;
mod claim_backlog;
mod claim_processed;
mod console;
mod end_to_end;
mod idle_latency;
mod inbound;
mod kannel;
mod no_op_drain;
mod pgbench;
pub mod queue_peers;
mod sending_drain;
mod stored;
mod wal;

use std::pin::Pin;

use crate::bench::Bench;

type Running<'a> = Pin<Box<dyn Future<Output = anyhow::Result<()>> + 'a>>;

/// What is measured, and how.
pub struct Measurement {
    pub name: &'static str,
    pub shows: &'static str,
    pub times: Times,
    pub run: for<'a> fn(&'a mut Bench) -> Running<'a>,
}

/// When a measurement is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// In every round.
    EachRound,
    /// Once, after the rounds: it goes back and forth between its sides by itself.
    Once,
}

macro_rules! measurement {
    ($times:ident, $name:literal, $module:ident, $shows:literal) => {
        Measurement {
            name: $name,
            shows: $shows,
            times: Times::$times,
            run: |bench| Box::pin($module::run(bench)),
        }
    };
}

pub const MEASUREMENTS: &[Measurement] = &[
    measurement!(EachRound, "pgbench", pgbench, "limit: the same rows, one message a commit, 64 clients"),
    measurement!(EachRound, "accept", accept, "ours: accepted over HTTP, 64 connections"),
    measurement!(EachRound, "inbound", inbound, "ours: signed inbound webhooks, 64 connections"),
    measurement!(EachRound, "end-to-end", end_to_end, "ours: accepted and delivered at the same rate"),
    measurement!(EachRound, "kannel", kannel, "peer: HTTP in, spool, HTTP out"),
    measurement!(EachRound, "bare-client", bare_client, "limit: a client loop to the sink"),
    measurement!(EachRound, "sending-drain", sending_drain, "ours: a backlog sent to the sink"),
    measurement!(EachRound, "no-op-drain", no_op_drain, "ours: a backlog claimed and settled"),
    measurement!(EachRound, "queue-peers", queue_peers, "peers: a backlog of jobs that do nothing"),
    measurement!(
        EachRound,
        "batched-inserts",
        batched_inserts,
        "limit: the same rows, 200 messages a commit"
    ),
    measurement!(EachRound, "bare-server", bare_server, "limit: an HTTP server that only answers"),
    measurement!(Once, "idle-latency", idle_latency, "ours: accept to provider called, one at a time"),
    measurement!(Once, "wal", wal, "ours: bytes of WAL of a message's whole life"),
    measurement!(Once, "claim-backlog", claim_backlog, "ours: a claim from a long backlog and a short one"),
    measurement!(
        Once,
        "claim-processed",
        claim_processed,
        "ours: a claim after many, and under an old snapshot"
    ),
    measurement!(
        Once,
        "console",
        console,
        "ours: the console's pages over a million messages, and what an open one costs"
    ),
    measurement!(Once, "stored", stored, "ours: accept and lists over many stored messages and few"),
];

/// The measurements of these names, in the order of the list; all without names.
///
/// # Errors
/// Names that there are not.
pub fn named(names: &[String]) -> anyhow::Result<Vec<&'static Measurement>> {
    if let Some(unknown) = names.iter().find(|name| !MEASUREMENTS.iter().any(|m| m.name == name.as_str())) {
        let known: Vec<&str> = MEASUREMENTS.iter().map(|measurement| measurement.name).collect();
        anyhow::bail!("there is no measurement `{unknown}`; there are {}", known.join(", "));
    }
    let is_named = |m: &&Measurement| names.is_empty() || names.iter().any(|name| name == m.name);
    Ok(MEASUREMENTS.iter().filter(is_named).collect())
}
