//! What tests of every crate use. Panics where a test cannot go on: that is its way to report. Must not be a
//! dependency of anything but tests.

pub mod database;
pub mod fault_proxy;
pub mod fixtures;
pub mod http;
pub mod outbox;
pub mod port;
pub mod service;
pub mod until;

pub use database::{TestDatabase, database};
pub use fault_proxy::{Fault, FaultProxy};
pub use http::{Answer, HttpClient};
pub use port::free_port;
pub use service::{Service, service};
pub use until::until;
