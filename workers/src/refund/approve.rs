//! `ApproveRefund`: the held points are allocated to the user's own charges, and the rest to a payout.
//!
//! The user's charges are locked, so two approvals for the same user cannot claim the same won of a charge.

use super::Store;
use crate::laddered::{
    Ending, Fault, Inbox, Standing, again_on_contention, balance, debt, ended, insert_outbox, invalid, is_expired,
    is_stale, user_id,
};
use contracts::{
    Command, Envelope, Outcome, RefundId, ResultCode, UnixMs, UserId, Won,
    topology::{COMMANDS_EXCHANGE, Role},
};
use domain::refund::{LegState, NewLeg, Refundable, Route, State, allocate, leg_command};
use platform::database::within;
use serde_json::json;
use sqlx::MySqlConnection;

/// A refund that awaits approval.
struct Requested {
    id: RefundId,
    user: UserId,
    amount: Won,
}

impl Store {
    pub(super) async fn approve(&self, envelope: &Envelope, refund: RefundId, now: UnixMs) -> Result<Ending, Fault> {
        Ok(again_on_contention(|| self.try_approve(envelope, refund, now)).await?)
    }

    async fn try_approve(&self, envelope: &Envelope, refund: RefundId, now: UnixMs) -> Result<Ending, sqlx::Error> {
        let mut transaction = within(self.limit, self.pool.begin()).await?;
        within(self.limit, async {
            let standing = match Inbox::lock(&mut transaction, envelope).await? {
                Standing::Ended(outcome) => return Ok(Ending::Ended(outcome)),
                Standing::Superseded => return Ok(Ending::Superseded),
                standing => standing,
            };
            let outcome = decide(&mut transaction, envelope, refund, now).await?;
            Inbox::end(&mut transaction, envelope, &standing, &outcome).await?;
            transaction.commit().await?;
            Ok(Ending::Ended(outcome))
        })
        .await
    }
}

async fn decide(
    connection: &mut MySqlConnection,
    envelope: &Envelope,
    refund: RefundId,
    now: UnixMs,
) -> Result<Outcome, sqlx::Error> {
    if is_expired(envelope, now) || is_stale(envelope, now) {
        return Ok(ended(envelope, ResultCode::CommandExpired, json!({}), now));
    }
    let Some(requested) = lock_requested(connection, refund).await? else {
        return Ok(ended(envelope, ResultCode::RefundNotFound, json!({}), now));
    };
    let charges = lock_charges(connection, requested.user).await?;
    let held = balance(connection, requested.user).await?.held;
    if debt(connection, requested.user).await? > Won::ZERO {
        return Ok(ended(envelope, ResultCode::DebtOpen, json!({}), now));
    }
    if held < requested.amount {
        return Err(invalid(format!("refund {refund} is of {} points, but only {held} are held", requested.amount)));
    }
    for (leg, leg_no) in allocate(requested.amount, &charges).iter().zip(1..) {
        write_leg(connection, &requested, leg_no, leg, now).await?;
    }
    sqlx::query!(
        "UPDATE refunds SET state = ?, updated_at_ms = ? WHERE refund_id = ?",
        State::Paying.as_str(),
        now.0,
        column(refund)?
    )
    .execute(connection)
    .await?;
    Ok(ended(envelope, ResultCode::Ok, json!({}), now))
}

async fn lock_requested(connection: &mut MySqlConnection, refund: RefundId) -> Result<Option<Requested>, sqlx::Error> {
    let found =
        sqlx::query!("SELECT user_id, amount, state FROM refunds WHERE refund_id = ? FOR UPDATE", column(refund)?)
            .fetch_optional(connection)
            .await?;
    let Some(row) = found.filter(|row| row.state == State::Requested.as_str()) else { return Ok(None) };
    let user = UserId(u64::try_from(row.user_id).map_err(invalid)?);
    Ok(Some(Requested { id: refund, user, amount: Won(row.amount) }))
}

/// The user's charges, locked, with what no leg has claimed of them yet.
async fn lock_charges(connection: &mut MySqlConnection, user: UserId) -> Result<Vec<Refundable>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT order_id, amount, cancelled_amount, reversed_amount, created_at_ms FROM payments
         WHERE user_id = ? AND state = 'done' AND cancelled_amount + reversed_amount < amount
         ORDER BY created_at_ms DESC, order_id DESC FOR UPDATE",
        user_id(user)
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut charges = Vec::with_capacity(rows.len());
    for row in rows {
        let claimed = sqlx::query_scalar!(
            r#"SELECT CAST(COALESCE(SUM(amount), 0) AS SIGNED) AS "claimed!: i64" FROM refund_legs
               WHERE order_id = ? AND state IN ('planned', 'executing')"#,
            row.order_id
        )
        .fetch_one(&mut *connection)
        .await?;
        let gone = row.cancelled_amount.saturating_add(row.reversed_amount).saturating_add(claimed);
        let left = row.amount.saturating_sub(gone);
        charges.push(Refundable { order_id: row.order_id, charged_at: UnixMs(row.created_at_ms), left: Won(left) });
    }
    Ok(charges)
}

/// Writes a leg; a cancel leg's command goes into the outbox with it.
async fn write_leg(
    connection: &mut MySqlConnection,
    refund: &Requested,
    leg_no: u32,
    leg: &NewLeg,
    now: UnixMs,
) -> Result<(), sqlx::Error> {
    let id = leg_command(refund.user, refund.id, leg_no);
    let (route, order_id) = match leg {
        NewLeg::Cancel { order_id, .. } => (Route::Cancel, Some(order_id.as_str())),
        NewLeg::Payout { .. } => (Route::Payout, None),
    };
    sqlx::query!(
        "INSERT INTO refund_legs (refund_id, leg_no, route, order_id, amount, state, attempt, command_id, updated_at_ms)
         VALUES (?, ?, ?, ?, ?, ?, 0, ?, ?)",
        column(refund.id)?,
        i16::try_from(leg_no).map_err(invalid)?,
        route.as_str(),
        order_id,
        leg.amount().0,
        LegState::Planned.as_str(),
        &id.bytes()[..],
        now.0
    )
    .execute(&mut *connection)
    .await?;
    if route == Route::Cancel {
        let command = Command::CancelCharge { refund: refund.id, leg: leg_no };
        let payload = Envelope::new(id, refund.user, now, None, command).encode();
        let payload = String::from_utf8(payload).map_err(invalid)?;
        insert_outbox(connection, COMMANDS_EXCHANGE, Role::Refund.as_str(), &payload, now).await?;
    }
    Ok(())
}

/// A refund's id as a column's value.
pub(super) fn column(refund: RefundId) -> Result<i64, sqlx::Error> {
    i64::try_from(refund.0).map_err(invalid)
}
