//! Every path of the public API, in the order of the REST contract.

use crate::{
    admin, auth, buy,
    commands::status,
    conditional,
    context::Shared,
    coupons,
    envelope::Failure,
    history, layers, payments, pictures,
    products::{likes, list, market, prices},
    refunds,
    request::upload::MAX_BYTES_BESIDE_FILE,
    request_id, sell, telemetry,
    users::{login, points, sign_up},
};
use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware::{from_fn, from_fn_with_state},
    routing::{delete, get, post},
};
use contracts::ResultCode;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;

/// The whole API, ready to serve.
pub(crate) fn router(api: Shared) -> Router {
    let config = api.config.clone();
    let places = Arc::new(Semaphore::new(config.http.max_in_flight.clamp(1, Semaphore::MAX_PERMITS)));
    let json = Router::new()
        .merge(users())
        .merge(products())
        .merge(bids())
        .merge(coupons())
        .merge(payments())
        .merge(administration())
        .merge(operations())
        .layer(DefaultBodyLimit::max(config.http.json_body_limit_bytes));
    let uploads = uploads().layer(DefaultBodyLimit::max(config.pictures.max_bytes + MAX_BYTES_BESIDE_FILE));
    json.merge(uploads)
        .fallback(async || Failure::from(ResultCode::PathNotFound))
        .method_not_allowed_fallback(async || Failure::from(ResultCode::MethodNotAllowed))
        // The last one is the outermost.
        .layer(from_fn(auth::renew))
        .layer(from_fn(conditional::spare_the_known))
        .layer(CatchPanicLayer::custom(layers::panicked))
        .layer(from_fn_with_state(api.clone(), layers::time_out))
        .layer(from_fn_with_state(places, layers::bound))
        .layer(from_fn(layers::hear_out))
        .layer(layers::compress())
        .layer(layers::cors(&config.http))
        .layer(from_fn(layers::harden))
        .layer(from_fn(request_id::name))
        .layer(from_fn(telemetry::measure))
        .with_state(api)
}

fn users() -> Router<Shared> {
    Router::new()
        .route("/api/users/signup", post(sign_up::post))
        .route("/api/users/login", post(login::login))
        .route("/api/users/logout", post(login::logout))
        .route("/api/users/points", get(points::get))
        .route("/api/users/points/refunds", post(refunds::request))
}

fn products() -> Router<Shared> {
    Router::new()
        .route("/api/products", get(list::list))
        .route("/api/products/{id}", get(list::detail))
        .route("/api/products/{id}/trade", get(market::trades))
        .route("/api/products/{id}/sell", get(market::sell_levels))
        .route("/api/products/{id}/buy", get(market::buy_levels))
        .route("/api/products/{id}/prices", get(prices::daily))
        .route("/api/products/{id}/like", post(likes::like))
        .route("/api/products/{id}/dislike", delete(likes::dislike))
        .route("/api/products/likes", get(likes::list))
}

fn bids() -> Router<Shared> {
    Router::new()
        .route("/api/buy/{id}", post(buy::place))
        .route("/api/buy/bid/{id}", delete(buy::cancel))
        .route("/api/buy/{id}/now", post(buy::now))
        .route("/api/buy/history/end", get(history::bought))
        .route("/api/buy/history/onprogress", get(history::buying))
        .route("/api/sell/bid/{id}", delete(sell::cancel))
        .route("/api/sell/history/end", get(history::sold))
        .route("/api/sell/history/onprogress", get(history::selling))
}

fn coupons() -> Router<Shared> {
    Router::new()
        .route("/api/coupons", get(coupons::available))
        .route("/api/coupons/used", get(coupons::used))
        .route("/api/admin/coupon", post(coupons::grant))
}

fn payments() -> Router<Shared> {
    Router::new()
        .route("/api/payments/toss/request", post(payments::request))
        .route("/api/payments/toss/success", get(payments::success))
        .route("/api/payments/toss/fail", get(payments::fail))
}

fn administration() -> Router<Shared> {
    Router::new()
        .route("/api/admin/refunds", get(admin::refunds))
        .route("/api/admin/refund/{id}", delete(admin::approve_refund))
}

/// What the contract leaves free.
fn operations() -> Router<Shared> {
    Router::new()
        .route("/api/commands/{id}", get(status::get))
        .route("/api/pictures/{name}", get(pictures::product))
        .route("/api/gifticons/{id}/picture", get(pictures::gifticon))
}

/// Bodies with a file: larger, and never JSON.
fn uploads() -> Router<Shared> {
    Router::new()
        .route("/api/sell/{id}", post(sell::place))
        .route("/api/sell/{id}/now", post(sell::now))
        .route("/api/admin/products", post(admin::add_product))
}
