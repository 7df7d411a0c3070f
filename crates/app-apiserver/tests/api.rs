//! The HTTP API over a real PostgreSQL and real sockets.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

#[path = "api/audit.rs"]
mod audit;
#[path = "api/authentication.rs"]
mod authentication;
#[path = "api/authorisation.rs"]
mod authorisation;
#[path = "api/bad_input.rs"]
mod bad_input;
#[path = "api/concurrency.rs"]
mod concurrency;
#[path = "api/connections.rs"]
mod connections;
#[path = "api/console.rs"]
mod console;
#[path = "api/console_figures.rs"]
mod console_figures;
#[path = "api/console_messages.rs"]
mod console_messages;
#[path = "api/conversations.rs"]
mod conversations;
#[path = "api/explain.rs"]
mod explain;
#[path = "api/floods.rs"]
mod floods;
#[path = "api/foreign_content.rs"]
mod foreign_content;
#[path = "api/foreign_matrix.rs"]
mod foreign_matrix;
#[path = "api/health.rs"]
mod health;
#[path = "api/idempotency.rs"]
mod idempotency;
#[path = "api/jobs.rs"]
mod jobs;
#[path = "api/keys.rs"]
mod keys;
#[path = "api/lists.rs"]
mod lists;
#[path = "api/messages.rs"]
mod messages;
#[path = "api/outages.rs"]
mod outages;
#[path = "api/quarantine.rs"]
mod quarantine;
#[path = "api/server.rs"]
mod server;
#[path = "api/silence.rs"]
mod silence;
#[path = "api/strangers.rs"]
mod strangers;
#[path = "api/webhook_deliveries.rs"]
mod webhook_deliveries;
#[path = "api/webhooks.rs"]
mod webhooks;
