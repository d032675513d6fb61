//! The payment worker's SQL up to the call to Toss; what follows from its answer is [`super::settle`]'s.
//!
//! Promises: every function is one transaction (or one statement) and holds its connection no longer. Locks are taken in
//! one order: command, payment, balance, receivable.
//! Doesn't: call Toss.

use crate::laddered::{
    Fault, Foundation, Inbox, Standing, again_on_contention, command_id, ended, invalid, is_expired, user_id,
};
use contracts::{Envelope, Outcome, ResultCode, UnixMs, Won};
use domain::payment::{Charge, State};
use platform::{
    database::{is_duplicate, within},
    halt,
};
use serde_json::json;
use sqlx::{MySqlConnection, MySqlPool};
use std::time::Duration;

/// `payments.failure_code`'s width.
pub(super) const MAX_CODE_CHARS: usize = 100;

/// What a person reads about a replayed charge whose body was changed.
const OTHER_KEY: &str = "the charge is being confirmed under another payment key: replay the unedited body";

/// What the command asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) order_id: &'a str,
    pub(super) payment_key: &'a str,
    pub(super) amount: Won,
    pub(super) confirm_by: UnixMs,
}

/// Where the charge stands, by our books.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stored {
    pub(super) attempt: u16,
    pub(super) is_key_spent: bool,
    /// As it was when the first key was taken. A replayed body may say otherwise, and would have old keys sent again.
    pub(super) confirm_by: UnixMs,
}

impl Stored {
    pub(super) fn charge<'a>(self, asked: &Asked<'a>, confirm_sent: bool) -> Charge<'a> {
        Charge {
            state: State::Confirming,
            attempt: self.attempt,
            is_key_spent: self.is_key_spent,
            confirm_sent,
            order_id: asked.order_id,
            amount: asked.amount,
            confirm_by: self.confirm_by,
        }
    }
}

/// What the first transaction found.
#[derive(Debug)]
pub(super) enum Begun {
    Ended(Outcome),
    Superseded,
    /// A person must look, and at what.
    Person(&'static str),
    Confirming(Stored),
}

/// A payment's row.
pub(super) struct Row {
    user_id: i64,
    amount: i64,
    pub(super) state: String,
    command_id: Option<Vec<u8>>,
    payment_key: Option<String>,
    attempt: i16,
    failure_code: Option<String>,
    confirm_by_ms: Option<i64>,
}

pub(super) struct Store {
    pub(super) pool: MySqlPool,
    pub(super) limit: Duration,
}

impl Store {
    pub(super) fn new(foundation: &Foundation) -> Self {
        let limit = Duration::from_millis(foundation.config.database.statement_timeout_ms);
        Self { pool: foundation.database.clone(), limit }
    }

    /// Transaction 1: the command is executing and the payment confirming, before anything is sent.
    pub(super) async fn begin(&self, envelope: &Envelope, asked: &Asked<'_>, now: UnixMs) -> Result<Begun, Fault> {
        Ok(again_on_contention(|| self.try_begin(envelope, asked, now)).await?)
    }

    async fn try_begin(&self, envelope: &Envelope, asked: &Asked<'_>, now: UnixMs) -> Result<Begun, sqlx::Error> {
        let mut transaction = within(self.limit, self.pool.begin()).await?;
        within(self.limit, async {
            let standing = match Inbox::lock(&mut transaction, envelope).await? {
                Standing::Ended(outcome) => return Ok(Begun::Ended(outcome)),
                Standing::Superseded => return Ok(Begun::Superseded),
                standing => standing,
            };
            let found = lock_payment(&mut transaction, asked.order_id).await?;
            let begun = match admit(envelope, asked, found.as_ref(), &standing, now)? {
                Admitted::Refused(code) => {
                    let outcome = ended(envelope, code, json!({}), now);
                    Inbox::end(&mut transaction, envelope, &standing, &outcome).await?;
                    Begun::Ended(outcome)
                }
                Admitted::OtherKey => return Ok(Begun::Person(OTHER_KEY)),
                Admitted::Again(stored) => {
                    Inbox::executing(&mut transaction, envelope, &standing, now).await?;
                    Begun::Confirming(stored)
                }
                Admitted::First => {
                    // Past its window nothing is sent any more, so there is no first key.
                    let attempt = u16::from(now < asked.confirm_by);
                    if start(&mut transaction, envelope, asked, attempt, now).await? {
                        Inbox::executing(&mut transaction, envelope, &standing, now).await?;
                        let confirm_by = asked.confirm_by;
                        Begun::Confirming(Stored { attempt, is_key_spent: false, confirm_by })
                    } else {
                        let outcome = ended(envelope, ResultCode::PaymentNotFound, json!({}), now);
                        Inbox::end(&mut transaction, envelope, &standing, &outcome).await?;
                        Begun::Ended(outcome)
                    }
                }
            };
            halt::around("payment.begin", transaction.commit()).await?;
            Ok(begun)
        })
        .await
    }

