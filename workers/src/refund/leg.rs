//! The SQL of `CancelCharge`: one leg, from planned to paid or moved.

use super::{
    Store,
    once::column,
    payout,
    rows::{Refund, book_cancel, charge_left, end_if_last, leg_reference, lock_refund},
};
use crate::laddered::{Fault, Inbox, Standing, again_on_contention, debt, ended, insert_command, invalid};
use contracts::{Command, CommandId, Envelope, Outcome, RefundId, ResultCode, UnixMs, UserId, Won, topology::Role};
use domain::{
    ledger::Heading,
    refund::{
        LegState, Route, cancel_reason,
        leg::{Leg, Sent},
    },
};
use platform::{database::within, halt};
use serde_json::json;
use sqlx::MySqlConnection;
use std::time::Duration;

/// The failure code of a leg whose charge others took back, or whose user owes what they took.
const TAKEN_BACK: &str = "CHARGE_TAKEN_BACK";
/// `refund_legs.failure_code`'s width.
const MAX_CODE_CHARS: usize = 100;

/// Where the leg stands, by our books.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    refund: RefundId,
    leg_no: u32,
    user: UserId,
    order_id: String,
    state: LegState,
    key_since: UnixMs,
    cancelled_before: Won,
    charge_left: Won,
    may_be_sent_elsewhere: bool,
    pub(super) payment_key: String,
    pub(super) amount: Won,
    pub(super) attempt: u16,
    pub(super) is_key_spent: bool,
    pub(super) reason: String,
}

impl Stored {
    pub(super) fn leg(&self, sent: Sent) -> Leg<'_> {
        Leg {
            state: self.state,
            attempt: self.attempt,
            key_since: self.key_since,
            is_key_spent: self.is_key_spent,
            may_be_sent_elsewhere: self.may_be_sent_elsewhere,
            sent,
            amount: self.amount,
            reason: &self.reason,
            cancelled_before: self.cancelled_before,
            charge_left: self.charge_left,
        }
    }
}

/// What the first transaction found.
#[derive(Debug)]
pub(super) enum Begun {
    Ended(Outcome),
    Superseded,
    Executing(Stored),
}

impl Store {
    /// Transaction 1: the command and the leg are executing, before anything is sent.
    pub(super) async fn begin_leg(
        &self,
        envelope: &Envelope,
        refund: RefundId,
        leg_no: u32,
        sender_limit: Duration,
        now: UnixMs,
    ) -> Result<Begun, Fault> {
        Ok(again_on_contention(|| self.try_begin_leg(envelope, refund, leg_no, sender_limit, now)).await?)
    }

    async fn try_begin_leg(
        &self,
        envelope: &Envelope,
        refund: RefundId,
        leg_no: u32,
        sender_limit: Duration,
        now: UnixMs,
    ) -> Result<Begun, sqlx::Error> {
        let mut transaction = within(self.limit, self.pool.begin()).await?;
        within(self.limit, async {
            let standing = match Inbox::lock(&mut transaction, envelope).await? {
                Standing::Ended(outcome) => return Ok(Begun::Ended(outcome)),
                Standing::Superseded => return Ok(Begun::Superseded),
                standing => standing,
            };
            let found = lock_leg(&mut transaction, refund, leg_no).await?;
            let mut stored = match found.ok_or(ResultCode::RefundNotFound).and_then(still_open) {
                Ok(stored) => stored,
                Err(code) => {
                    let outcome = ended(envelope, code, json!({}), now);
                    Inbox::end(&mut transaction, envelope, &standing, &outcome).await?;
                    halt::around("refund.begin", transaction.commit()).await?;
                    return Ok(Begun::Ended(outcome));
                }
            };
            if let Standing::Unfinished { since: Some(since) } = standing {
                let limit_ms = i64::try_from(sender_limit.as_millis()).unwrap_or(i64::MAX);
                stored.may_be_sent_elsewhere = now.ms_since(since) < limit_ms;
            }
            // Who owes is paid nothing: as a payout the leg waits for the debt (only such are frozen).
            if stored.state == LegState::Planned && debt(&mut transaction, stored.user).await? > Won::ZERO {
                stored.charge_left = Won::ZERO;
            }
            // Where the charge has nothing left, no key is taken: the rules move the leg without asking Toss.
            if stored.state == LegState::Planned && stored.charge_left >= stored.amount {
                write_key(&mut transaction, &stored, 1, now).await?;
                (stored.state, stored.attempt, stored.key_since) = (LegState::Executing, 1, now);
            }
            Inbox::executing(&mut transaction, envelope, &standing, now).await?;
            halt::around("refund.begin", transaction.commit()).await?;
            Ok(Begun::Executing(stored))
        })
        .await
    }

    /// Stores the number of the next key before it is used. `false`: another delivery was faster.
    pub(super) async fn take_key(&self, stored: &Stored, attempt: u16, now: UnixMs) -> Result<bool, Fault> {
        let taken = again_on_contention(|| async {
            let mut connection = self.pool.acquire().await?;
            let write = write_key(&mut connection, stored, attempt, now);
            halt::around("refund.take_key", within(self.limit, write)).await
        });
        Ok(taken.await?)
    }

