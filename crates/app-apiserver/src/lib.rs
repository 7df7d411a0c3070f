//! app-apiserver: the HTTP API for clients and the webhooks for providers. Must not call providers, and must not
//! answer 2xx before what it took is committed.

mod after_commit;
mod audit;
mod authentication;
mod body;
mod console;
mod content;
mod conversations;
mod cursor;
mod database_watch;
mod explain;
mod fields;
mod group_commit;
mod health;
mod idempotency;
mod log_throttle;
mod message_json;
mod messages;
mod named_host;
mod observe;
mod openapi;
mod page;
mod patience;
mod peers;
mod problem;
mod receive_webhook;
mod router;
mod run;
mod send;
mod server;
mod show_media;
mod show_metrics;
mod startup;
mod state;
mod times;
mod webhook_deliveries;

pub use openapi::document;
pub use run::{Parts, RunError, connections, run};

use state::App;
