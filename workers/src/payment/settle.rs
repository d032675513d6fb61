//! What follows from an answer of Toss's, in the transaction that ends the command: credited, awaited, or failed.
//!
//! Promises: as [`super::store`]'s. What is credited is what Toss holds: a part that others have cancelled already goes in
//! the same transaction.

use super::{
    debt::repay,
    follow,
    store::{Asked, MAX_CODE_CHARS, Store, is_same_command, lock_payment},
};
use crate::laddered::{
    Fault, Inbox, Standing, again_on_contention, balance, ended, insert_event, insert_transfer, invalid, write_balance,
};
use contracts::{Envelope, Event, Outcome, ResultCode, UnixMs, Won};
use domain::{
    ledger::{Heading, Transfer, apply},
    payment::State,
};
use platform::{database::within, halt};
use serde_json::json;
use sqlx::MySqlConnection;
use toss::Payment;

/// A stored Payment object longer than this is cut down to what the front end is shown.
const MAX_STORED_PAYMENT_BYTES: usize = 60_000;
/// Transfers of a credit before those that take a part of it back.
const TRANSFERS_OF_A_CREDIT: u16 = 2;

impl Store {
    /// Transaction 2, when the money was taken: credit it, once.
    pub(super) async fn credit(
        &self,
        envelope: &Envelope,
        asked: &Asked<'_>,
        payment: &Payment,
        now: UnixMs,
    ) -> Result<Outcome, Fault> {
        Ok(again_on_contention(|| self.try_credit(envelope, asked, payment, now)).await?)
    }

    async fn try_credit(
        &self,
        envelope: &Envelope,
        asked: &Asked<'_>,
        payment: &Payment,
        now: UnixMs,
    ) -> Result<Outcome, sqlx::Error> {
        let mut transaction = within(self.limit, self.pool.begin()).await?;
        within(self.limit, async {
            let standing = Inbox::lock(&mut transaction, envelope).await?;
            if let Standing::Ended(outcome) = standing {
                return Ok(outcome);
            }
            check_confirming(&mut transaction, envelope, asked).await?;
            let heading = Heading { command: envelope.id, no: 0, reference: asked.order_id.to_owned(), at: now };
            let transfer = Transfer::charge(heading, envelope.user, asked.amount).map_err(invalid)?;
            let mut points = balance(&mut transaction, envelope.user).await?;
            apply(&mut points, envelope.user, &transfer).map_err(invalid)?;
            insert_transfer(&mut transaction, &transfer).await?;
            let heading = Heading { command: envelope.id, no: 1, reference: asked.order_id.to_owned(), at: now };
            repay(&mut transaction, heading, envelope.user, &mut points).await?;
            write_balance(&mut transaction, envelope.user, &points).await?;
            sqlx::query!(
                "UPDATE payments SET state = 'done', toss_payment = ?, webhook_secret = ?, failure_code = NULL,
                                     failure_message = NULL, updated_at_ms = ?
                 WHERE order_id = ?",
                stored_payment(payment),
                webhook_secret(payment),
                now.0,
                asked.order_id
            )
            .execute(&mut *transaction)
            .await?;
            let event = Event::ChargeConfirmed {
                order_id: asked.order_id.to_owned(),
                user: envelope.user,
                amount: asked.amount,
                at: now,
            };
            insert_event(&mut transaction, envelope.id, event, now).await?;
            if payment.cancelled_amount() > Won::ZERO {
                let heading = Heading {
                    command: envelope.id,
                    no: TRANSFERS_OF_A_CREDIT,
                    reference: asked.order_id.to_owned(),
                    at: now,
                };
                follow::take_back(&mut transaction, heading, payment).await?;
            }
            let outcome = ended(envelope, ResultCode::Ok, payment.for_front_end(), now);
            Inbox::end(&mut transaction, envelope, &standing, &outcome).await?;
            halt::around("payment.credit", transaction.commit()).await?;
            Ok(outcome)
        })
        .await
    }

    /// Transaction 2, when a virtual account was issued: the command ends, and the deposit is credited by another.
    pub(super) async fn await_deposit(
        &self,
        envelope: &Envelope,
        asked: &Asked<'_>,
        payment: &Payment,
        now: UnixMs,
    ) -> Result<Outcome, Fault> {
        Ok(again_on_contention(|| self.try_await_deposit(envelope, asked, payment, now)).await?)
    }

