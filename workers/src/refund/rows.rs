//! The rows of refunds and their legs, as every command of theirs reads and ends them.

use super::once::column;
use crate::laddered::{balance, insert_event, insert_transfer, invalid, write_balance};
use contracts::{CommandId, Envelope, Event, RefundId, UnixMs, UserId, Won};
use domain::{
    UnknownWord,
    ledger::{Heading, Transfer, apply},
    payment,
    refund::{LegState, Route, State, end},
};
use sqlx::MySqlConnection;

/// A refund.
pub(super) struct Refund {
    pub(super) id: RefundId,
    pub(super) user: UserId,
    pub(super) amount: Won,
    pub(super) state: State,
}

/// A leg that nobody has begun to pay.
pub(super) struct PlannedLeg<'a> {
    pub(super) refund: RefundId,
    pub(super) leg_no: u32,
    pub(super) route: Route,
    /// The charge that it cancels.
    pub(super) order_id: Option<&'a str>,
    pub(super) amount: Won,
    pub(super) command: CommandId,
}

/// Locks and reads a refund.
pub(super) async fn lock_refund(
    connection: &mut MySqlConnection,
    refund: RefundId,
) -> Result<Option<Refund>, sqlx::Error> {
    let found =
        sqlx::query!("SELECT user_id, amount, state FROM refunds WHERE refund_id = ? FOR UPDATE", column(refund)?)
            .fetch_optional(connection)
            .await?;
    let Some(row) = found else { return Ok(None) };
    let user = UserId(u64::try_from(row.user_id).map_err(invalid)?);
    let state = row.state.parse().map_err(|error: UnknownWord| invalid(error))?;
    Ok(Some(Refund { id: refund, user, amount: Won(row.amount), state }))
}

/// Writes what was decided on a locked refund, and by which command.
pub(super) async fn write_decision(
    connection: &mut MySqlConnection,
    refund: &Refund,
    envelope: &Envelope,
    (state, reject_reason): (State, Option<&str>),
    now: UnixMs,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE refunds SET state = ?, decision_id = ?, reject_reason = ?, updated_at_ms = ? WHERE refund_id = ?",
        state.as_str(),
        &envelope.id.bytes()[..],
        reject_reason,
        now.0,
        column(refund.id)?
    )
    .execute(connection)
    .await
    .map(drop)
}

pub(super) async fn insert_leg(
    connection: &mut MySqlConnection,
    leg: &PlannedLeg<'_>,
    now: UnixMs,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO refund_legs (refund_id, leg_no, route, order_id, amount, state, attempt, command_id, updated_at_ms)
         VALUES (?, ?, ?, ?, ?, ?, 0, ?, ?)",
        column(leg.refund)?,
        i16::try_from(leg.leg_no).map_err(invalid)?,
        leg.route.as_str(),
        leg.order_id,
        leg.amount.0,
        LegState::Planned.as_str(),
        &leg.command.bytes()[..],
        now.0
    )
    .execute(connection)
    .await
    .map(drop)
}

/// Books a transfer of `user`'s points.
pub(super) async fn book(
    connection: &mut MySqlConnection,
    user: UserId,
    transfer: &Transfer,
) -> Result<(), sqlx::Error> {
    let mut points = balance(connection, user).await?;
    apply(&mut points, user, transfer).map_err(invalid)?;
    write_balance(connection, user, &points).await?;
    insert_transfer(connection, transfer).await
}

/// What a charge can still give back, by our books.
pub(super) fn charge_left(state: &str, amount: i64, cancelled: i64, reversed: i64) -> Won {
    if state == payment::State::Done.as_str() {
        return Won(amount.saturating_sub(cancelled).saturating_sub(reversed));
    }
    // A deposit that the bank took back gives nothing back any more.
    Won::ZERO
}

/// Books that Toss gave a leg back: the points leave the ledger. `false`, and nothing is booked, when the charge has not
/// that much left by our books: others took it first, and were booked first.
pub(super) async fn book_cancel(
    connection: &mut MySqlConnection,
    heading: Heading,
    user: UserId,
    order_id: &str,
    amount: Won,
) -> Result<bool, sqlx::Error> {
    let row = sqlx::query!(
        "SELECT state, amount, cancelled_amount, reversed_amount FROM payments WHERE order_id = ? FOR UPDATE",
        order_id
    )
    .fetch_one(&mut *connection)
    .await?;
    if charge_left(&row.state, row.amount, row.cancelled_amount, row.reversed_amount) < amount {
        return Ok(false);
    }
    // A look-up that began before this is made again: it would take this cancel for one that our books lack.
    sqlx::query!(
        "UPDATE payments SET cancelled_amount = cancelled_amount + ?, looks = looks + 1, updated_at_ms = ?
         WHERE order_id = ?",
        amount.0,
        heading.at.0,
        order_id
    )
    .execute(&mut *connection)
    .await?;
    let transfer = Transfer::refund_paid_by_cancel(heading, user, amount).map_err(invalid)?;
    book(connection, user, &transfer).await?;
    Ok(true)
}

/// What the ledger calls a leg.
pub(super) fn leg_reference(refund: RefundId, leg_no: u32) -> String {
    format!("refund-{refund}-{leg_no}")
}

/// Ends a locked refund if its last leg has just ended.
pub(super) async fn end_if_last(
    connection: &mut MySqlConnection,
    envelope: &Envelope,
    refund: &Refund,
    now: UnixMs,
) -> Result<(), sqlx::Error> {
    let legs = legs(connection, refund.id).await?;
    let Some(state) = end(legs.iter().map(|(state, _)| *state)) else { return Ok(()) };
    sqlx::query!(
        "UPDATE refunds SET state = ?, updated_at_ms = ? WHERE refund_id = ?",
        state.as_str(),
        now.0,
        column(refund.id)?
    )
    .execute(&mut *connection)
    .await?;
    let amount: Won = legs.iter().filter(|(state, _)| *state == LegState::Paid).map(|(_, amount)| *amount).sum();
    if amount == Won::ZERO {
        return Ok(());
    }
    let event = Event::RefundPaid { refund: refund.id, user: refund.user, amount, at: now };
    insert_event(connection, envelope.id, event, now).await
}

/// State and amount of each leg.
async fn legs(connection: &mut MySqlConnection, refund: RefundId) -> Result<Vec<(LegState, Won)>, sqlx::Error> {
    let rows = sqlx::query!("SELECT state, amount FROM refund_legs WHERE refund_id = ?", column(refund)?)
        .fetch_all(connection)
        .await?;
    let leg = |state: &str, amount| Ok((state.parse().map_err(|error: UnknownWord| invalid(error))?, Won(amount)));
    rows.into_iter().map(|row| leg(&row.state, row.amount)).collect()
}
