//! The benchmark: our release binaries, the limits of the machine and other systems, measured in turns in one run.
//! A program, hence `anyhow` throughout. Must not be needed by any other crate.

pub mod bench;
pub mod connection;
pub mod driver;
pub mod floors;
pub mod generate;
pub mod guard;
pub mod machine;
pub mod measurements;
pub mod people;
pub mod processes;
pub mod report;
pub mod rig;
pub mod samples;
pub mod sink;
