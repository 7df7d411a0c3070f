//! The fault suite: real binaries on a real PostgreSQL, killed and hindered, and what must hold whatever happens.
//! A program for tests, hence `anyhow` throughout. Must not reach into the binaries: it sees what users,
//! providers and operators see, and reads the database only to count.

pub mod audit;
pub mod backlog;
pub mod client;
pub mod configuration;
pub mod faketime;
pub mod figure;
pub mod installation;
pub mod invariants;
pub mod keyed_load;
pub mod latency;
pub mod load;
pub mod policies;
pub mod port;
pub mod process;
pub mod readiness;
pub mod records;
pub mod rig;
pub mod scenarios;
pub mod schedule;
pub mod server;
pub mod simulator;
pub mod stage;
pub mod table;
pub mod wait;
