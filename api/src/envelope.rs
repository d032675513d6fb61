//! The envelope around every answer: `{"status", "code", "message", "data"}`.
//!
//! Promises: whatever happens to a request, its answer has this shape, and bad input is never answered with a 5xx.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use contracts::{CommandId, ResultCode, result_code::status_name};
use domain::ledger::TransferError;
use platform::database::{Trouble, trouble};
use serde::Serialize;
use serde_json::{Value, json};
use std::time::Duration;
use utoipa::ToSchema;

/// What a client that was told 503 should wait before it tries again.
const RETRY_AFTER_S: u64 = 2;

/// Around the data of every answer.
#[derive(Serialize, ToSchema)]
pub(crate) struct Envelope<T> {
    /// The HTTP status by its Spring name.
    #[schema(example = "OK")]
    status: &'static str,
    /// 0 when all went well.
    code: u32,
    #[schema(example = "정상 처리 되었습니다")]
    message: &'static str,
    data: T,
}

/// An answer with this HTTP status, code and data.
pub(crate) fn respond(http_status: u16, code: ResultCode, data: impl Serialize) -> Response {
    let envelope = Envelope { status: status_name(http_status), code: code.code(), message: code.message(), data };
    match (serde_json::to_vec(&envelope), StatusCode::from_u16(http_status)) {
        (Ok(body), Ok(status)) => (status, [(header::CONTENT_TYPE, "application/json")], body).into_response(),
        // Answers are plain data with string keys; should one ever not be, the client still gets a status.
        _ => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// `data` of an answer that has none: `{}`.
#[derive(Serialize, ToSchema)]
pub(crate) struct Nothing {}

/// 200, with this data.
pub(crate) struct Answer<T>(pub(crate) T);

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        respond(200, ResultCode::Ok, self.0)
    }
}

/// What is wrong with one field of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct FieldError {
    pub(crate) field: String,
    pub(crate) message: String,
}

/// Why a request was not served.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Failure {
    code: ResultCode,
    data: Value,
    retry_after_s: u64,
}

impl Failure {
    /// 400 5001, with everything that is wrong.
    pub(crate) fn invalid_fields(errors: &[FieldError]) -> Self {
        Self { data: json!(errors), ..ResultCode::InvalidInput.into() }
    }

    /// 400 5001 about one field.
    pub(crate) fn invalid(field: &str, message: impl Into<String>) -> Self {
        Self::invalid_fields(&[FieldError { field: field.to_owned(), message: message.into() }])
    }

    /// 503: broker, database or a limit of ours is in the way; nothing is wrong with the request.
    pub(crate) fn away() -> Self {
        ResultCode::NotAccepted.into()
    }

    /// 503 about a command that may or may not be on its queue: repeating it with the same key is safe.
    pub(crate) fn not_accepted(id: CommandId) -> Self {
        Self { data: json!({ "commandId": id }), ..ResultCode::NotAccepted.into() }
    }

    /// The same about a command that was not sent: a 503 names it, so that a client finds it again by what it was told.
    pub(crate) fn of(self, command: CommandId) -> Self {
        if self.code == ResultCode::NotAccepted { Self { data: json!({ "commandId": command }), ..self } } else { self }
    }

    /// 429: not before `wait` has passed.
    pub(crate) fn too_many(wait: Duration) -> Self {
        // Whole seconds, and none of them too early.
        Self { retry_after_s: wait.as_secs() + 1, ..ResultCode::TooManyRequests.into() }
    }

    /// What a client that may come again should wait before.
    pub(crate) fn retry_after_s(&self) -> u64 {
        self.retry_after_s
    }

    pub(crate) fn code(&self) -> ResultCode {
        self.code
    }
}

impl From<ResultCode> for Failure {
    fn from(code: ResultCode) -> Self {
        Self { code, data: json!({}), retry_after_s: RETRY_AFTER_S }
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        match trouble(&error) {
            Trouble::Away | Trouble::Contention => {
                tracing::warn!(%error, "the database cannot serve a request at the moment");
                Self::away()
            }
            Trouble::Defect => {
                tracing::error!(%error, "a database statement failed");
                ResultCode::Unexpected.into()
            }
        }
    }
}

impl From<TransferError> for Failure {
    fn from(error: TransferError) -> Self {
        tracing::error!(%error, "a transfer of points was refused by the ledger");
        ResultCode::Unexpected.into()
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = respond(self.code.http_status(), self.code, self.data);
        if matches!(self.code, ResultCode::NotAccepted | ResultCode::TooManyRequests) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(self.retry_after_s));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn body(response: Response) -> Value {
        let bytes = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    #[tokio::test]
    async fn an_answer_is_wrapped_as_the_contract_says() {
        let expected = json!({"status": "OK", "code": 0, "message": "정상 처리 되었습니다", "data": {"point": 5}});
        assert_eq!(body(Answer(json!({"point": 5})).into_response()).await, expected);
        assert_eq!(body(Answer(Nothing {}).into_response()).await["data"], json!({}));
    }

    #[tokio::test]
    async fn a_failure_names_its_status_and_data() {
        let response = Failure::invalid("price", "…").into_response();
        assert_eq!(response.status(), 400);
        let body_of_invalid = body(response).await;
        assert_eq!(body_of_invalid["status"], "BAD_REQUEST");
        assert_eq!(body_of_invalid["data"], json!([{"field": "price", "message": "…"}]));
        assert_eq!(body(Failure::from(ResultCode::NotEnoughPoints).into_response()).await["data"], json!({}));
    }

    #[tokio::test]
    async fn what_is_away_says_when_to_come_back() {
        let id = CommandId::derived(contracts::UserId(1), "a", "b");
        let response = Failure::not_accepted(id).into_response();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["retry-after"], "2");
        assert_eq!(body(response).await["data"]["commandId"], id.to_string());
        let later = Failure::too_many(Duration::from_millis(59_001)).into_response();
        assert_eq!((later.status().as_u16(), &later.headers()["retry-after"]), (429, &HeaderValue::from(60)));
        let away = Failure::from(sqlx::Error::PoolTimedOut);
        assert_eq!(away.code(), ResultCode::NotAccepted);
    }
}
