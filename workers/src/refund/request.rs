//! `RequestRefund`: the points are held, the wish is noted.

use crate::laddered::{debt, ended, find_balance, insert_transfer, invalid, user_id, write_balance};
use contracts::{Command, Envelope, Outcome, ResultCode, UnixMs, Won};
use domain::{
    ledger::{Heading, Transfer, apply},
    refund::State,
};
use serde_json::json;
use sqlx::MySqlConnection;

pub(super) async fn hold(
    connection: &mut MySqlConnection,
    envelope: &Envelope,
    now: UnixMs,
) -> Result<Outcome, sqlx::Error> {
    let Command::RequestRefund { point, bank, account_cipher, account_masked, .. } = &envelope.command else {
        return Err(invalid("not a RequestRefund"));
    };
    if *point <= Won::ZERO {
        return Ok(ended(envelope, ResultCode::InvalidInput, json!({}), now));
    }
    let Some(mut points) = find_balance(connection, envelope.user).await? else {
        return Ok(ended(envelope, ResultCode::UserNotFound, json!({}), now));
    };
    if debt(connection, envelope.user).await? > Won::ZERO {
        return Ok(ended(envelope, ResultCode::DebtOpen, json!({}), now));
    }
    if points.available < *point {
        return Ok(ended(envelope, ResultCode::NotEnoughPoints, json!({}), now));
    }
    let inserted = sqlx::query!(
        "INSERT INTO refunds (user_id, amount, bank, account_cipher, account_masked, state, command_id, created_at_ms,
                              updated_at_ms)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        user_id(envelope.user),
        point.0,
        bank,
        account_cipher,
        account_masked,
        State::Requested.as_str(),
        &envelope.id.bytes()[..],
        now.0,
        now.0
    )
    .execute(&mut *connection)
    .await?;
    let reference = format!("refund-{}", inserted.last_insert_id());
    let heading = Heading { command: envelope.id, no: 0, reference, at: now };
    let transfer = Transfer::refund_hold(heading, envelope.user, *point).map_err(invalid)?;
    apply(&mut points, envelope.user, &transfer).map_err(invalid)?;
    write_balance(connection, envelope.user, &points).await?;
    insert_transfer(connection, &transfer).await?;
    let data = json!({"refundPoint": point, "userPoint": points.available});
    Ok(ended(envelope, ResultCode::Ok, data, now))
}
