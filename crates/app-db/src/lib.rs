//! app-db: everything that is SQL. Plain async functions that take the connection, so that the caller owns the
//! transaction. Must not know of HTTP, of providers, or of policies: what a step does is decided in `model`.

pub mod accept;
pub mod activity;
pub mod audit;
pub mod cancel;
pub mod claim;
pub mod conversations;
pub mod embedded;
mod error;
pub mod floors;
pub mod gauges;
mod group;
pub mod hold;
pub mod housekeeping;
pub mod inbox;
pub mod installation;
pub mod keys;
pub mod media;
pub mod messages;
pub mod migrate;
pub mod parked;
pub mod partitions;
#[cfg(test)]
mod plans;
pub mod pool;
pub mod provider_pauses;
pub mod provider_states;
pub mod quarantine;
pub mod rates;
pub mod readiness;
pub mod receipt_deadlines;
pub mod receipts;
pub mod receive;
pub mod requeue;
pub mod sessions;
pub mod settle;
mod text;
pub mod threads;
mod transaction;
pub mod wake;

pub use error::Error;
pub use pool::{Client, Pool, Transaction, begin, commit, connect};
