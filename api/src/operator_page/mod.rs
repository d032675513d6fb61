//! The operators' page: what `gream status`, `gream dlq` and `gream trace` do, in a browser; served beside `/metrics`, never
//! on the public port.
//!
//! ```text
//! /operator/, /operator/assets/…   the page: HTML, CSS, modules; nothing of the market is in them
//! POST /operator/api/sign-in       header ─► login rules and limits ─► administrator ─► cookie
//! /operator/api/…                  header ─► cookie ─► living session ─► administrator ─► `operator` ─► MySQL, RabbitMQ
//! ```
//! Promises: without an administrator's session nothing of the market is told or done; every act names its administrator and
//! a reason before it begins; account numbers and what leads to vouchers are in no answer; each call ends within
//! [`CALL_LIMIT`]. Doesn't: hold anything that a restart would lose but the progress of the act under way.
//!
//! Its calls are described in `docs/operator-page.md`.

mod acts;
mod answer;
mod assets;
mod desk;
mod letters;
mod market;
mod pipeline;
mod selection;
mod session;
mod trace;

pub use desk::Watched;

pub(crate) use desk::Desk;

use crate::{client_address::Peer, layers, request_id};
use answer::Refusal;
use axum::{
    Router,
    extract::{ConnectInfo, DefaultBodyLimit, Request},
    http::StatusCode,
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Redirect, Response},
    routing::{MethodRouter, get, post},
};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::sync::Semaphore;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;

/// No call takes longer; a look at a full dead-letter queue takes some seconds.
pub const CALL_LIMIT: Duration = Duration::from_mins(1);
/// Calls at once; more are told 503.
const MAX_CALLS: usize = 32;
/// The longest body: a selection of some hundred ids.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// A call: its method, path and handler.
type Call = (&'static str, &'static str, MethodRouter<Arc<Desk>>);

/// Every call that an administrator may make.
fn calls() -> Vec<Call> {
    vec![
        ("GET", "/operator/api/session", get(session::show)),
        ("POST", "/operator/api/sign-out", post(session::sign_out)),
        ("GET", "/operator/api/pipeline", get(pipeline::show)),
        ("GET", "/operator/api/letters", get(letters::groups)),
        ("GET", "/operator/api/letters/{id}", get(letters::show)),
        ("POST", "/operator/api/letters/find", post(letters::find)),
        ("POST", "/operator/api/letters/dry-run", post(letters::dry_run)),
        ("GET", "/operator/api/acts", get(acts::recorded)),
        ("POST", "/operator/api/acts", post(acts::begin)),
        ("GET", "/operator/api/acts/current", get(acts::current)),
        ("POST", "/operator/api/acts/stop", post(acts::stop)),
        ("GET", "/operator/api/trace/{subject}", get(trace::show)),
        ("GET", "/operator/api/products", get(market::products)),
        ("GET", "/operator/api/products/{id}/market", get(market::show)),
    ]
}

/// Method and path of every call behind the guard, for who walks past all of them.
pub fn guarded_calls() -> Vec<(&'static str, &'static str)> {
    calls().into_iter().map(|(method, path, _)| (method, path)).collect()
}

/// The page and its calls.
pub(crate) fn router(desk: Arc<Desk>) -> Router {
    let guarded = calls().into_iter().fold(Router::new(), |router, (_, path, call)| router.route(path, call));
    let places = Arc::new(Semaphore::new(MAX_CALLS));
    Router::new()
        .merge(guarded.route_layer(from_fn_with_state(desk.clone(), session::guard)))
        .route("/operator/api/sign-in", post(session::sign_in))
        .route("/operator/api/{*unknown}", get(async || Refusal::unknown()).post(async || Refusal::unknown()))
        // A link on another site does not carry the cookie, but a page on another port of this host would.
        .route_layer(from_fn(session::insist_on_header))
        .route("/operator", get(async || Redirect::permanent("/operator/")))
        .route("/operator/", get(assets::page))
        .route("/operator/assets/{name}", get(assets::asset))
        .layer(
            ServiceBuilder::new()
                .layer(from_fn(request_id::name))
                .map_response(layers::harden)
                .layer(from_fn_with_state(places, layers::bound))
                .layer(from_fn(time_out))
                .layer(CatchPanicLayer::custom(layers::panicked))
                .layer(from_fn(know_peer))
                .layer(DefaultBodyLimit::max(MAX_BODY_BYTES)),
        )
        .with_state(desk)
}

/// Tells the login limits who is at the other end.
async fn know_peer(ConnectInfo(peer): ConnectInfo<SocketAddr>, mut request: Request, next: Next) -> Response {
    request.extensions_mut().insert(Peer(peer.ip()));
    next.run(request).await
}

async fn time_out(request: Request, next: Next) -> Response {
    tokio::time::timeout(CALL_LIMIT, next.run(request)).await.unwrap_or_else(|_| {
        let says = "it took too long. Ask for less, or look into the process's log";
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, says).into_response()
    })
}
