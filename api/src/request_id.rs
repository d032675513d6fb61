//! A name for each request: the client's own `X-Request-Id` where it is sane, a fresh one otherwise. It is in every log
//! line of the request and in its answer, so that whoever reports an answer names the lines that belong to it.

use axum::{
    extract::Request,
    http::{HeaderName, HeaderValue},
    middleware::Next,
    response::Response,
};
use tracing::Instrument;
use uuid::Uuid;

/// Carries the name, both ways.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Room for a UUID or a trace id with something around it.
const MAX_CHARS: usize = 64;

/// Names the request in its log lines and in its answer.
pub(crate) async fn name(request: Request, next: Next) -> Response {
    let sent = request.headers().get(&REQUEST_ID).filter(|value| is_sane(value.as_bytes()));
    let id = sent.cloned().unwrap_or_else(fresh);
    let span = tracing::info_span!("request", request_id = id.to_str().unwrap_or_default());
    let mut response = next.run(request).instrument(span).await;
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
