//! What goes back over HTTP: a status and a JSON body, in Toss's forms.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

/// An answer, ready to be sent and to be bound to a key.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answer {
    pub(super) http: u16,
    pub(super) body: String,
    pub(super) retry_after_s: Option<u32>,
}

impl Answer {
    pub(super) fn ok(body: &Value) -> Self {
        Self { http: 200, body: body.to_string(), retry_after_s: None }
    }

    /// An answer without a code, as something in front of Toss would give it.
    pub(super) fn bare(http: u16, retry_after_s: Option<u32>) -> Self {
        Self { http, body: String::new(), retry_after_s }
    }
}

/// The fields of an answer that say how much.
const AMOUNT_FIELDS: [&str; 3] = ["totalAmount", "balanceAmount", "amount"];

impl Answer {
    /// The same answer with amounts that are wrong by `by`, a listing's in its first transaction.
    pub(super) fn wrong_by(mut self, by: i64) -> Self {
        let Ok(mut body) = serde_json::from_str::<Value>(&self.body) else { return self };
        let changed = if body.is_array() { body.get_mut(0) } else { Some(&mut body) };
        if let Some(Value::Object(fields)) = changed {
            for (_, value) in fields.iter_mut().filter(|(name, _)| AMOUNT_FIELDS.contains(&name.as_str())) {
                *value = value.as_i64().map_or_else(|| value.clone(), |amount| json!(amount.saturating_add(by)));
            }
        }
        self.body = body.to_string();
        self
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.http).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let json = HeaderValue::from_static("application/json;charset=UTF-8");
        let mut response = (status, [(header::CONTENT_TYPE, json)], self.body).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// A refusal in Toss's form.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Refuse {
    pub(super) http: u16,
    pub(super) code: String,
    pub(super) message: String,
}

impl Refuse {
    pub(super) fn new(http: u16, code: &str, message: &str) -> Self {
        Self { http, code: code.to_owned(), message: message.to_owned() }
    }

    pub(super) fn invalid_request() -> Self {
        Self::new(400, "INVALID_REQUEST", "잘못된 요청입니다.")
    }

    pub(super) fn invalid_idempotency_key() -> Self {
        Self::new(400, "INVALID_IDEMPOTENCY_KEY", "멱등키는 300자 이하여야 합니다.")
    }

    pub(super) fn still_processing() -> Self {
        Self::new(409, "IDEMPOTENT_REQUEST_PROCESSING", "이전 멱등 요청이 처리중입니다.")
    }

    pub(super) fn no_such_payment() -> Self {
        Self::new(404, "NOT_FOUND_PAYMENT", "존재하지 않는 결제 정보 입니다.")
    }

    pub(super) fn session_over() -> Self {
        Self::new(404, "NOT_FOUND_PAYMENT_SESSION", "결제 시간이 만료되어 결제 진행 데이터가 존재하지 않습니다.")
    }

    pub(super) fn already_processed() -> Self {
        Self::new(400, "ALREADY_PROCESSED_PAYMENT", "이미 처리된 결제 입니다.")
    }

    pub(super) fn another_amount() -> Self {
        Self::new(403, "FORBIDDEN_REQUEST", "허용되지 않은 요청입니다.")
    }

    pub(super) fn already_cancelled() -> Self {
        Self::new(400, "ALREADY_CANCELED_PAYMENT", "이미 취소된 결제 입니다.")
    }

    pub(super) fn not_cancelable_payment() -> Self {
        Self::new(403, "NOT_CANCELABLE_PAYMENT", "취소 할 수 없는 결제 입니다.")
    }

    pub(super) fn not_cancelable_amount() -> Self {
        Self::new(403, "NOT_CANCELABLE_AMOUNT", "취소 할 수 없는 금액 입니다.")
    }

    pub(super) fn invalid_bank() -> Self {
        Self::new(400, "INVALID_BANK", "유효하지 않은 은행입니다.")
    }

    pub(super) fn invalid_refund_account_number() -> Self {
        Self::new(400, "INVALID_REFUND_ACCOUNT_NUMBER", "잘못된 환불 계좌번호입니다.")
    }

    pub(super) fn invalid_refund_account() -> Self {
        Self::new(400, "INVALID_REFUND_ACCOUNT_INFO", "환불 계좌번호와 예금주명이 일치하지 않습니다.")
    }

    pub(super) fn too_late_to_refund() -> Self {
        Self::new(403, "EXCEED_MAX_REFUND_DUE", "환불 가능한 기간이 지났습니다.")
    }

    pub(super) fn invalid_date() -> Self {
        Self::new(400, "INVALID_DATE", "날짜 데이터가 잘못 되었습니다.")
    }

    pub(super) fn invalid_transaction_key() -> Self {
        Self::new(400, "INVALID_TRANSACTION_KEY", "잘못된 페이징 키 입니다.")
    }

    /// Of a control route, where Toss has no word of its own.
    pub(super) fn nothing_to_deposit() -> Self {
        Self::new(409, "SANDBOX_NOT_WAITING_FOR_DEPOSIT", "this payment is not waiting for a deposit")
    }

    /// Of a control route, where Toss has no word of its own.
    pub(super) fn account_overdue() -> Self {
        Self::new(409, "SANDBOX_ACCOUNT_OVERDUE", "the virtual account's due date has passed")
    }

    /// Of a control route, where Toss has no word of its own.
    pub(super) fn nothing_to_reverse() -> Self {
        Self::new(
            409,
            "SANDBOX_NOTHING_DEPOSITED",
            "nothing was deposited for this payment, or it was refunded already",
        )
    }

    pub(super) fn unauthorized() -> Self {
        Self::new(401, "UNAUTHORIZED_KEY", "인증되지 않은 시크릿 키 혹은 클라이언트 키 입니다.")
    }

    pub(super) fn malformed_authorization() -> Self {
        Self::new(403, "INCORRECT_BASIC_AUTH_FORMAT", "잘못된 요청입니다. ':' 를 포함해 인코딩해주세요.")
    }

    pub(super) fn answer(&self) -> Answer {
        let body = json!({"code": self.code, "message": self.message}).to_string();
        Answer { http: self.http, body, retry_after_s: None }
    }
}