    /// Stores the number of the next key before it is used. `false`: another delivery was faster.
    pub(super) async fn take_key(&self, asked: &Asked<'_>, from: u16, to: u16) -> Result<bool, Fault> {
        let taken = again_on_contention(|| async {
            let write = sqlx::query!(
                "UPDATE payments SET attempt = ?, failure_code = NULL
                 WHERE order_id = ? AND attempt = ? AND state = 'confirming'",
                number(to),
                asked.order_id,
                number(from)
            )
            .execute(&self.pool);
            halt::around("payment.take_key", within(self.limit, write)).await
        })
        .await?;
        Ok(taken.rows_affected() == 1)
    }

    /// Notes that the present key was answered, and with what: it is of no more use.
    pub(super) async fn note_refusal(&self, asked: &Asked<'_>, attempt: u16, code: &str) -> Result<(), Fault> {
        let code: String = code.chars().take(MAX_CODE_CHARS).collect();
        again_on_contention(|| async {
            let write = sqlx::query!(
                "UPDATE payments SET failure_code = ? WHERE order_id = ? AND attempt = ? AND state = 'confirming'",
                code,
                asked.order_id,
                number(attempt)
            )
            .execute(&self.pool);
            halt::around("payment.note_refusal", within(self.limit, write)).await
        })
        .await?;
        Ok(())
    }
}

/// What may become of a command, given its payment.
enum Admitted {
    First,
    Again(Stored),
    /// It began under another payment key.
    OtherKey,
    Refused(ResultCode),
}

fn admit(
    envelope: &Envelope,
    asked: &Asked<'_>,
    found: Option<&Row>,
    standing: &Standing,
    now: UnixMs,
) -> Result<Admitted, sqlx::Error> {
    let mine = found.filter(|row| row.user_id == user_id(envelope.user));
    let Some(row) = mine else { return Ok(Admitted::Refused(ResultCode::PaymentNotFound)) };
    if row.amount != asked.amount.0 {
        return Ok(Admitted::Refused(ResultCode::AmountMismatch));
    }
    let state: State = row.state.parse().map_err(|error: domain::UnknownWord| invalid(error))?;
    match state {
        State::Requested if matches!(standing, Standing::Fresh) && is_expired(envelope, now) => {
            Ok(Admitted::Refused(ResultCode::CommandExpired))
        }
        State::Requested => Ok(Admitted::First),
        State::Confirming if is_same_command(envelope, row)? => {
            // An edited replay may not forget the payment that the first body may have paid.
            if row.payment_key.as_deref() != Some(asked.payment_key) {
                return Ok(Admitted::OtherKey);
            }
            let attempt = u16::try_from(row.attempt).map_err(invalid)?;
            let confirm_by = row.confirm_by_ms.map_or(asked.confirm_by, UnixMs);
            Ok(Admitted::Again(Stored { attempt, is_key_spent: row.failure_code.is_some(), confirm_by }))
        }
        // It ended, or another command is at it.
        State::Confirming | State::AwaitingDeposit | State::Done | State::Failed => {
            Ok(Admitted::Refused(ResultCode::PaymentNotFound))
        }
    }
}

pub(super) fn is_same_command(envelope: &Envelope, row: &Row) -> Result<bool, sqlx::Error> {
    let command = row.command_id.as_deref().map(command_id).transpose()?;
    Ok(command == Some(envelope.id))
}

pub(super) async fn lock_payment(connection: &mut MySqlConnection, order_id: &str) -> Result<Option<Row>, sqlx::Error> {
    sqlx::query_as!(
        Row,
        "SELECT user_id, amount, state, command_id, payment_key, attempt, failure_code, confirm_by_ms FROM payments
         WHERE order_id = ? FOR UPDATE",
        order_id
    )
    .fetch_optional(connection)
    .await
}

/// `requested` → `confirming`. `false`: another order has this payment key.
async fn start(
    connection: &mut MySqlConnection,
    envelope: &Envelope,
    asked: &Asked<'_>,
    attempt: u16,
    now: UnixMs,
) -> Result<bool, sqlx::Error> {
    let written = sqlx::query!(
        "UPDATE payments SET state = 'confirming', payment_key = ?, command_id = ?, attempt = ?, confirm_by_ms = ?,
                             updated_at_ms = ?
         WHERE order_id = ? AND state = 'requested'",
        asked.payment_key,
        &envelope.id.bytes()[..],
        number(attempt),
        asked.confirm_by.0,
        now.0,
        asked.order_id
    )
    .execute(connection)
    .await;
    match written {
        Ok(_) => Ok(true),
        Err(error) if is_duplicate(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

fn number(attempt: u16) -> i16 {
    i16::try_from(attempt).unwrap_or(i16::MAX)
}
