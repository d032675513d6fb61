//! Answers of the page's calls: plain JSON; of a refusal `{"error": …}`, which says what to do next.

use crate::envelope::Failure;
use axum::{
    Json,
    extract::{FromRequest, Request},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use contracts::ResultCode;
use operator::{StatusError, dlq::DlqError, trace::TraceError};
use serde::de::DeserializeOwned;

/// Why a call is not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    status: StatusCode,
    says: String,
    retry_after_s: Option<u64>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, says: impl Into<String>) -> Self {
        Self { status, says: says.into(), retry_after_s: None }
    }

    pub(super) fn bad<T: Into<String>>(says: T) -> Self {
        Self::new(StatusCode::BAD_REQUEST, says)
    }

    pub(super) fn busy(says: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, says)
    }

    pub(super) fn signed_out() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "sign in as an administrator")
    }

    pub(super) fn unknown() -> Self {
        Self::new(StatusCode::NOT_FOUND, "there is no such call: see docs/operator-page.md")
    }

    fn away(error: &impl std::fmt::Display) -> Self {
        tracing::warn!(%error, "a call of the operators' page was not served");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(serde_json::json!({"error": self.says}))).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        let code = failure.code();
        let says = match code {
            ResultCode::UserNotFound => return Self::new(StatusCode::UNAUTHORIZED, "no such login id and password"),
            ResultCode::LoginRequired
            | ResultCode::InvalidToken
            | ResultCode::AccessTokenExpired
            | ResultCode::RefreshTokenExpired => return Self::signed_out(),
            ResultCode::Forbidden => "only administrators may: `gream admin create` makes one",
            ResultCode::TooManyRequests => "too many tries: wait a little",
            ResultCode::NotAccepted => "the database or a limit of this process is in the way: try again",
            ResultCode::ProductNotFound => "there is no such product",
            _ => code.name(),
        };
        let status = StatusCode::from_u16(code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let may_come_again = matches!(code, ResultCode::TooManyRequests | ResultCode::NotAccepted);
        Self { status, says: says.to_owned(), retry_after_s: may_come_again.then(|| failure.retry_after_s()) }
    }
}

impl From<DlqError> for Refusal {
    fn from(error: DlqError) -> Self {
        match error {
            DlqError::WithoutName | DlqError::WithoutReason => Self::bad("say why, in at most 500 characters"),
            DlqError::Everything => Self::bad("that means every dead letter: name some, or say that all are meant"),
            DlqError::NoLetter(_) => Self::new(StatusCode::NOT_FOUND, error.to_string()),
            DlqError::Refused(_) | DlqError::Revise(_) | DlqError::NotSuspended { .. } => Self::busy(error.to_string()),
            DlqError::Database(_) | DlqError::Consumer(_) | DlqError::Publish(_) => Self::away(&error),
        }
    }
}

impl From<StatusError> for Refusal {
    fn from(error: StatusError) -> Self {
        Self::away(&error)
    }
}

impl From<TraceError> for Refusal {
    fn from(error: TraceError) -> Self {
        match error {
            TraceError::Unknown(_) => Self::new(StatusCode::NOT_FOUND, error.to_string()),
            TraceError::Ambiguous { .. } => Self::busy(error.to_string()),
            TraceError::DeadLetters(error) => error.into(),
            TraceError::Database(_) => Self::away(&error),
        }
    }
}

/// What a call was given, as JSON.
pub(super) struct Asked<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Asked<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let Json(asked) = Json::from_request(request, state)
            .await
            .map_err(|rejection| Refusal::new(rejection.status(), rejection.body_text()))?;
        Ok(Self(asked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_password_and_a_lost_session_say_what_to_do() {
        let wrong = Refusal::from(Failure::from(ResultCode::UserNotFound));
        assert_eq!((wrong.status, wrong.says.as_str()), (StatusCode::UNAUTHORIZED, "no such login id and password"));
        assert_eq!(Refusal::from(Failure::from(ResultCode::InvalidToken)), Refusal::signed_out());
        assert_eq!(Refusal::from(Failure::from(ResultCode::Forbidden)).status, StatusCode::FORBIDDEN);
        let many = Refusal::from(Failure::too_many(std::time::Duration::from_secs(9))).into_response();
        assert_eq!((many.status().as_u16(), &many.headers()["retry-after"]), (429, &HeaderValue::from(10)));
    }

    #[test]
    fn what_an_operator_did_wrong_is_no_fault_of_ours() {
        assert_eq!(Refusal::from(DlqError::WithoutReason).status, StatusCode::BAD_REQUEST);
        assert_eq!(Refusal::from(DlqError::NoLetter("x".into())).status, StatusCode::NOT_FOUND);
    }
}
