//! A JSON body: an object, of bounded size, with the right content type.

use super::Fields;
use crate::envelope::Failure;
use axum::{
    extract::{FromRequest, Request},
    http::{HeaderMap, StatusCode, header},
};
use bytes::Bytes;
use contracts::ResultCode;
use serde_json::{Map, Value};

/// What mistakes about the body as a whole are filed under.
const BODY: &str = "body";

/// The fields of a JSON body.
pub(crate) struct JsonBody(pub(crate) Fields);

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let body = read_body(request, state).await?;
        let object: Map<String, Value> = serde_json::from_slice(&body).map_err(|error| {
            Failure::invalid(BODY, format!("JSON 객체가 아닙니다. ({}행 {}열)", error.line(), error.column()))
        })?;
        Ok(Self(Fields::json(object)))
    }
}

/// The bytes of a JSON body, not looked into.
pub(crate) async fn read_body<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Failure> {
    if !is_json(request.headers()) {
        return Err(ResultCode::UnsupportedMediaType.into());
    }
    Bytes::from_request(request, state).await.map_err(|rejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            ResultCode::BodyTooLarge.into()
        } else {
            Failure::invalid(BODY, "본문을 읽을 수 없습니다.")
        }
    })
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    async fn refusal(content_type: &str, body: &'static str) -> Failure {
        let request = Request::builder().header(header::CONTENT_TYPE, content_type).body(Body::from(body)).unwrap();
        JsonBody::from_request(request, &()).await.err().unwrap()
    }

    #[tokio::test]
    async fn what_is_no_json_object_is_refused() {
        for wrong in ["", "{", "[]", "null", "5", "\"a\"", "{\"a\":1e999}", "{\"a\":1}x", "\u{feff}{}"] {
            assert_eq!(refusal("application/json", wrong).await.code(), ResultCode::InvalidInput, "{wrong:?}");
        }
        for wrong in ["text/plain", "application/x-www-form-urlencoded", "", "multipart/form-data; boundary=a"] {
            assert_eq!(refusal(wrong, "{}").await.code(), ResultCode::UnsupportedMediaType, "{wrong:?}");
        }
    }

    #[tokio::test]
    async fn deep_nesting_is_refused_and_not_followed() {
        let deep = "{\"a\":".repeat(10_000);
        let request = Request::builder().header("content-type", "application/json; charset=utf-8");
        let request = request.body(Body::from(deep)).unwrap();
        assert!(JsonBody::from_request(request, &()).await.is_err());
    }
}
