//! The SQL of `FollowPayment`. Every function is one transaction; locks are taken in the order command, payment,
//! balance, receivable.

use super::{ACCEPTED_ONCE, Difference};
use crate::{
    differences,
    laddered::{
        Fault, Inbox, Standing as Known, add_debt, again_on_contention, command_id, ended, find_balance, insert_event,
        insert_transfer, invalid, write_balance,
    },
    payment::{
        debt::repay,
        seen,
        settle::{stored_payment, webhook_secret},
        store::Store,
    },
};
use contracts::{Command, Envelope, Event, Outcome, ResultCode, UnixMs, UserId, Won};
use domain::{
    ledger::{Heading, Transfer, apply},
    payment::{
        State,
        follow::{Booked, TOLD_BY_LOOK_UP, Verdict, follow, over},
        has_settled,
    },
};
use platform::{database::within, halt};
use serde_json::json;
use sqlx::MySqlConnection;
use toss::Payment;

/// What one look-up can lead to: a credit, a reversal, and then nothing more.
const MAX_VERDICTS: u16 = 3;
/// Transfers that one verdict makes at most, which keeps their numbers apart.
const TRANSFERS_A_VERDICT: u16 = 2;

/// Where the charge stands that a command is to follow.
pub(super) enum Standing {
    Ended(Outcome),
    Superseded,
    BeingConfirmed { confirm_by: UnixMs },
    Stuck(Box<Stuck>),
    Settled { payment_key: String, looks: i32 },
}

/// A charge that is `confirming` past its window.
pub(super) struct Stuck {
    /// Its own command.
    pub(super) command: Envelope,
    pub(super) attempt: u16,
}

/// What came of a look-up.
pub(super) enum Booking {
    Ended(Outcome),
    /// Another was booked after this one began.
    Outrun,
}

/// A payment's row.
struct Row {
    user_id: i64,
    amount: i64,
    state: String,
    command_id: Option<Vec<u8>>,
    payment_key: Option<String>,
    attempt: i16,
    confirm_by_ms: Option<i64>,
    cancelled_amount: i64,
    reversed_amount: i64,
    looks: i32,
}

impl Row {
    fn state(&self) -> Result<State, sqlx::Error> {
        self.state.parse().map_err(|error: domain::UnknownWord| invalid(error))
    }

    fn user(&self) -> Result<UserId, sqlx::Error> {
        u64::try_from(self.user_id).map(UserId).map_err(invalid)
    }

    fn stuck(&self, order_id: &str, payment_key: &str, confirm_by: UnixMs) -> Result<Stuck, sqlx::Error> {
        let id = self.command_id.as_deref().ok_or_else(|| invalid("a confirming payment names its command"))?;
        let command = Command::ConfirmCharge {
            order_id: order_id.to_owned(),
            payment_key: payment_key.to_owned(),
            amount: Won(self.amount),
            confirm_by,
        };
        let command = Envelope::new(command_id(id)?, self.user()?, ACCEPTED_ONCE, None, command);
        Ok(Stuck { command, attempt: u16::try_from(self.attempt).map_err(invalid)? })
    }
}

impl Store {
    /// Transaction 1: where the charge stands. What needs no look-up ends here.
    pub(super) async fn begin_following(
        &self,
        envelope: &Envelope,
        order_id: &str,
        now: UnixMs,
    ) -> Result<Standing, Fault> {
        Ok(again_on_contention(|| self.try_begin_following(envelope, order_id, now)).await?)
    }

    async fn try_begin_following(
        &self,
        envelope: &Envelope,
        order_id: &str,
        now: UnixMs,
    ) -> Result<Standing, sqlx::Error> {
        let mut transaction = within(self.limit, self.pool.begin()).await?;
        within(self.limit, async {
            let known = match Inbox::lock(&mut transaction, envelope).await? {
                Known::Ended(outcome) => return Ok(Standing::Ended(outcome)),
                Known::Superseded => return Ok(Standing::Superseded),
                known => known,
            };
            let row = lock_payment(&mut transaction, order_id).await?;
            let standing = standing(envelope, order_id, row.as_ref(), now)?;
            if let Standing::Ended(outcome) = &standing {
                Inbox::end(&mut transaction, envelope, &known, outcome).await?;
            } else {
                Inbox::executing(&mut transaction, envelope, &known, now).await?;
            }
            halt::around("payment.follow", transaction.commit()).await?;
            Ok(standing)
        })
        .await
    }

    /// Transaction 2: books what a look-up means, unless another was booked since it began.
    pub(super) async fn book(
        &self,
        envelope: &Envelope,
        order_id: &str,
        looks: i32,
        payment: Option<&Payment>,
        now: UnixMs,
    ) -> Result<Booking, Fault> {
        Ok(again_on_contention(|| self.try_book(envelope, order_id, looks, payment, now)).await?)
    }