    /// Notes that the present key was answered, and with what: it is of no more use.
    pub(super) async fn note_refusal(&self, stored: &Stored, code: &str) -> Result<(), Fault> {
        let code: String = code.chars().take(MAX_CODE_CHARS).collect();
        let refund = column(stored.refund)?;
        again_on_contention(|| async {
            let write = sqlx::query!(
                "UPDATE refund_legs SET failure_code = ?
                 WHERE refund_id = ? AND leg_no = ? AND attempt = ? AND state = 'executing'",
                code,
                refund,
                stored.leg_no,
                stored.attempt
            )
            .execute(&self.pool);
            halt::around("refund.note_refusal", within(self.limit, write)).await
        })
        .await?;
        Ok(())
    }

    /// Transaction 2, when Toss gave the money back: the leg is paid, and with the last leg the refund.
    pub(super) async fn pay_leg(&self, envelope: &Envelope, stored: &Stored, now: UnixMs) -> Result<Outcome, Fault> {
        Ok(again_on_contention(|| self.try_pay_leg(envelope, stored, now)).await?)
    }

    async fn try_pay_leg(&self, envelope: &Envelope, stored: &Stored, now: UnixMs) -> Result<Outcome, sqlx::Error> {
        let mut transaction = within(self.limit, self.pool.begin()).await?;
        within(self.limit, async {
            let standing = Inbox::lock(&mut transaction, envelope).await?;
            if let Standing::Ended(outcome) = standing {
                return Ok(outcome);
            }
            let refund = refund_of(&mut transaction, stored).await?;
            check_open(&mut transaction, stored).await?;
            let reference = leg_reference(stored.refund, stored.leg_no);
            let heading = Heading { command: envelope.id, no: 0, reference, at: now };
            let code = if book_cancel(&mut transaction, heading, stored.user, &stored.order_id, stored.amount).await? {
                end_leg(&mut transaction, stored, LegState::Paid, None, now).await?;
                end_if_last(&mut transaction, envelope, &refund, now).await?;
                ResultCode::Ok
            } else {
                // The bank took the deposit back first. That was the money; what Toss cancelled was the empty account.
                self.replace(&mut transaction, stored, TAKEN_BACK, now).await?;
                ResultCode::TossFailed
            };
            let outcome = ended(envelope, code, json!({}), now);
            Inbox::end(&mut transaction, envelope, &standing, &outcome).await?;
            halt::around("refund.pay", transaction.commit()).await?;
            Ok(outcome)
        })
        .await
    }

    /// Transaction 2, when Toss refused for good: a payout leg takes this one's place.
    pub(super) async fn move_leg(
        &self,
        envelope: &Envelope,
        stored: &Stored,
        code: &str,
        now: UnixMs,
    ) -> Result<Outcome, Fault> {
        Ok(again_on_contention(|| self.try_move_leg(envelope, stored, code, now)).await?)
    }

    async fn try_move_leg(
        &self,
        envelope: &Envelope,
        stored: &Stored,
        code: &str,
        now: UnixMs,
    ) -> Result<Outcome, sqlx::Error> {
        let mut transaction = within(self.limit, self.pool.begin()).await?;
        within(self.limit, async {
            let standing = Inbox::lock(&mut transaction, envelope).await?;
            if let Standing::Ended(outcome) = standing {
                return Ok(outcome);
            }
            refund_of(&mut transaction, stored).await?;
            check_open(&mut transaction, stored).await?;
            self.replace(&mut transaction, stored, if code.is_empty() { TAKEN_BACK } else { code }, now).await?;
            let outcome = ended(envelope, ResultCode::TossFailed, json!({}), now);
            Inbox::end(&mut transaction, envelope, &standing, &outcome).await?;
            halt::around("refund.move", transaction.commit()).await?;
            Ok(outcome)
        })
        .await
    }

    /// Ends the leg and plans a payout in its place. The charge is looked at again: where others have taken its money, our
    /// books must know before anybody transfers the payout.
    async fn replace(
        &self,
        connection: &mut MySqlConnection,
        stored: &Stored,
        code: &str,
        now: UnixMs,
    ) -> Result<(), sqlx::Error> {
        let code: String = code.chars().take(MAX_CODE_CHARS).collect();
        end_leg(connection, stored, LegState::Moved, Some(&code), now).await?;
        let leg = (stored.refund, next_leg_no(connection, stored.refund).await?);
        payout::plan(connection, &self.payouts, leg, stored.user, stored.amount, now).await?;
        let id = CommandId::derived(UserId::SYSTEM, "follow_moved", &leg_reference(stored.refund, stored.leg_no));
        let follow = Command::FollowPayment { order_id: stored.order_id.clone() };
        insert_command(connection, Role::Payment, &Envelope::new(id, UserId::SYSTEM, now, None, follow)).await
    }
}

