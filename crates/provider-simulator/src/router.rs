//! Every route: the control API's, a line each, and those that the kinds list.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};

use crate::kind::Kind;
use crate::simulator::Shared;
use crate::{control, send};

/// SendGrid takes 30 MB; a little more is read so that it can be refused in SendGrid's words.
const BODY_BYTES_MAX: usize = 31 * 1024 * 1024;

pub(crate) fn router(shared: Arc<Shared>) -> Router {
    kinds()
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

/// The router panics where two kinds claim one path and method, at the start of every simulator.
fn kinds() -> Router<Arc<Shared>> {
    let mut router = Router::new();
    for kind in Kind::all() {
        for path in kind.protocol().send_paths() {
            router = router.route(path, send::route(kind));
        }
        router = router.merge(kind.protocol().other_routes());
    }
    router
}
