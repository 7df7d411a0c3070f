//! The processor stepped by hand, on a real PostgreSQL, against a provider that answers when the test says so.
#![allow(clippy::unwrap_used, reason = "a test reports by panicking")]

mod answers;
mod attachments;
mod clock;
mod confirming;
mod database_away;
mod draining;
mod file_host;
mod housekeeping;
mod keeping_leases;
mod parked;
mod provider;
mod rounds;
mod routing;
mod settling;
mod silence;
mod smtp;
mod stage;
mod supervision;
mod unknown_outcomes;
mod verdicts;