    async fn try_book(
        &self,
        envelope: &Envelope,
        order_id: &str,
        looks: i32,
        payment: Option<&Payment>,
        now: UnixMs,
    ) -> Result<Booking, sqlx::Error> {
        let mut transaction = within(self.limit, self.pool.begin()).await?;
        within(self.limit, async {
            let known = Inbox::lock(&mut transaction, envelope).await?;
            if let Known::Ended(outcome) = known {
                return Ok(Booking::Ended(outcome));
            }
            let Some(mut row) = lock_payment(&mut transaction, order_id).await?.filter(|row| row.looks == looks) else {
                return Ok(Booking::Outrun);
            };
            let heading = Heading { command: envelope.id, no: 0, reference: order_id.to_owned(), at: now };
            carry_out_all(&mut transaction, &mut row, heading, payment).await?;
            // Whoever was credited before an account's secret was seen would have its callbacks taken for forged.
            let secret = payment.filter(|payment| payment.order_id == order_id).and_then(webhook_secret);
            sqlx::query!(
                "UPDATE payments SET looks = looks + 1, webhook_secret = COALESCE(webhook_secret, ?), updated_at_ms = ?
                 WHERE order_id = ?",
                secret,
                now.0,
                order_id
            )
            .execute(&mut *transaction)
            .await?;
            let outcome = ended(envelope, ResultCode::Ok, json!({"payment": row.state}), now);
            Inbox::end(&mut transaction, envelope, &known, &outcome).await?;
            halt::around("payment.book", transaction.commit()).await?;
            Ok(Booking::Ended(outcome))
        })
        .await
    }

    /// Ends a command that ended the charge it was to follow, or found the given difference.
    pub(super) async fn end_following(
        &self,
        envelope: &Envelope,
        order_id: &str,
        differs: Option<(Difference, &str)>,
        now: UnixMs,
    ) -> Result<Outcome, Fault> {
        let ending = again_on_contention(|| async {
            let mut transaction = within(self.limit, self.pool.begin()).await?;
            within(self.limit, async {
                let known = Inbox::lock(&mut transaction, envelope).await?;
                if let Known::Ended(outcome) = known {
                    return Ok(outcome);
                }
                match differs {
                    Some((kind, why)) => differences::note(&mut transaction, order_id, kind, why, now).await?,
                    None => differences::gone(&mut transaction, order_id, &TOLD_BY_LOOK_UP, now).await?,
                }
                let outcome = ended(envelope, ResultCode::Ok, json!({}), now);
                Inbox::end(&mut transaction, envelope, &known, &outcome).await?;
                halt::around("payment.end_following", transaction.commit()).await?;
                Ok(outcome)
            })
            .await
        });
        Ok(ending.await?)
    }
}

fn standing(envelope: &Envelope, order_id: &str, row: Option<&Row>, now: UnixMs) -> Result<Standing, sqlx::Error> {
    let Some(row) = row else {
        return Ok(Standing::Ended(ended(envelope, ResultCode::PaymentNotFound, json!({}), now)));
    };
    let state = row.state()?;
    let confirm_by = UnixMs(row.confirm_by_ms.unwrap_or_default());
    Ok(match (state, &row.payment_key) {
        (State::Confirming, _) if !has_settled(confirm_by, now) => Standing::BeingConfirmed { confirm_by },
        (State::Confirming, Some(key)) => Standing::Stuck(Box::new(row.stuck(order_id, key, confirm_by)?)),
        (State::AwaitingDeposit | State::Done | State::Failed, Some(key)) => {
            Standing::Settled { payment_key: key.clone(), looks: row.looks }
        }
        // Nobody has paid, as far as we know: there is nothing to look up.
        (_, _) => Standing::Ended(ended(envelope, ResultCode::Ok, json!({"payment": row.state}), now)),
    })
}

/// Books what `payment` says of a charge that its caller has just credited, and locked before.
pub(in crate::payment) async fn take_back(
    connection: &mut MySqlConnection,
    first: Heading,
    payment: &Payment,
) -> Result<(), sqlx::Error> {
    let row = lock_payment(connection, &first.reference).await?;
    let mut row = row.ok_or_else(|| invalid(format!("payment {} is gone", first.reference)))?;
    carry_out_all(connection, &mut row, first, Some(payment)).await
}

