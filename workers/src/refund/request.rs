//! `RequestRefund`: the points are held, the wish is noted.

use super::Store;
use crate::laddered::{
    Ending, Fault, Inbox, Standing, again_on_contention, debt, ended, find_balance, insert_transfer, invalid,
    is_expired, is_stale, user_id, write_balance,
};
use contracts::{Command, Envelope, Outcome, ResultCode, UnixMs, Won};
use domain::{
    ledger::{Heading, Transfer, apply},
    refund::State,
};
use platform::database::within;
use serde_json::json;
use sqlx::MySqlConnection;

impl Store {
    pub(super) async fn request(&self, envelope: &Envelope, now: UnixMs) -> Result<Ending, Fault> {
        Ok(again_on_contention(|| self.try_request(envelope, now)).await?)
    }

    async fn try_request(&self, envelope: &Envelope, now: UnixMs) -> Result<Ending, sqlx::Error> {
        let mut transaction = within(self.limit, self.pool.begin()).await?;
        within(self.limit, async {
            let standing = match Inbox::lock(&mut transaction, envelope).await? {
                Standing::Ended(outcome) => return Ok(Ending::Ended(outcome)),
                Standing::Superseded => return Ok(Ending::Superseded),
                standing => standing,
            };
            let outcome = if is_expired(envelope, now) || is_stale(envelope, now) {
                ended(envelope, ResultCode::CommandExpired, json!({}), now)
            } else {
                hold(&mut transaction, envelope, now).await?
            };
            Inbox::end(&mut transaction, envelope, &standing, &outcome).await?;
            transaction.commit().await?;
            Ok(Ending::Ended(outcome))
        })
        .await
    }
}

async fn hold(connection: &mut MySqlConnection, envelope: &Envelope, now: UnixMs) -> Result<Outcome, sqlx::Error> {
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
