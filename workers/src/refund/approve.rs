//! `ApproveRefund`: the held points are allocated to the user's own charges, and the rest to a payout.
//!
//! The user's charges are locked, so two approvals for the same user cannot claim the same won of a charge.

use super::{
    once::not_awaited,
    payout::{self, PayoutPort},
    rows::{PlannedLeg, Refund, insert_leg, lock_refund, write_decision},
};
use crate::laddered::{balance, debt, ended, insert_command, invalid, user_id};
use contracts::{Command, Envelope, Outcome, RefundId, ResultCode, UnixMs, UserId, Won, topology::Role};
use domain::refund::{Decision, NewLeg, Refundable, Route, allocate, decide, leg_command};
use serde_json::json;
use sqlx::MySqlConnection;
use std::collections::BTreeMap;

/// Charges that a refund can go back through: the newest. What they do not cover is paid out.
const MAX_CHARGES: i64 = 500;

pub(super) async fn approve(
    connection: &mut MySqlConnection,
    payouts: &impl PayoutPort,
    envelope: &Envelope,
    refund: RefundId,
    now: UnixMs,
) -> Result<Outcome, sqlx::Error> {
    let Some(refund) = lock_refund(connection, refund).await? else { return Ok(not_awaited(envelope, now)) };
    let Some(state) = decide(refund.state, Decision::Approve) else { return Ok(not_awaited(envelope, now)) };
    let charges = lock_charges(connection, refund.user).await?;
    let held = balance(connection, refund.user).await?.held;
    if debt(connection, refund.user).await? > Won::ZERO {
        return Ok(ended(envelope, ResultCode::DebtOpen, json!({}), now));
    }
    if held < refund.amount {
        return Err(invalid(format!("refund {} is of {} points, but only {held} are held", refund.id, refund.amount)));
    }
    for (leg, leg_no) in allocate(refund.amount, &charges).iter().zip(1..) {
        match leg {
            NewLeg::Cancel { order_id, amount } => {
                plan_cancel(connection, &refund, leg_no, (order_id, *amount), now).await?;
            }
            NewLeg::Payout { amount } => {
                payout::plan(connection, payouts, (refund.id, leg_no), refund.user, *amount, now).await?;
            }
        }
    }
    write_decision(connection, &refund, envelope, (state, None), now).await?;
    Ok(ended(envelope, ResultCode::Ok, json!({}), now))
}

/// The user's charges, locked, with what no leg has claimed of them yet.
async fn lock_charges(connection: &mut MySqlConnection, user: UserId) -> Result<Vec<Refundable>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT order_id, amount, cancelled_amount, reversed_amount, created_at_ms FROM payments
         WHERE user_id = ? AND state = 'done' AND cancelled_amount + reversed_amount < amount
         ORDER BY created_at_ms DESC, order_id DESC LIMIT ? FOR UPDATE",
        user_id(user),
        MAX_CHARGES
    )
    .fetch_all(&mut *connection)
    .await?;
    let claims = sqlx::query!(
        r#"SELECT l.order_id AS "order_id!", CAST(SUM(l.amount) AS SIGNED) AS "claimed!: i64"
           FROM refunds r JOIN refund_legs l ON l.refund_id = r.refund_id
           WHERE r.user_id = ? AND r.state = 'paying' AND l.order_id IS NOT NULL AND l.state IN ('planned', 'executing')
           GROUP BY l.order_id"#,
        user_id(user)
    )
    .fetch_all(&mut *connection)
    .await?;
    let claimed: BTreeMap<String, i64> = claims.into_iter().map(|row| (row.order_id, row.claimed)).collect();
    let mut charges = Vec::with_capacity(rows.len());
    for row in rows {
        let claimed = claimed.get(&row.order_id).copied().unwrap_or(0);
        let gone = row.cancelled_amount.saturating_add(row.reversed_amount).saturating_add(claimed);
        let left = row.amount.saturating_sub(gone);
        charges.push(Refundable { order_id: row.order_id, charged_at: UnixMs(row.created_at_ms), left: Won(left) });
    }
    Ok(charges)
}

/// Plans a cancel leg; the command that pays it goes into the outbox with it.
async fn plan_cancel(
    connection: &mut MySqlConnection,
    refund: &Refund,
    leg_no: u32,
    (order_id, amount): (&str, Won),
    now: UnixMs,
) -> Result<(), sqlx::Error> {
    let id = leg_command(refund.user, refund.id, leg_no);
    let leg =
        PlannedLeg { refund: refund.id, leg_no, route: Route::Cancel, order_id: Some(order_id), amount, command: id };
    insert_leg(connection, &leg, now).await?;
    let command = Command::CancelCharge { refund: refund.id, leg: leg_no };
    insert_command(connection, Role::Refund, &Envelope::new(id, refund.user, now, None, command)).await
}
