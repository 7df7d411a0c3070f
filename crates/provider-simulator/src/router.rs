//! Every route: the control API's, a line each, and those that the kinds list.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::{Next, from_fn};
use axum::routing::{get, post};
use service::NamedHosts;

use crate::kind::Kind;
use crate::simulator::Shared;
use crate::{control, send};

/// SendGrid takes 30 MB; a little more is read so that it can be refused in SendGrid's words.
const BODY_BYTES_MAX: usize = 31 * 1024 * 1024;

pub(crate) fn router(shared: Arc<Shared>) -> Router {
    let hosts = NamedHosts::new("", &shared.options.hosts, None);
    let control = Router::new()
        .route("/ledger", get(control::ledger::show).delete(control::ledger::clear))
        .route("/calls", get(control::ledger::calls))
        .route(
            "/faults",
            get(control::faults::list).post(control::faults::add).delete(control::faults::clear),
        )
        .route("/faults/{id}", axum::routing::delete(control::faults::remove))
        .route("/inbound", post(control::inbound::deliver))
        .route_layer(from_fn(move |request: Request, next: Next| {
            let checked = hosts.check(request.headers());
            async move {
                match checked {
                    Ok(()) => next.run(request).await,
                    Err(foreign) => control::forbidden(foreign),
                }
            }
        }));
    kinds()
        .merge(control)
        .route("/healthz", get(|| async { "ok\n" }))
        .fallback(control::not_found)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(shared)
}

/// Each kind at its provider's paths, and at the same below its name, where nothing can collide. The router panics
/// where two claim one path and method, at the start of every simulator.
fn kinds() -> Router<Arc<Shared>> {
    let mut router = Router::new();
    for kind in Kind::all() {
        let protocol = kind.protocol();
        let prefix = format!("/{}", kind.as_str());
        for path in protocol.send_paths() {
            router = router.route(path, send::route(kind));
            // The generic kind is below its name already.
            if !path.starts_with(&format!("{prefix}/")) {
                router = router.route(&format!("{prefix}{path}"), send::route(kind));
            }
        }
        router = router.merge(protocol.other_routes()).nest(&prefix, protocol.other_routes());
    }
    router
}
