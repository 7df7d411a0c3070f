//! The operator console: pages for people, over the same functions and rules as the API. Everything is rendered here, and
//! every page can be asked for again at any time: nothing that counts is kept in a browser or in this process. Must not
//! load anything from elsewhere, and must not show foreign text unescaped.

mod activity;
mod assets;
mod attachments;
mod audit;
mod bulk;
mod compose;
mod composer;
mod email;
mod filters;
mod form;
mod inbox;
mod jobs;
mod keys;
mod layout;
mod live;
mod message;
mod messages;
mod narrowed;
mod outbox;
mod providers;
mod quarantine;
mod search;
mod session;
mod simulator;
mod sparkline;
mod thread;
mod timeline;
mod trouble;
mod words;

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::HeaderMap;
use http::header::ACCEPT;
use tokio::sync::Semaphore;
use tower_http::compression::CompressionLayer;

use self::trouble::Trouble;
use crate::App;
use crate::authentication::with_named_host;
use crate::problem::Problem;

/// Pages that are kept up to date at once.
const LIVE_MAX: usize = 256;

/// What the console keeps between requests.
pub(crate) struct Console {
    live: Arc<Semaphore>,
    /// How many of them look at the database at once: what people ask for comes first.
    looks: Semaphore,
    /// Whose turn it is to count what a job would mean.
    counting: Semaphore,
    activity: activity::Activity,
    jobs: jobs::Jobs,
    simulator: Option<simulator::Simulator>,
}

impl Console {
    /// `simulator_url`: where the simulator's control API is, in a demonstration.
    /// `read_connections`: how many requests read at once.
    pub(crate) fn new(simulator_url: Option<String>, read_connections: usize) -> Self {
        Self {
            live: Arc::new(Semaphore::new(LIVE_MAX)),
            looks: Semaphore::new(read_connections.div_ceil(2)),
            counting: Semaphore::new(1),
            activity: activity::Activity::default(),
            jobs: jobs::Jobs::default(),
            simulator: simulator_url.map(simulator::Simulator::new),
        }
    }
}

/// A problem on no page of ours: for who looks with a browser as one.
pub(crate) fn as_page(headers: &HeaderMap, problem: Problem) -> Response {
    let wants_page = headers
        .get_all(ACCEPT)
        .iter()
        .any(|accept| accept.to_str().is_ok_and(|accept| accept.contains("text/html")));
    if wants_page {
        layout::contained(Trouble::from(problem).into_response())
    } else {
        problem.into_response()
    }
}

pub(crate) fn routes(app: &App) -> Router<App> {
    let pages = Router::new()
        .route("/live/pulse", get(live::still))
        .route("/", get(inbox::show))
        .route("/live/inbox", get(inbox::live))
        .route("/conversations/{id}", get(thread::show))
        .route("/live/conversations/{id}", get(thread::live))
        .route("/conversations/{id}/reply", post(composer::reply))
        .route("/new", get(compose::show).post(compose::send))
        .route("/segments", post(composer::segments))
        .route("/messages", get(messages::show))
        .route("/live/messages", get(messages::live))
        .route("/messages/{id}", get(message::show))
        .route("/live/messages/{id}", get(message::live))
        .route("/messages/{id}/html", get(email::show))
        .route("/messages/{id}/retry", post(message::retry))
        .route("/messages/{id}/cancel", post(message::cancel))
        .route("/media/{id}", get(crate::show_media::show_media))
        .route("/bulk", get(bulk::confirm).post(bulk::start))
        .route("/live/bulk", get(bulk::count))
        .route("/jobs/{id}", get(jobs::show))
        .route("/jobs/{id}/stop", post(jobs::stop))
        .route("/live/jobs/{id}", get(jobs::live))
        .route("/outbox", get(outbox::show))
        .route("/live/outbox", get(outbox::live))
        .route("/providers", get(providers::show))
        .route("/live/providers", get(providers::live))
        .route("/providers/{id}/pause", post(providers::pause))
        .route("/providers/{id}/resume", post(providers::resume))
        .route("/quarantine", get(quarantine::show))
        .route("/live/quarantine", get(quarantine::live))
        .route("/quarantine/all", get(quarantine::all::confirm).post(quarantine::all::act))
        .route("/quarantine/{id}", get(quarantine::one::show))
        .route("/quarantine/{id}/replay", post(quarantine::one::replay))
        .route("/quarantine/{id}/trust", get(quarantine::one::confirm_trust).post(quarantine::one::trust))
        .route("/quarantine/{id}/forget", get(quarantine::one::confirm_forget).post(quarantine::one::forget))
        .route("/keys", get(keys::show).post(keys::create))
        .route("/keys/{id}/revoke", get(keys::confirm).post(keys::revoke))
        .route("/audit", get(audit::show))
        .route("/simulator", get(simulator::show))
        .route("/live/simulator", get(simulator::live))
        .route("/simulator/faults", post(simulator::add_fault))
        .route("/simulator/faults/clear", post(simulator::clear_faults))
        .route("/simulator/inbound", post(simulator::write_to_us))
        .route("/search", get(search::search))
        .route("/logout", post(session::logout))
        .route_layer(from_fn_with_state(app.clone(), session::guard));
    let open = Router::new()
        .route("/login", get(session::show).post(session::login))
        .route("/assets/{name}", get(assets::show));
    Router::new()
        .merge(pages)
        .merge(with_named_host(app, open))
        .layer(from_fn(layout::contain))
        // Streams of events are not compressed; nor is what is small.
        .layer(CompressionLayer::new())
}
