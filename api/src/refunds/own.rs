//! The caller's own refunds: where each stands, and where each won of it went.

use crate::{
    auth::Caller,
    context::Shared,
    envelope::{Answer, Envelope, Failure},
    request::{PathId, Query},
    seoul::local,
};
use axum::extract::State;
use contracts::{ResultCode, UnixMs};
use domain::refund::{LegState, Route};
use serde::Serialize;
use sqlx::MySqlPool;
use utoipa::ToSchema;

/// Rows in an answer to a client that names no page.
const UNPAGED: i64 = 500;

/// A refund of the caller's.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OwnRefund {
    refund_id: i64,
    refund_point: i64,
    refund_bank: String,
    /// Masked.
    refund_account_number: String,
    /// `requested`, `paying`, `paid`, `partly_paid`, `returned` or `rejected`.
    state: String,
    /// Why it was rejected.
    reject_reason: Option<String>,
    requested_at: String,
    changed_at: String,
}

/// A refund of the caller's with its parts.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RefundInFull {
    #[serde(flatten)]
    refund: OwnRefund,
    /// Once it is approved. Those that are not `moved` add up to it.
    legs: Vec<RefundLeg>,
}

/// A part of a refund, and its way to the user.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RefundLeg {
    leg_no: i16,
    amount: i64,
    /// `cancel`: back through a charge. `payout`: by bank transfer.
    route: String,
    /// `planned`, `executing`, `paid`, `moved` (a payout has taken its place) or `returned` (as points).
    state: String,
    /// The charge that it is given back through.
    order_id: Option<String>,
    /// The account that it is transferred to, masked.
    account_number: Option<String>,
    /// Why it is not paid, or not this way.
    failure_reason: Option<String>,
    changed_at: String,
}

/// The caller's refunds, newest first.
#[utoipa::path(
    get,
    path = "/api/users/points/refunds",
    operation_id = "own_refunds",
    tag = "users",
    params(("page" = Option<i64>, Query, minimum = 0, maximum = 100_000), ("size" = Option<i64>, Query, minimum = 1, maximum = 100)),
    responses((status = 200, description = "Newest first", body = Envelope<Vec<OwnRefund>>)),
)]
pub(crate) async fn list(
    State(api): State<Shared>,
    caller: Caller,
    Query(mut query): Query,
) -> Result<Answer<Vec<OwnRefund>>, Failure> {
    let page = query.page(UNPAGED);
    query.valid()?;
    let read = |db: MySqlPool| async move {
        sqlx::query!(
            "SELECT refund_id, amount, bank, account_masked, state, reject_reason, created_at_ms, updated_at_ms
             FROM refunds WHERE user_id = ? ORDER BY refund_id DESC LIMIT ? OFFSET ?",
            caller.user.0,
            page.size,
            page.offset
        )
        .fetch_all(&db)
        .await
    };
    let rows = api.read(Some(caller.user), read).await?;
    let refunds = rows.into_iter().map(|row| OwnRefund {
        refund_id: row.refund_id,
        refund_point: row.amount,
        refund_bank: row.bank,
        refund_account_number: row.account_masked,
        state: row.state,
        reject_reason: row.reject_reason,
        requested_at: local(UnixMs(row.created_at_ms)),
        changed_at: local(UnixMs(row.updated_at_ms)),
    });
    Ok(Answer(refunds.collect()))
}

