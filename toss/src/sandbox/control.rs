//! What Toss does not have: the payer's part, deposits, faults, webhooks' address, the journal.

use super::{
    answer::{Answer, Refuse},
    carry_out::Sandbox,
    fault::{FaultPath, FaultRequest},
    journal::MAX_PAGE,
    mix::MixRequest,
    payer::{Method, Redirect},
    webhooks::WebhookOptions,
};
use axum::{
    Json,
    body::Bytes,
    extract::{Path, Query, State},
    http::StatusCode,
};
use contracts::Won;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::sync::Arc;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CheckoutBody {
    order_id: String,
    amount: Won,
    /// `false`: the window stays open, and nothing is chosen.
    #[serde(default = "at_once")]
    authenticate: bool,
    #[serde(default)]
    method: Method,
}

fn at_once() -> bool {
    true
}

/// `POST /sandbox/checkout`: opens the payment window and, unless told otherwise, authenticates as the payer would.
/// Answers with what the redirect to successUrl would carry.
pub(super) async fn open(State(sandbox): State<Arc<Sandbox>>, body: Bytes) -> Answer {
    let Ok(CheckoutBody { order_id, amount, authenticate, method }) = serde_json::from_slice(&body) else {
        return Refuse::invalid_request().answer();
    };
    let now = sandbox.now();
    let mut shared = sandbox.shared();
    let opened = shared.open(&order_id, amount, now);
    let redirect = match opened {
        Ok(opened) if authenticate => shared.choose(&opened.payment_key, method, now),
        opened => opened,
    };
    answer(redirect)
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Choice {
    #[serde(default)]
    method: Method,
}

/// `POST /sandbox/checkout/{paymentKey}`: the payer authenticates in a window that was left open; by card, if the
/// body does not say otherwise.
pub(super) async fn authenticate(
    State(sandbox): State<Arc<Sandbox>>,
    Path(payment_key): Path<String>,
    body: Bytes,
) -> Answer {
    let choice = if body.is_empty() { Ok(None) } else { serde_json::from_slice::<Option<Choice>>(&body) };
    let Ok(choice) = choice else { return Refuse::invalid_request().answer() };
    let now = sandbox.now();
    answer(sandbox.shared().choose(&payment_key, choice.unwrap_or_default().method, now))
}

fn answer(redirect: Result<Redirect, Refuse>) -> Answer {
    redirect.map_or_else(|refuse| refuse.answer(), |redirect| Answer::ok(&json!(redirect)))
}

/// `POST /sandbox/deposits/{paymentKey}`: somebody pays the whole amount into the virtual account.
pub(super) async fn deposit(State(sandbox): State<Arc<Sandbox>>, Path(payment_key): Path<String>) -> Answer {
    deposited(&sandbox, &payment_key, false)
}

/// `POST /sandbox/deposits/{paymentKey}/error`: the bank takes it back, and the payment waits again.
pub(super) async fn deposit_error(State(sandbox): State<Arc<Sandbox>>, Path(payment_key): Path<String>) -> Answer {
    deposited(&sandbox, &payment_key, true)
}

fn deposited(sandbox: &Sandbox, payment_key: &str, is_error: bool) -> Answer {
    let now = sandbox.now();
    match sandbox.shared().deposit(payment_key, is_error, now) {
        Ok(status) => Answer::ok(&json!({"status": status})),
        Err(refuse) => refuse.answer(),
    }
}

/// What a control route answers that Toss has no form for.
type Controlled = (StatusCode, Json<Value>);

fn bad_request(error: &str) -> Controlled {
    (StatusCode::BAD_REQUEST, Json(json!({"error": error})))
}

fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Controlled> {
    serde_json::from_slice(body).map_err(|error| bad_request(&error.to_string()))
}

/// `POST /sandbox/faults`
pub(super) async fn add_fault(State(sandbox): State<Arc<Sandbox>>, body: Bytes) -> Result<Controlled, Controlled> {
    let request: FaultRequest = read(&body)?;
    if let Some(objection) = request.fault.objection(request.matching.path) {
        return Err(bad_request(&objection));
    }
    let added = sandbox.shared().faults.add(request);
    let too_many = || bad_request("too many faults wait for their calls; DELETE /sandbox/faults clears them");
    added.map(|id| (StatusCode::CREATED, Json(json!({"id": id})))).ok_or_else(too_many)
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

/// `PUT /sandbox/mixes/{path}`
pub(super) async fn set_mix(
    State(sandbox): State<Arc<Sandbox>>,
    Path(path): Path<FaultPath>,
    body: Bytes,
) -> Result<StatusCode, Controlled> {
    let request: MixRequest = read(&body)?;
    sandbox.shared().mixes.set(path, request).map_err(|objection| bad_request(&objection))?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /sandbox/mixes`: every path's mix, and how many calls each of its faults has struck.
pub(super) async fn list_mixes(State(sandbox): State<Arc<Sandbox>>) -> Json<Value> {
    Json(json!({"mixes": sandbox.shared().mixes}))
}

/// `DELETE /sandbox/mixes`
pub(super) async fn clear_mixes(State(sandbox): State<Arc<Sandbox>>) -> StatusCode {
    sandbox.shared().mixes.clear();
    StatusCode::NO_CONTENT
}

/// `PUT /sandbox/webhooks`: where they go from here on.
pub(super) async fn set_webhooks(State(sandbox): State<Arc<Sandbox>>, body: Bytes) -> Result<StatusCode, Controlled> {
    let options: WebhookOptions = read(&body)?;
    sandbox.shared().webhooks.send_to(options).map_err(|error| bad_request(&error.to_string()))?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /sandbox/webhooks`: where they go, how many wait, and what became of the others.
pub(super) async fn show_webhooks(State(sandbox): State<Arc<Sandbox>>) -> Json<Value> {
    Json(sandbox.shared().webhooks.show())
}

/// `DELETE /sandbox/webhooks`
pub(super) async fn stop_webhooks(State(sandbox): State<Arc<Sandbox>>) -> StatusCode {
    sandbox.shared().webhooks.stop();
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
