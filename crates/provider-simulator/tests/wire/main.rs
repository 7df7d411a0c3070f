//! The simulator over real sockets. Every wait is for something that arrives; the rig's time-outs only keep a
//! broken simulator from hanging the run.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod binary;
mod control;
mod faults;
mod kinds;
mod ledger_file;
mod receipts;
mod replies;
mod rig;
mod sendgrid_send;
mod signatures;
mod twilio_send;