/// One of the caller's refunds, with its parts: where each won of it went.
#[utoipa::path(
    get,
    path = "/api/users/points/refunds/{id}",
    operation_id = "own_refund",
    tag = "users",
    params(("id" = u64, Path, description = "The refund")),
    responses((status = 200, description = "The refund", body = Envelope<RefundInFull>)),
)]
pub(crate) async fn one(
    State(api): State<Shared>,
    caller: Caller,
    id: PathId,
) -> Result<Answer<RefundInFull>, Failure> {
    let id = id.known().ok_or(ResultCode::RefundNotFound)?;
    let read = |db: MySqlPool| async move {
        // In one statement: refund and legs as they were at one instant.
        sqlx::query_as!(
            Row,
            r#"SELECT r.refund_id, r.amount, r.bank, r.account_masked, r.state, r.reject_reason, r.created_at_ms,
                      r.updated_at_ms, l.leg_no AS "leg_no?: i16", l.amount AS "leg_amount?: i64",
                      l.route AS "route?: String", l.state AS "leg_state?: String", l.order_id AS "order_id?: String",
                      l.failure_code AS "failure_code?: String", l.failure_reason AS "failure_reason?: String",
                      l.updated_at_ms AS "leg_updated_at_ms?: i64"
               FROM refunds r LEFT JOIN refund_legs l ON l.refund_id = r.refund_id
               WHERE r.refund_id = ? AND r.user_id = ? ORDER BY l.leg_no"#,
            id,
            caller.user.0
        )
        .fetch_all(&db)
        .await
    };
    let mut rows = api.read(Some(caller.user), read).await?;
    let legs = rows.iter_mut().filter_map(Row::take_leg).collect();
    let refund = rows.pop().ok_or(ResultCode::RefundNotFound)?.refund();
    Ok(Answer(RefundInFull { refund, legs }))
}

/// A refund beside one of its legs.
struct Row {
    refund_id: i64,
    amount: i64,
    bank: String,
    account_masked: String,
    state: String,
    reject_reason: Option<String>,
    created_at_ms: i64,
    updated_at_ms: i64,
    leg_no: Option<i16>,
    leg_amount: Option<i64>,
    route: Option<String>,
    leg_state: Option<String>,
    order_id: Option<String>,
    failure_code: Option<String>,
    failure_reason: Option<String>,
    leg_updated_at_ms: Option<i64>,
}

impl Row {
    fn refund(self) -> OwnRefund {
        OwnRefund {
            refund_id: self.refund_id,
            refund_point: self.amount,
            refund_bank: self.bank,
            refund_account_number: self.account_masked,
            state: self.state,
            reject_reason: self.reject_reason,
            requested_at: local(UnixMs(self.created_at_ms)),
            changed_at: local(UnixMs(self.updated_at_ms)),
        }
    }

    fn take_leg(&mut self) -> Option<RefundLeg> {
        let (route, state) = (self.route.take()?, self.leg_state.take()?);
        Some(RefundLeg {
            leg_no: self.leg_no?,
            amount: self.leg_amount?,
            order_id: self.order_id.take(),
            account_number: (route == Route::Payout.as_str()).then(|| self.account_masked.clone()),
            failure_reason: failure_reason(&state, self.failure_code.take(), self.failure_reason.take()),
            changed_at: local(UnixMs(self.leg_updated_at_ms?)),
            route,
            state,
        })
    }
}

/// For the user: what Toss said of a leg that moved, or what the administrator did of one that was returned.
fn failure_reason(state: &str, code: Option<String>, reason: Option<String>) -> Option<String> {
    if state == LegState::Moved.as_str() {
        return Some(why_moved(code.as_deref().unwrap_or_default()).to_owned());
    }
    reason.filter(|_| state == LegState::Returned.as_str())
}

/// Toss's code in words.
fn why_moved(code: &str) -> &'static str {
    match code {
        "EXCEED_MAX_REFUND_DUE" => "결제를 취소할 수 있는 기간이 지나 계좌 이체로 환급합니다.",
        "NOT_ALLOWED_PARTIAL_REFUND" => "부분 취소할 수 없는 결제여서 계좌 이체로 환급합니다.",
        "EXCEED_CANCEL_AMOUNT_DISCOUNT_AMOUNT" => "할인이 적용된 결제여서 계좌 이체로 환급합니다.",
        _ => "결제를 취소할 수 없어 계좌 이체로 환급합니다.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_paid_this_way_has_a_reason() {
        let told = |state: LegState| failure_reason(state.as_str(), Some("X".into()), Some("해지된 계좌".into()));
        assert_eq!(told(LegState::Returned).as_deref(), Some("해지된 계좌"));
        assert_eq!(told(LegState::Moved).as_deref(), Some("결제를 취소할 수 없어 계좌 이체로 환급합니다."));
        for state in [LegState::Planned, LegState::Executing, LegState::Paid] {
            assert_eq!(told(state), None, "{state}: a code that a later attempt got over is nobody's business");
        }
    }
}
