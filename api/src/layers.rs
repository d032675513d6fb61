//! What happens around every handler: limits, time, panics, headers, origins.

use crate::{
    auth::{ACCESS_TOKEN, REFRESH_TOKEN},
    context::Shared,
    envelope::Failure,
};
use axum::{
    extract::{Request, State},
    http::{HeaderName, HeaderValue, Method, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use contracts::ResultCode;
use platform::config::HttpConfig;
use std::{any::Any, sync::Arc, time::Duration};
use tokio::sync::Semaphore;
use tower_http::cors::{AllowHeaders, AllowMethods, AllowOrigin, CorsLayer, ExposeHeaders};

/// Browsers remember a preflight for this long.
const PREFLIGHT_AGE: Duration = Duration::from_hours(1);

/// Requests in flight; more are told 503 at once instead of waiting in line.
pub(crate) async fn bound(State(places): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    let Ok(_place) = places.try_acquire() else {
        metrics::counter!("gream_http_refused_total", "reason" => "max_in_flight").increment(1);
        return Failure::away().into_response();
    };
    next.run(request).await
}

/// A request that takes longer than `http.request_timeout_ms` (a body that trickles in, say) is given up.
pub(crate) async fn time_out(State(api): State<Shared>, request: Request, next: Next) -> Response {
    let limit = Duration::from_millis(api.config.http.request_timeout_ms);
    let Ok(response) = tokio::time::timeout(limit, next.run(request)).await else {
        metrics::counter!("gream_http_refused_total", "reason" => "timeout").increment(1);
        return Failure::away().into_response();
    };
    response
}

/// A panic is a defect of ours: the client hears 500, the log says where.
pub(crate) fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(panic = text.unwrap_or("no message"), "a handler panicked");
    metrics::counter!("gream_http_panics_total").increment(1);
    Failure::from(ResultCode::Unexpected).into_response()
}

/// Answers are for the client alone, and are what their type says.
pub(crate) async fn harden(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// The configured origins may call from a browser and read the headers that carry tokens and addresses.
pub(crate) fn cors(http: &HttpConfig) -> CorsLayer {
    let origins = http.origins().filter_map(|origin| HeaderValue::from_str(origin).ok());
    let exposed: [HeaderName; 4] = [ACCESS_TOKEN, REFRESH_TOKEN, header::LOCATION, header::RETRY_AFTER];
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods(AllowMethods::list([Method::GET, Method::POST, Method::DELETE]))
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(ExposeHeaders::list(exposed))
        .allow_credentials(true)
        .max_age(PREFLIGHT_AGE)
}
