//! What every binary needs around its work: configuration, logs, metrics, the clock, an orderly end.

pub mod clock;
pub mod config;
pub mod failures;
pub mod host_header;
pub mod log_file;
pub mod metrics;
pub mod named_hosts;
pub mod open_files;
pub mod shutdown;
pub mod supervision;
pub mod telemetry;

pub use clock::Clock;
pub use config::{Config, ConfigError, ProviderConfig};
pub use named_hosts::NamedHosts;
