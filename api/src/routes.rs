//! Every path of the public API, in the order of the REST contract. A path stands at its handler (`#[utoipa::path]`), so
//! that route and document cannot differ.

use crate::{
    admin, auth, buy,
    commands::status,
    conditional,
    context::Shared,
    coupons,
    envelope::Failure,
    history, layers,
    line::{self, Line},
    notifications, openapi, payments, payouts, pictures,
    products::{likes, list, market, prices, stream as product_stream},
    refunds,
    request::upload::MAX_BYTES_BESIDE_FILE,
    request_id, sell, telemetry,
    users::{kakao, login, points, sign_up, withdraw},
    webhooks,
};
use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware::{from_fn, from_fn_with_state},
};
use contracts::ResultCode;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::{router::OpenApiRouter, routes};

/// The whole API, ready to serve.
pub(crate) fn router(api: Shared) -> Router {
    let config = api.config.clone();
    let places = Arc::new(Semaphore::new(config.http.max_in_flight.clamp(1, Semaphore::MAX_PERMITS)));
    let line = Arc::new(Line::new(config.http.max_in_flight));
    let upload_limit = config.pictures.max_bytes + MAX_BYTES_BESIDE_FILE;
    let (routes, described) = described(config.http.json_body_limit_bytes, upload_limit).split_for_parts();
    routes
        .merge(openapi::routes(&described))
        .fallback(async || Failure::from(ResultCode::PathNotFound))
        .method_not_allowed_fallback(async || Failure::from(ResultCode::MethodNotAllowed))
        // All in one: a router boxes each layer of its own, and copies the boxes beneath it for every request.
        .layer(
            ServiceBuilder::new()
                .layer(from_fn(telemetry::measure))
                .layer(from_fn(request_id::name))
                .map_response(layers::harden)
                .layer(layers::cors(&config.http))
                .layer(layers::compress())
                .layer(from_fn(layers::hear_out))
                .layer(from_fn_with_state(line, line::form))
                .layer(from_fn_with_state(places, layers::bound))
                .layer(from_fn_with_state(api.clone(), layers::time_out))
                .layer(CatchPanicLayer::custom(layers::panicked))
                .layer(from_fn(conditional::spare_the_known))
                .layer(from_fn(auth::renew)),
        )
        .with_state(api)
}

/// The routes with their descriptions, and the limits of their bodies in bytes.
pub(crate) fn described(json_limit: usize, upload_limit: usize) -> OpenApiRouter<Shared> {
    let json = OpenApiRouter::default()
        .merge(users())
        .merge(products())
        .merge(bids())
        .merge(coupons())
        .merge(payments())
        .merge(administration())
        .merge(operations())
        .layer(DefaultBodyLimit::max(json_limit));
    let uploads = uploads().layer(DefaultBodyLimit::max(upload_limit));
    OpenApiRouter::with_openapi(openapi::frame()).merge(json).merge(uploads)
}

fn users() -> OpenApiRouter<Shared> {
    OpenApiRouter::default()
        .routes(routes!(sign_up::post))
        .routes(routes!(login::login))
        .routes(routes!(login::logout))
        .routes(routes!(kakao::login))
        .routes(routes!(kakao::start))
        .routes(routes!(withdraw::delete))
        .routes(routes!(points::get))
        .routes(routes!(notifications::list))
        .routes(routes!(notifications::read))
        .routes(routes!(notifications::stream::get))
        .routes(routes!(refunds::request, refunds::own::list))
        .routes(routes!(refunds::own::one))
}

fn products() -> OpenApiRouter<Shared> {
    OpenApiRouter::default()
        .routes(routes!(list::list))
        .routes(routes!(list::detail))
        .routes(routes!(market::trades))
        .routes(routes!(market::sell_levels))
        .routes(routes!(market::buy_levels))
        .routes(routes!(prices::daily))
        .routes(routes!(product_stream::get))
        .routes(routes!(likes::like))
        .routes(routes!(likes::dislike))
        .routes(routes!(likes::list))
}

fn bids() -> OpenApiRouter<Shared> {
    OpenApiRouter::default()
        .routes(routes!(buy::place))
        .routes(routes!(buy::cancel))
        .routes(routes!(buy::now))
        .routes(routes!(history::bought))
        .routes(routes!(history::buying))
        .routes(routes!(sell::cancel))
        .routes(routes!(history::sold))
        .routes(routes!(history::selling))
}

fn coupons() -> OpenApiRouter<Shared> {
    OpenApiRouter::default()
        .routes(routes!(coupons::available))
        .routes(routes!(coupons::used))
        .routes(routes!(coupons::grant))
}

fn payments() -> OpenApiRouter<Shared> {
    OpenApiRouter::default()
        .routes(routes!(payments::request))
        .routes(routes!(payments::success))
        .routes(routes!(payments::fail))
        .routes(routes!(webhooks::receive))
}

fn administration() -> OpenApiRouter<Shared> {
    OpenApiRouter::default()
        .routes(routes!(admin::refunds))
        .routes(routes!(admin::approve_refund))
        .routes(routes!(admin::reject_refund))
        .routes(routes!(payouts::list))
        .routes(routes!(payouts::account))
        .routes(routes!(payouts::made))
        .routes(routes!(payouts::failed))
}

/// What the contract leaves free.
fn operations() -> OpenApiRouter<Shared> {
    OpenApiRouter::default()
        .routes(routes!(status::get))
        .routes(routes!(pictures::product))
        .routes(routes!(pictures::gifticon))
}

/// Bodies with a file: larger, and never JSON.
fn uploads() -> OpenApiRouter<Shared> {
    OpenApiRouter::default().routes(routes!(sell::place)).routes(routes!(sell::now)).routes(routes!(admin::add_product))
}