/// Books every consequence of a look-up; its transfers are numbered from `first` on.
async fn carry_out_all(
    connection: &mut MySqlConnection,
    row: &mut Row,
    first: Heading,
    payment: Option<&Payment>,
) -> Result<(), sqlx::Error> {
    for verdict in 0..MAX_VERDICTS {
        let heading = Heading { no: first.no + verdict * TRANSFERS_A_VERDICT, ..first.clone() };
        if !carry_out(connection, row, heading, payment).await? {
            break;
        }
    }
    Ok(())
}

/// Books the next consequence of a look-up; whether there may be more.
async fn carry_out(
    connection: &mut MySqlConnection,
    row: &mut Row,
    heading: Heading,
    payment: Option<&Payment>,
) -> Result<bool, sqlx::Error> {
    let (order_id, now) = (heading.reference.clone(), heading.at);
    let booked = Booked {
        state: row.state()?,
        order_id: &order_id,
        amount: Won(row.amount),
        refunded: Won(row.cancelled_amount),
        reversed: Won(row.reversed_amount),
    };
    let (seen, mut failure) = (payment.map(seen), None);
    match follow(&booked, seen.as_ref(), now) {
        Verdict::Nothing => {
            differences::gone(connection, &order_id, over(&booked, seen.as_ref()), now).await?;
            return Ok(false);
        }
        Verdict::Differs { kind, why } => {
            differences::note(connection, &order_id, kind, &why, now).await?;
            return Ok(false);
        }
        Verdict::Credit => {
            if !credit(connection, row, heading).await? {
                let why = "a deposit came for a user who has left";
                differences::note(connection, &order_id, Difference::NotCredited, why, now).await?;
                return Ok(false);
            }
            State::Done.as_str().clone_into(&mut row.state);
        }
        Verdict::Reverse { amount, then } => {
            reverse(connection, row, heading, amount).await?;
            row.reversed_amount = if then == State::Done { row.reversed_amount.saturating_add(amount.0) } else { 0 };
            then.as_str().clone_into(&mut row.state);
        }
        Verdict::Fail { code } => {
            failure = Some(code);
            State::Failed.as_str().clone_into(&mut row.state);
        }
    }
    sqlx::query!(
        "UPDATE payments SET state = ?, reversed_amount = ?, failure_code = ?, toss_payment = COALESCE(?, toss_payment)
         WHERE order_id = ?",
        row.state,
        row.reversed_amount,
        failure,
        payment.map(stored_payment),
        order_id
    )
    .execute(connection)
    .await?;
    Ok(true)
}

/// Credits the whole charge, and repays what the user owes; `false` when the user has left.
async fn credit(connection: &mut MySqlConnection, row: &Row, heading: Heading) -> Result<bool, sqlx::Error> {
    let (user, amount, now, order_id) = (row.user()?, Won(row.amount), heading.at, heading.reference.clone());
    let Some(mut points) = find_balance(connection, user).await? else { return Ok(false) };
    let repayment = Heading { no: heading.no + 1, ..heading.clone() };
    let command = heading.command;
    let transfer = Transfer::charge(heading, user, amount).map_err(invalid)?;
    apply(&mut points, user, &transfer).map_err(invalid)?;
    insert_transfer(connection, &transfer).await?;
    repay(connection, repayment, user, &mut points).await?;
    write_balance(connection, user, &points).await?;
    insert_event(connection, command, Event::ChargeConfirmed { order_id, user, amount, at: now }, now).await?;
    Ok(true)
}

/// Takes points back, as far as the user still has them; the rest they owe.
async fn reverse(
    connection: &mut MySqlConnection,
    row: &Row,
    heading: Heading,
    amount: Won,
) -> Result<(), sqlx::Error> {
    let (user, now) = (row.user()?, heading.at);
    let points = find_balance(connection, user).await?;
    let transfer = Transfer::reversal(heading, user, amount, points.unwrap_or_default().available).map_err(invalid)?;
    if let Some(mut points) = points {
        apply(&mut points, user, &transfer).map_err(invalid)?;
        write_balance(connection, user, &points).await?;
    }
    insert_transfer(connection, &transfer).await?;
    let owed = transfer.owed(user);
    add_debt(connection, user, owed, now).await?;
    tracing::warn!(order = transfer.reference, %amount, %owed, "Toss took a charge back");
    metrics::counter!("gream_charges_reversed_won_total").increment(amount.0.unsigned_abs());
    Ok(())
}

async fn lock_payment(connection: &mut MySqlConnection, order_id: &str) -> Result<Option<Row>, sqlx::Error> {
    sqlx::query_as!(
        Row,
        "SELECT user_id, amount, state, command_id, payment_key, attempt, confirm_by_ms, cancelled_amount,
                reversed_amount, looks
         FROM payments WHERE order_id = ? FOR UPDATE",
        order_id
    )
    .fetch_optional(connection)
    .await
}
