//! Every route, a line each.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};

use crate::simulator::Shared;
use crate::{control, sendgrid, twilio};

/// SendGrid takes 30 MB; a little more is read so that it can be refused in SendGrid's words.
const BODY_BYTES_MAX: usize = 31 * 1024 * 1024;

pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/2010-04-01/Accounts/{account_sid}/Messages.json", post(twilio::create).get(twilio::list))
        .route("/2010-04-01/Accounts/{account_sid}/Messages/{file}", get(twilio::fetch))
        .route("/v3/mail/send", post(sendgrid::send))
        .route("/ledger", get(control::ledger::show).delete(control::ledger::clear))
        .route("/calls", get(control::ledger::calls))
        .route(
            "/faults",
            get(control::faults::list).post(control::faults::add).delete(control::faults::clear),
        )
        .route("/faults/{id}", axum::routing::delete(control::faults::remove))
        .route("/inbound", post(control::inbound::deliver))
        .route("/healthz", get(|| async { "ok\n" }))
        .fallback(control::not_found)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(shared)
}
