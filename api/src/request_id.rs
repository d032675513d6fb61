//! A name for each request: the client's own `X-Request-Id` where it is sane, a fresh one otherwise. It is in every log
//! line of the request and in its answer, so that whoever reports an answer names the lines that belong to it.

use crate::telemetry;
use axum::{
    extract::{MatchedPath, Request},
    http::{HeaderName, HeaderValue},
    middleware::Next,
    response::Response,
};
use platform::traces::{self, TraceContext};
use tracing::field::Empty;
use uuid::Uuid;

/// Carries the name, both ways.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Room for a UUID or a trace id with something around it.
const MAX_CHARS: usize = 64;

/// Names the request in its log lines and in its answer, and makes it a part of the client's trace, if there is one.
pub(crate) async fn name(request: Request, next: Next) -> Response {
    let sent = request.headers().get(&REQUEST_ID).filter(|value| is_sane(value.as_bytes()));
    let id = sent.cloned().unwrap_or_else(fresh);
    let span = tracing::info_span!(
        "request",
        request_id = id.to_str().unwrap_or_default(),
        command = Empty,
        otel.name = Empty,
        otel.kind = Empty,
        http.response.status_code = Empty,
    );
    if traces::are_sent() {
        let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str);
        span.record("otel.name", format!("{} {route}", telemetry::method(request.method())))
            .record("otel.kind", "server");
    }
    let trace = TraceContext::read(|name| request.headers().get(name)?.to_str().ok());
    let mut response = traces::follow(span.clone(), trace, next.run(request)).await;
    if traces::are_sent() {
        span.record("http.response.status_code", response.status().as_u16());
    }
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// Nothing that could break a log line, or pretend to be one.
fn is_sane(id: &[u8]) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    (1..=MAX_CHARS).contains(&id.len()) && id.iter().all(allowed)
}

fn fresh() -> HeaderValue {
    let id = Uuid::from_u128(rand::random()).simple().to_string();
    // 32 hexadecimal digits: always a header's value.
    HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static("unnamed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sane_name_is_short_and_plain() {
        for good in ["a", "0af7651916cd43dd8448eb211c80319c", "web-7.2_x", &"x".repeat(64)] {
            assert!(is_sane(good.as_bytes()), "{good}");
        }
        for bad in ["", "a b", "a\"b", "id=1", "한글", "a\nb", &"x".repeat(65)] {
            assert!(!is_sane(bad.as_bytes()), "{bad:?}");
        }
        assert!(is_sane(fresh().as_bytes()));
        assert_ne!(fresh(), fresh());
    }
}