    async fn try_await_deposit(
        &self,
        envelope: &Envelope,
        asked: &Asked<'_>,
        payment: &Payment,
        now: UnixMs,
    ) -> Result<Outcome, sqlx::Error> {
        let mut transaction = within(self.limit, self.pool.begin()).await?;
        within(self.limit, async {
            let standing = Inbox::lock(&mut transaction, envelope).await?;
            if let Standing::Ended(outcome) = standing {
                return Ok(outcome);
            }
            check_confirming(&mut transaction, envelope, asked).await?;
            sqlx::query!(
                "UPDATE payments SET state = 'awaiting_deposit', toss_payment = ?, webhook_secret = ?, failure_code = NULL,
                                     failure_message = NULL, updated_at_ms = ?
                 WHERE order_id = ?",
                stored_payment(payment),
                webhook_secret(payment),
                now.0,
                asked.order_id
            )
            .execute(&mut *transaction)
            .await?;
            let outcome = ended(envelope, ResultCode::Ok, payment.for_front_end(), now);
            Inbox::end(&mut transaction, envelope, &standing, &outcome).await?;
            halt::around("payment.await_deposit", transaction.commit()).await?;
            Ok(outcome)
        })
        .await
    }

    /// Transaction 2, when nothing was taken.
    pub(super) async fn fail(
        &self,
        envelope: &Envelope,
        asked: &Asked<'_>,
        code: &str,
        now: UnixMs,
    ) -> Result<Outcome, Fault> {
        Ok(again_on_contention(|| self.try_fail(envelope, asked, code, now)).await?)
    }

    async fn try_fail(
        &self,
        envelope: &Envelope,
        asked: &Asked<'_>,
        code: &str,
        now: UnixMs,
    ) -> Result<Outcome, sqlx::Error> {
        let mut transaction = within(self.limit, self.pool.begin()).await?;
        within(self.limit, async {
            let standing = Inbox::lock(&mut transaction, envelope).await?;
            if let Standing::Ended(outcome) = standing {
                return Ok(outcome);
            }
            check_confirming(&mut transaction, envelope, asked).await?;
            let code: String = code.chars().take(MAX_CODE_CHARS).collect();
            sqlx::query!(
                "UPDATE payments SET state = 'failed', failure_code = ?, updated_at_ms = ? WHERE order_id = ?",
                code,
                now.0,
                asked.order_id
            )
            .execute(&mut *transaction)
            .await?;
            let outcome = ended(envelope, ResultCode::TossFailed, json!({}), now);
            Inbox::end(&mut transaction, envelope, &standing, &outcome).await?;
            halt::around("payment.fail", transaction.commit()).await?;
            Ok(outcome)
        })
        .await
    }
}

/// Locks the payment and makes sure that it still is this command's.
async fn check_confirming(
    connection: &mut MySqlConnection,
    envelope: &Envelope,
    asked: &Asked<'_>,
) -> Result<(), sqlx::Error> {
    let row = lock_payment(connection, asked.order_id).await?;
    let confirming = row.filter(|row| row.state == State::Confirming.as_str());
    match confirming {
        Some(row) if is_same_command(envelope, &row)? => Ok(()),
        _ => Err(invalid(format!("payment {} is no longer being confirmed by this command", asked.order_id))),
    }
}

/// `payments.webhook_secret`'s width. Without one only look-ups tell of a deposit.
const MAX_SECRET_BYTES: usize = 100;

pub(super) fn webhook_secret(payment: &Payment) -> Option<&str> {
    let fits = |secret: &&str| (1..=MAX_SECRET_BYTES).contains(&secret.len()) && secret.is_ascii();
    payment.secret.as_deref().filter(fits)
}

/// What is not secret of it; what would not fit keeps what the front end is shown.
pub(super) fn stored_payment(payment: &Payment) -> String {
    let all = payment.for_storage().to_string();
    if all.len() <= MAX_STORED_PAYMENT_BYTES { all } else { payment.for_front_end().to_string() }
}