/// A leg that a person ended while its command was suspended: the command ends as the leg did.
fn still_open(stored: Stored) -> Result<Stored, ResultCode> {
    match stored.state {
        LegState::Planned | LegState::Executing => Ok(stored),
        LegState::Paid => Err(ResultCode::Ok),
        LegState::Moved | LegState::Returned => Err(ResultCode::TossFailed),
    }
}

/// Locks a cancel leg and reads it with its charge; `None` when there is none by that number.
async fn lock_leg(
    connection: &mut MySqlConnection,
    refund: RefundId,
    leg_no: u32,
) -> Result<Option<Stored>, sqlx::Error> {
    let found = sqlx::query!(
        "SELECT route, order_id, amount, state, attempt, cancelled_before, failure_code, updated_at_ms
         FROM refund_legs WHERE refund_id = ? AND leg_no = ? FOR UPDATE",
        column(refund)?,
        leg_no
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(leg) = found.filter(|leg| leg.route == Route::Cancel.as_str()) else { return Ok(None) };
    let order_id = leg.order_id.ok_or_else(|| invalid("a cancel leg without its charge"))?;
    let charge = sqlx::query!(
        "SELECT user_id, payment_key, state, amount, cancelled_amount, reversed_amount FROM payments WHERE order_id = ?",
        order_id
    )
    .fetch_optional(connection)
    .await?;
    let charge = charge.ok_or_else(|| invalid(format!("a leg cancels the unknown charge {order_id}")))?;
    Ok(Some(Stored {
        refund,
        leg_no,
        user: UserId(u64::try_from(charge.user_id).map_err(invalid)?),
        state: leg.state.parse().map_err(|error: domain::UnknownWord| invalid(error))?,
        key_since: UnixMs(leg.updated_at_ms),
        cancelled_before: Won(leg.cancelled_before.unwrap_or(charge.cancelled_amount)),
        charge_left: charge_left(&charge.state, charge.amount, charge.cancelled_amount, charge.reversed_amount),
        may_be_sent_elsewhere: false,
        payment_key: charge.payment_key.ok_or_else(|| invalid(format!("charge {order_id} has no payment key")))?,
        amount: Won(leg.amount),
        attempt: u16::try_from(leg.attempt).map_err(invalid)?,
        is_key_spent: leg.failure_code.is_some(),
        reason: cancel_reason(refund, leg_no),
        order_id,
    }))
}

/// Stores the number of the next key; `false` when the present one is not `stored`'s.
async fn write_key(
    connection: &mut MySqlConnection,
    stored: &Stored,
    attempt: u16,
    now: UnixMs,
) -> Result<bool, sqlx::Error> {
    let written = sqlx::query!(
        "UPDATE refund_legs SET state = 'executing', attempt = ?, cancelled_before = ?, failure_code = NULL,
                                updated_at_ms = ?
         WHERE refund_id = ? AND leg_no = ? AND attempt = ? AND state IN ('planned', 'executing')",
        attempt,
        stored.cancelled_before.0,
        now.0,
        column(stored.refund)?,
        stored.leg_no,
        stored.attempt
    )
    .execute(connection)
    .await?;
    Ok(written.rows_affected() == 1)
}

/// Locks the leg's refund.
async fn refund_of(connection: &mut MySqlConnection, stored: &Stored) -> Result<Refund, sqlx::Error> {
    let refund = lock_refund(connection, stored.refund).await?;
    refund.ok_or_else(|| invalid(format!("refund {} is gone", stored.refund)))
}

/// Locks the leg and makes sure that it still is to be paid.
async fn check_open(connection: &mut MySqlConnection, stored: &Stored) -> Result<(), sqlx::Error> {
    let (refund, leg_no) = (stored.refund, stored.leg_no);
    let locked = lock_leg(connection, refund, leg_no).await?;
    if locked.is_some_and(|leg| still_open(leg).is_ok()) {
        return Ok(());
    }
    Err(invalid(format!("leg {leg_no} of refund {refund} is no longer being paid")))
}

async fn end_leg(
    connection: &mut MySqlConnection,
    stored: &Stored,
    state: LegState,
    code: Option<&str>,
    now: UnixMs,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE refund_legs SET state = ?, failure_code = ?, updated_at_ms = ? WHERE refund_id = ? AND leg_no = ?",
        state.as_str(),
        code,
        now.0,
        column(stored.refund)?,
        stored.leg_no
    )
    .execute(connection)
    .await
    .map(drop)
}

async fn next_leg_no(connection: &mut MySqlConnection, refund: RefundId) -> Result<u32, sqlx::Error> {
    let last = sqlx::query_scalar!(
        r#"SELECT CAST(COALESCE(MAX(leg_no), 0) AS SIGNED) AS "last!: i64" FROM refund_legs WHERE refund_id = ?"#,
        column(refund)?
    )
    .fetch_one(connection)
    .await?;
    u32::try_from(last.saturating_add(1)).map_err(invalid)
}
