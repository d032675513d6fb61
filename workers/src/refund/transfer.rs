//! `ConfirmPayout` and `FailPayout`: what became of a payout leg's transfer; or of a cancel leg whose command is suspended,
//! as the person says who compared it with Toss. Of two that contradict each other, the first one counts: the other meets a
//! leg that has ended.

use super::{
    once::{column, not_awaited},
    rows::{Refund, book, book_cancel, end_if_last, leg_reference, lock_refund},
};
use crate::laddered::{ended, insert_event, invalid};
use contracts::{CommandState, Envelope, Event, Outcome, RefundId, ResultCode, UnixMs, Won};
use domain::{
    UnknownWord,
    ledger::{Heading, Transfer},
    refund::{LegState, Route, Transferred, after_transfer},
};
use serde_json::json;
use sqlx::MySqlConnection;

/// A leg of any route.
struct Leg {
    route: Route,
    state: LegState,
    amount: Won,
    order_id: Option<String>,
}

/// The user has the money: the points leave the ledger.
pub(super) async fn made(
    connection: &mut MySqlConnection,
    envelope: &Envelope,
    leg: (RefundId, u32),
    now: UnixMs,
) -> Result<Outcome, sqlx::Error> {
    let Some((refund, ended_leg)) = end_leg(connection, envelope, leg, (Transferred::Made, None), now).await? else {
        return Ok(not_awaited(envelope, now));
    };
    let heading = Heading { command: envelope.id, no: 0, reference: leg_reference(leg.0, leg.1), at: now };
    if let Some(order_id) = &ended_leg.order_id {
        if !book_cancel(connection, heading, refund.user, order_id, ended_leg.amount).await? {
            return Err(invalid(format!("charge {order_id} has less left than leg {} of refund {}", leg.1, leg.0)));
        }
    } else {
        let transfer = Transfer::refund_paid_by_payout(heading, refund.user, ended_leg.amount).map_err(invalid)?;
        book(connection, refund.user, &transfer).await?;
    }
    end_if_last(connection, envelope, &refund, now).await?;
    Ok(ended(envelope, ResultCode::Ok, json!({}), now))
}

/// The transfer cannot be made: the points are the user's again.
pub(super) async fn failed(
    connection: &mut MySqlConnection,
    envelope: &Envelope,
    leg: (RefundId, u32),
    reason: &str,
    now: UnixMs,
) -> Result<Outcome, sqlx::Error> {
    let ended_leg = end_leg(connection, envelope, leg, (Transferred::Failed, Some(reason)), now).await?;
    let Some((refund, Leg { amount, .. })) = ended_leg else { return Ok(not_awaited(envelope, now)) };
    let heading = Heading { command: envelope.id, no: 0, reference: leg_reference(leg.0, leg.1), at: now };
    let transfer = Transfer::refund_returned(heading, refund.user, amount).map_err(invalid)?;
    book(connection, refund.user, &transfer).await?;
    let event = Event::PayoutReturned { refund: refund.id, leg: leg.1, user: refund.user, amount, at: now };
    insert_event(connection, envelope.id, event, now).await?;
    end_if_last(connection, envelope, &refund, now).await?;
    Ok(ended(envelope, ResultCode::Ok, json!({}), now))
}

/// Ends a leg that awaits its transfer: its refund, locked, and the leg; `None` when no such leg awaits one.
async fn end_leg(
    connection: &mut MySqlConnection,
    envelope: &Envelope,
    (refund, leg_no): (RefundId, u32),
    (transferred, reason): (Transferred, Option<&str>),
    now: UnixMs,
) -> Result<Option<(Refund, Leg)>, sqlx::Error> {
    let is_suspended = lock_command(connection, (refund, leg_no)).await?;
    let Some(refund) = lock_refund(connection, refund).await? else { return Ok(None) };
    let Some(leg) = lock_leg(connection, refund.id, leg_no).await? else { return Ok(None) };
    let Some(state) = after_transfer(leg.route, leg.state, is_suspended, transferred) else { return Ok(None) };
    sqlx::query!(
        "UPDATE refund_legs SET state = ?, failure_reason = ?, command_id = ?, updated_at_ms = ?
         WHERE refund_id = ? AND leg_no = ?",
        state.as_str(),
        reason,
        &envelope.id.bytes()[..],
        now.0,
        column(refund.id)?,
        leg_no
    )
    .execute(connection)
    .await?;
    Ok(Some((refund, leg)))
}

/// Locks the command that pays a leg, before refund and leg as that one does; whether it is suspended.
async fn lock_command(
    connection: &mut MySqlConnection,
    (refund, leg_no): (RefundId, u32),
) -> Result<bool, sqlx::Error> {
    let of_leg = sqlx::query_scalar!(
        "SELECT command_id FROM refund_legs WHERE refund_id = ? AND leg_no = ?",
        column(refund)?,
        leg_no
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(command) = of_leg else { return Ok(false) };
    let state = sqlx::query_scalar!("SELECT state FROM commands WHERE command_id = ? FOR UPDATE", command)
        .fetch_optional(connection)
        .await?;
    Ok(state.is_some_and(|state| state == CommandState::Suspended.as_str()))
}

async fn lock_leg(connection: &mut MySqlConnection, refund: RefundId, leg_no: u32) -> Result<Option<Leg>, sqlx::Error> {
    let found = sqlx::query!(
        "SELECT route, state, amount, order_id FROM refund_legs WHERE refund_id = ? AND leg_no = ? FOR UPDATE",
        column(refund)?,
        leg_no
    )
    .fetch_optional(connection)
    .await?;
    let Some(row) = found else { return Ok(None) };
    let unknown = |error: UnknownWord| invalid(error);
    let (route, state) = (row.route.parse().map_err(unknown)?, row.state.parse().map_err(unknown)?);
    Ok(Some(Leg { route, state, amount: Won(row.amount), order_id: row.order_id }))
}
