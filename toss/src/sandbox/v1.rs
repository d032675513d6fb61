//! Toss's own calls, at the edge: authorization, headers, bodies.

use super::{
    answer::Refuse,
    call::{Call, CancelRequest, Endpoint, Work},
    carry_out::{Reaction, Sandbox},
    connection::Connection,
    record::RefundAccount,
    transactions::QueryText,
};
use crate::client::MAX_CANCEL_REASON_LENGTH;
use axum::{
    body::Bytes,
    extract::{ConnectInfo, OriginalUri, Path, Query, State, rejection::QueryRejection},
    http::{HeaderMap, header::AUTHORIZATION},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use contracts::Won;
use serde::Deserialize;
use std::sync::Arc;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConfirmBody {
    payment_key: String,
    order_id: String,
    amount: Won,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CancelBody {
    cancel_reason: String,
    #[serde(default)]
    cancel_amount: Option<Won>,
    #[serde(default)]
    refund_receive_account: Option<RefundAccountBody>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RefundAccountBody {
    bank: String,
    account_number: String,
    holder_name: String,
}

impl RefundAccountBody {
    /// What the refund depends on, and nothing that says whose account it is.
    fn judge(&self) -> RefundAccount {
        if self.bank.is_empty() {
            RefundAccount::WithoutBank
        } else if self.account_number.is_empty() || !self.account_number.bytes().all(|b| b.is_ascii_digit()) {
            RefundAccount::WithoutNumber
        } else if self.holder_name.is_empty() {
            RefundAccount::WithoutHolder
        } else {
            RefundAccount::Good
        }
    }
}

fn malformed(endpoint: Endpoint) -> Work {
    Work::Malformed { endpoint, refuse: Refuse::invalid_request() }
}

/// `POST /v1/payments/confirm`
pub(super) async fn confirm(
    State(sandbox): State<Arc<Sandbox>>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let work = match serde_json::from_slice(&body) {
        Ok(ConfirmBody { payment_key, order_id, amount }) => Work::Confirm { payment_key, order_id, amount },
        Err(_) => malformed(Endpoint::Confirm),
    };
    answer(sandbox, &connection, call(work, uri.path(), &headers), &headers).await
}

/// `POST /v1/payments/{paymentKey}/cancel`
pub(super) async fn cancel(
    State(sandbox): State<Arc<Sandbox>>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    OriginalUri(uri): OriginalUri,
    Path(payment_key): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let work = match serde_json::from_slice(&body) {
        Ok(CancelBody { cancel_reason: reason, cancel_amount: amount, refund_receive_account: account })
            if (1..=MAX_CANCEL_REASON_LENGTH).contains(&reason.chars().count()) =>
        {
            let refund_account = account.map_or(RefundAccount::None, |account| account.judge());
            Work::Cancel(CancelRequest { payment_key, reason, amount, refund_account })
        }
        _ => malformed(Endpoint::Cancel),
    };
    answer(sandbox, &connection, call(work, uri.path(), &headers), &headers).await
}

/// `GET /v1/payments/{paymentKey}`
pub(super) async fn payment(
    State(sandbox): State<Arc<Sandbox>>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    OriginalUri(uri): OriginalUri,
    Path(payment_key): Path<String>,
    headers: HeaderMap,
) -> Response {
    let call = Call { idempotency_key: None, ..call(Work::LookUp { payment_key }, uri.path(), &headers) };
    answer(sandbox, &connection, call, &headers).await
}

/// `GET /v1/payments/orders/{orderId}`
pub(super) async fn payment_by_order(
    State(sandbox): State<Arc<Sandbox>>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    OriginalUri(uri): OriginalUri,
    Path(order_id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let call = Call { idempotency_key: None, ..call(Work::LookUpOrder { order_id }, uri.path(), &headers) };
    answer(sandbox, &connection, call, &headers).await
}

/// `GET /v1/transactions`
pub(super) async fn transactions(
    State(sandbox): State<Arc<Sandbox>>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    OriginalUri(uri): OriginalUri,
    query: Result<Query<QueryText>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    let query = query.map_err(|_| Refuse::invalid_request()).and_then(|Query(text)| text.read());
    let work =
        query.map_or_else(|refuse| Work::Malformed { endpoint: Endpoint::Transactions, refuse }, Work::Transactions);
    let call = Call { idempotency_key: None, ..call(work, uri.path(), &headers) };
    answer(sandbox, &connection, call, &headers).await
}

fn call(work: Work, path: &str, headers: &HeaderMap) -> Call {
    let header = |name| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    Call {
        work,
        path: path.to_owned(),
        idempotency_key: header("idempotency-key"),
        test_code: header("tosspayments-test-code"),
    }
}

async fn answer(sandbox: Arc<Sandbox>, connection: &Connection, call: Call, headers: &HeaderMap) -> Response {
    if let Err(refuse) = authorize(&sandbox, headers) {
        sandbox.shared().calls.unauthorized += 1;
        return refuse.answer().into_response();
    }
    match sandbox.react(call).await {
        Reaction::Answer(answer) => answer.into_response(),
        Reaction::Reset => {
            connection.sever();
            // Never sent: the connection is cut before its first byte.
            Response::default()
        }
    }
}

/// `Basic base64(secretKey + ":")`.
fn authorize(sandbox: &Sandbox, headers: &HeaderMap) -> Result<(), Refuse> {
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).ok_or_else(Refuse::unauthorized)?;
    let decoded = header.strip_prefix("Basic ").and_then(|encoded| STANDARD.decode(encoded.trim()).ok());
    let shown = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    let (key, password) =
        shown.as_deref().and_then(|shown| shown.split_once(':')).ok_or_else(Refuse::malformed_authorization)?;
    if key == sandbox.secret_key().expose() && password.is_empty() { Ok(()) } else { Err(Refuse::unauthorized()) }
}
