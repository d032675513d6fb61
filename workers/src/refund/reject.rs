//! `RejectRefund`: an administrator said no, and the held points are the user's again.

use super::{
    once::not_awaited,
    rows::{book, lock_refund, write_decision},
};
use crate::laddered::{ended, insert_event, invalid};
use contracts::{Envelope, Event, Outcome, RefundId, ResultCode, UnixMs};
use domain::{
    ledger::{Heading, Transfer},
    refund::{Decision, decide},
};
use serde_json::json;
use sqlx::MySqlConnection;

pub(super) async fn reject(
    connection: &mut MySqlConnection,
    envelope: &Envelope,
    refund: RefundId,
    reason: &str,
    now: UnixMs,
) -> Result<Outcome, sqlx::Error> {
    let Some(refund) = lock_refund(connection, refund).await? else { return Ok(not_awaited(envelope, now)) };
    let Some(state) = decide(refund.state, Decision::Reject) else { return Ok(not_awaited(envelope, now)) };
    write_decision(connection, &refund, envelope, (state, Some(reason)), now).await?;
    let heading = Heading { command: envelope.id, no: 0, reference: format!("refund-{}", refund.id), at: now };
    let transfer = Transfer::refund_returned(heading, refund.user, refund.amount).map_err(invalid)?;
    book(connection, refund.user, &transfer).await?;
    let event = Event::RefundRejected { refund: refund.id, user: refund.user, amount: refund.amount, at: now };
    insert_event(connection, envelope.id, event, now).await?;
    Ok(ended(envelope, ResultCode::Ok, json!({}), now))
}
