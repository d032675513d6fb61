//! What happens around every handler: limits, time, panics, headers, origins.

use crate::{
    auth::{ACCESS_TOKEN, REFRESH_TOKEN},
    commands::{COMMAND_ID, PREFERENCE_APPLIED},
    context::Shared,
    envelope::Failure,
    request_id::REQUEST_ID,
};
use axum::{
    body::{Body, BodyDataStream, HttpBody},
    extract::{Request, State},
    http::{HeaderName, HeaderValue, Method, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use contracts::ResultCode;
use futures_util::{Stream, stream};
use platform::config::HttpConfig;
use std::{
    any::Any,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};
use tokio::sync::Semaphore;
use tower_http::{
    CompressionLevel,
    compression::{
        CompressionLayer, Predicate,
        predicate::{NotForContentType, SizeAbove},
    },
    cors::{AllowHeaders, AllowMethods, AllowOrigin, CorsLayer, ExposeHeaders},
};

/// In `http.cors_origins`: browsers may call from anywhere.
const ANY_ORIGIN: &str = "*";
/// What a refused client may still send before it is answered.
const MAX_UNREAD_BYTES: usize = 32 * 1024 * 1024;
/// How long it may take for that.
const MAX_UNREAD_TIME: Duration = Duration::from_secs(5);
/// Browsers remember a preflight for this long.
const PREFLIGHT_AGE: Duration = Duration::from_hours(1);
/// Shorter answers fit a packet or two as they are.
const MIN_COMPRESSED_BYTES: u64 = 1_024;
/// Nothing that is served here is a page, unless it says otherwise.
const NO_PAGE: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");

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

/// Hears the client out before it is answered: an answer that comes while the client still writes ends the connection,
/// and browsers then report a broken network instead of what is in the envelope. Bounded in bytes and time.
pub(crate) async fn hear_out(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    if body.is_end_stream() {
        return next.run(Request::from_parts(parts, body)).await;
    }
    let unread = Arc::new(Mutex::new(body.into_data_stream()));
    let handlers = unread.clone();
    let body = Body::from_stream(stream::poll_fn(move |context| read(&handlers, context)));
    let response = next.run(Request::from_parts(parts, body)).await;

    let rest = async {
        let mut left = MAX_UNREAD_BYTES;
        while let Some(Ok(chunk)) = std::future::poll_fn(|context| read(&unread, context)).await {
            let Some(less) = left.checked_sub(chunk.len()) else { return };
            left = less;
        }
    };
    // Whoever is still writing after this is cut off.
    drop(tokio::time::timeout(MAX_UNREAD_TIME, rest).await);
    response
}

type Unread = Mutex<BodyDataStream>;

fn read(unread: &Unread, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, axum::Error>>> {
    let mut unread = unread.lock().unwrap_or_else(PoisonError::into_inner);
    Pin::new(&mut *unread).poll_next(context)
}

/// A panic is a defect of ours: the client hears 500, the log says where.
pub(crate) fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(panic = text.unwrap_or("no message"), "a handler panicked");
    metrics::counter!("gream_http_panics_total").increment(1);
    Failure::from(ResultCode::Unexpected).into_response()
}

/// Answers are for the client alone, and are what their type says.
pub(crate) fn harden<B>(mut response: Response<B>) -> Response<B> {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(NO_PAGE);
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Gzip or Brotli, as the client likes; pictures are compressed already. Fast rather than small: answers are made anew
/// each time, on the processor that serves everybody.
pub(crate) fn compress() -> CompressionLayer<impl Predicate> {
    // A compressor would keep events back.
    let streams = NotForContentType::SSE;
    let worth_it = SizeAbove::new(MIN_COMPRESSED_BYTES).and(NotForContentType::IMAGES).and(streams);
    CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(worth_it)
}

/// The configured origins may call from a browser and read the headers that carry tokens and addresses.
pub(crate) fn cors(http: &HttpConfig) -> CorsLayer {
    let exposed: [HeaderName; 8] = [
        ACCESS_TOKEN,
        REFRESH_TOKEN,
        COMMAND_ID,
        PREFERENCE_APPLIED,
        REQUEST_ID,
        header::LOCATION,
        header::RETRY_AFTER,
        header::ETAG,
    ];
    let layer = CorsLayer::new()
        .allow_methods(AllowMethods::list([Method::GET, Method::POST, Method::DELETE]))
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(ExposeHeaders::list(exposed))
        .max_age(PREFLIGHT_AGE);
    if http.origins().any(|origin| origin == ANY_ORIGIN) {
        return layer.allow_origin(AllowOrigin::any());
    }
    let origins = http.origins().filter_map(|origin| HeaderValue::from_str(origin).ok());
    layer.allow_origin(AllowOrigin::list(origins)).allow_credentials(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_the_origins_makes_a_layer() {
        let mut http = platform::Config::from_environment(crate::tests::variables()).unwrap().http;
        for origins in ["", "*", "http://a, *", "http://a,https://b:3000", "한글\n"] {
            http.cors_origins = origins.to_owned();
            let _ = cors(&http);
        }
    }
}
