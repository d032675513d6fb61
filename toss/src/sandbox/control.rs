//! What Toss does not have: the payer's part, faults, the journal.

use super::{
    answer::{Answer, Refuse},
    carry_out::{Sandbox, Shared, random_key},
    fault::FaultRequest,
    journal::{Effect, MAX_PAGE},
};
use axum::{
    Json,
    body::Bytes,
    extract::{Path, Query, State},
    http::StatusCode,
};
use contracts::{UnixMs, Won};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// Toss's smallest card payment.
const MIN_AMOUNT: Won = Won(100);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CheckoutBody {
    order_id: String,
    amount: Won,
    /// `false`: the window stays open, unauthenticated.
    #[serde(default = "at_once")]
    authenticate: bool,
}

fn at_once() -> bool {
    true
}

/// `POST /sandbox/checkout`: opens the payment window and, unless told otherwise, authenticates as the payer would.
/// Answers with what the redirect to successUrl would carry.
pub(super) async fn open(State(sandbox): State<Arc<Sandbox>>, body: Bytes) -> Answer {
    let Ok(CheckoutBody { order_id, amount, authenticate }) = serde_json::from_slice(&body) else {
        return Refuse::invalid_request().answer();
    };
    if !is_order_id(&order_id) {
        return Refuse::new(400, "INVALID_ORDER_ID", "주문번호는 영문 대소문자, 숫자, -, _ 6~64자여야 합니다.")
            .answer();
    }
    if amount < MIN_AMOUNT {
        return Refuse::new(400, "BELOW_MINIMUM_AMOUNT", "신용카드는 결제금액이 100원 이상부터 결제가 가능합니다.")
            .answer();
    }
    let payment_key = random_key("tgen");
    let redirect = redirect(&payment_key, &order_id, amount);
    let mut effects = vec![Effect::Opened { payment_key: payment_key.clone(), order_id, amount }];
    if authenticate {
        effects.push(Effect::Authenticated { payment_key });
    }
    let now = sandbox.now();
    record(&mut sandbox.shared(), effects, &redirect, now)
}

/// `POST /sandbox/checkout/{paymentKey}`: the payer authenticates in a window that was left open.
pub(super) async fn authenticate(State(sandbox): State<Arc<Sandbox>>, Path(payment_key): Path<String>) -> Answer {
    let now = sandbox.now();
    let mut shared = sandbox.shared();
    let effect = match shared.book.authenticate(&payment_key, now) {
        Ok(effect) => effect,
        Err(refuse) => return refuse.answer(),
    };
    let redirect = shared.book.get(&payment_key).map(|record| redirect(&payment_key, &record.order_id, record.amount));
    record(&mut shared, vec![effect], &redirect.unwrap_or_default(), now)
}

fn record(shared: &mut Shared, effects: Vec<Effect>, answer: &Value, now: UnixMs) -> Answer {
    for effect in effects {
        if let Err(error) = shared.record(effect, None, now) {
            return Refuse::new(500, "JOURNAL", &error.to_string()).answer();
        }
    }
    Answer::ok(answer)
}

fn redirect(payment_key: &str, order_id: &str, amount: Won) -> Value {
    json!({"paymentType": "NORMAL", "paymentKey": payment_key, "orderId": order_id, "amount": amount})
}

/// 6 to 64 of `[A-Za-z0-9_-]`.
fn is_order_id(text: &str) -> bool {
    (6..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// `POST /sandbox/faults`
pub(super) async fn add_fault(State(sandbox): State<Arc<Sandbox>>, body: Bytes) -> (StatusCode, Json<Value>) {
    let request: FaultRequest = match serde_json::from_slice(&body) {
        Ok(request) => request,
        Err(error) => return bad_fault(&error.to_string()),
    };
    if let Some(objection) = request.fault.objection() {
        return bad_fault(&objection);
    }
    match sandbox.shared().faults.add(request) {
        Some(id) => (StatusCode::CREATED, Json(json!({"id": id}))),
        None => bad_fault("too many faults wait for their calls; DELETE /sandbox/faults clears them"),
    }
}

fn bad_fault(error: &str) -> (StatusCode, Json<Value>) {
    (StatusCode::BAD_REQUEST, Json(json!({"error": error})))
}

/// `GET /sandbox/faults`: every fault that was asked for, and how many calls it has struck.
pub(super) async fn list_faults(State(sandbox): State<Arc<Sandbox>>) -> Json<Value> {
    Json(json!({"faults": sandbox.shared().faults.list()}))
}

/// `DELETE /sandbox/faults`
pub(super) async fn clear_faults(State(sandbox): State<Arc<Sandbox>>) -> StatusCode {
    sandbox.shared().faults.clear();
    StatusCode::NO_CONTENT
}

/// The journal's paging.
#[derive(Deserialize)]
pub(super) struct Page {
    #[serde(default)]
    after: u64,
    #[serde(default = "whole_page")]
    limit: usize,
}

fn whole_page() -> usize {
    MAX_PAGE
}

/// `GET /sandbox/journal?after=N&limit=M`: an empty page is the end.
pub(super) async fn journal(
    State(sandbox): State<Arc<Sandbox>>,
    Query(page): Query<Page>,
) -> Result<Json<Value>, (StatusCode, String)> {
    let entries = sandbox.shared().journal.page(page.after, page.limit);
    match entries {
        Ok(entries) => Ok(Json(json!({"entries": entries}))),
        Err(error) => Err((StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    }
}

/// `GET /sandbox/calls`
pub(super) async fn calls(State(sandbox): State<Arc<Sandbox>>) -> Json<Value> {
    let calls = sandbox.shared().calls;
    Json(json!(calls))
}
