//! Answers that are the same for everybody: caches may keep them, but ask each time whether they still hold.
//!
//! Promises: nobody sees a stale answer, and who has the newest already is told so without its body (304).
//! Doesn't: spare the database the query. Only answers that name nobody may be wrapped in [`Public`].

use crate::envelope::{Failure, respond};
use axum::{
    extract::Request,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use contracts::ResultCode;
use serde::Serialize;
use sha2::{Digest, Sha256};

/// May be kept by anybody, and is never used unasked.
const KEPT_AND_ASKED: HeaderValue = HeaderValue::from_static("public, no-cache");

/// 200, with this data, which is the same whoever asks.
pub(crate) struct Public<T>(pub(crate) T);

impl<T: Serialize> IntoResponse for Public<T> {
    fn into_response(self) -> Response {
        // Written once: its hash names it.
        let Ok(data) = serde_json::value::to_raw_value(&self.0) else {
            return Failure::from(ResultCode::Unexpected).into_response();
        };
        let mut response = respond(200, ResultCode::Ok, &data);
        response.headers_mut().insert(header::CACHE_CONTROL, KEPT_AND_ASKED);
        if let Ok(tag) = HeaderValue::from_str(&tag(data.get())) {
            response.headers_mut().insert(header::ETAG, tag);
        }
        response
    }
}

/// Weak, because the same answer may be sent compressed in several ways.
fn tag(data: &str) -> String {
    let digest = Sha256::digest(data.as_bytes());
    let hex = digest[..16].iter().fold(String::with_capacity(32), |text, byte| text + &format!("{byte:02x}"));
    format!("W/\"{hex}\"")
}

/// Answers 304 without a body where the client has what it would get.
pub(crate) async fn spare_the_known(request: Request, next: Next) -> Response {
    let known = request.headers().get(header::IF_NONE_MATCH).cloned();
    let response = next.run(request).await;
    match known {
        Some(known) if response.status() == StatusCode::OK && names(&known, response.headers()) => {
            let (mut parts, _) = response.into_parts();
            parts.status = StatusCode::NOT_MODIFIED;
            parts.headers.remove(header::CONTENT_TYPE);
            parts.headers.remove(header::CONTENT_LENGTH);
            (parts, ()).into_response()
        }
        _ => response,
    }
}

fn names(known: &HeaderValue, answer: &HeaderMap) -> bool {
    let (Ok(known), Some(tag)) = (known.to_str(), answer.get(header::ETAG)) else { return false };
    known.split(',').any(|known| known.trim().as_bytes() == tag.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_follows_the_data() {
        let answer = Public([1, 2]).into_response();
        let known = answer.headers()[header::ETAG].clone();
        assert_eq!(Public([1, 2]).into_response().headers()[header::ETAG], known);
        assert_ne!(Public([1, 3]).into_response().headers()[header::ETAG], known);
        let list = HeaderValue::from_str(&format!("\"x\", {}", known.to_str().unwrap())).unwrap();
        assert!(names(&list, answer.headers()));
        assert!(!names(&HeaderValue::from_static("*"), answer.headers()));
    }
}
