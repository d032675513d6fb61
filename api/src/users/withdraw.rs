//! `DELETE /api/users/me`: the person leaves, the ledger stays whole.
//!
//! Safe against commands in flight, because every worker locks the balance of whom it acts for: the transaction here
//! locks it too, finds that nothing is open, and removes it. A command that comes later finds no balance, which means no
//! such user, and is rejected (1002). A charge that was begun and not sent to Toss yet ends here as failed; one that was
//! sent stands in the way until it has ended, and so does one that awaits its deposit, and what the user owes.
//!
//! Doesn't: touch what others are a party to. Orders, ledger and sold gifticons stay, under the user's number alone. The
//! pictures of gifticons that nobody bought go as they would anyway: every offer of them has ended here, and the sweeper
//! (`workers/src/scheduler/unneeded_pictures.rs`) comes by.

use crate::{
    auth::Caller,
    context::Shared,
    envelope::{Answer, Envelope, Failure, Nothing},
};
use axum::extract::State;
use contracts::{ResultCode, UnixMs, UserId};
use sqlx::{MySql, MySqlPool, Transaction};

type Open<'a> = Transaction<'a, MySql>;

/// Withdraws the caller.
#[utoipa::path(
    delete,
    path = "/api/users/me",
    operation_id = "withdraw",
    tag = "users",
    responses((status = 200, description = "The person is gone", body = Envelope<Nothing>)),
)]
pub(crate) async fn delete(State(api): State<Shared>, caller: Caller) -> Result<Answer<Nothing>, Failure> {
    let now = api.clock.now();
    api.within(withdraw(&api.database, caller.user, now)).await?;
    tracing::info!(user = %caller.user, "a user left");
    Ok(Answer(Nothing {}))
}

/// Locks in the house's order: the user's row, payments, the balance.
async fn withdraw(database: &MySqlPool, user: UserId, now: UnixMs) -> Result<(), Failure> {
    let mut transaction = database.begin().await?;
    stays_if_last_administrator(&mut transaction, user).await?;
    end_charges(&mut transaction, user, now).await?;
    close_balance(&mut transaction, user).await?;
    pseudonymise(&mut transaction, user, now).await?;
    Ok(transaction.commit().await?)
}

/// Of two last administrators who leave at once, one waits for the other, and stays.
async fn stays_if_last_administrator(transaction: &mut Open<'_>, user: UserId) -> Result<(), Failure> {
    let read = sqlx::query_scalar!("SELECT role FROM users WHERE user_id = ?", user.0);
    if read.fetch_one(&mut **transaction).await? != "administrator" {
        return Ok(());
    }
    let administrators =
        sqlx::query_scalar!("SELECT user_id FROM users WHERE role = 'administrator' ORDER BY user_id FOR UPDATE");
    let administrators = administrators.fetch_all(&mut **transaction).await?;
    if administrators.len() > 1 { Ok(()) } else { Err(ResultCode::LastAdministrator.into()) }
}

/// A charge that no worker has sent to Toss will never be; one that is at Toss must end first.
async fn end_charges(transaction: &mut Open<'_>, user: UserId, now: UnixMs) -> Result<(), Failure> {
    sqlx::query!(
        "UPDATE payments SET state = 'failed', failure_code = 'USER_WITHDREW', updated_at_ms = ?
         WHERE user_id = ? AND state = 'requested'",
        now.0,
        user.0
    )
    .execute(&mut **transaction)
    .await?;
    let at_toss = sqlx::query_scalar!(
        "SELECT order_id FROM payments WHERE user_id = ? AND state IN ('confirming', 'awaiting_deposit') LIMIT 1",
        user.0
    );
    refuse(at_toss.fetch_optional(&mut **transaction).await?.is_some(), ResultCode::MoneyInWork)
}

/// Once the balance is locked, no bid of the user's can be placed any more, and none can trade.
async fn close_balance(transaction: &mut Open<'_>, user: UserId) -> Result<(), Failure> {
    let balance = sqlx::query!("SELECT available, held FROM balances WHERE user_id = ? FOR UPDATE", user.0);
    // None: the user has left already, by another request that was faster.
    let balance = balance.fetch_optional(&mut **transaction).await?.ok_or(ResultCode::LoginRequired)?;
    let bid = sqlx::query_scalar!("SELECT bid_id FROM bids WHERE user_id = ? AND state = 'open' LIMIT 1", user.0);
    refuse(bid.fetch_optional(&mut **transaction).await?.is_some(), ResultCode::BidsOpen)?;
    // Points that are held, and by no bid, belong to a refund.
    refuse(balance.held != 0, ResultCode::MoneyInWork)?;
    refuse(balance.available != 0, ResultCode::PointsLeft)?;
    let debt = sqlx::query_scalar!("SELECT amount FROM receivables WHERE user_id = ? AND amount > 0", user.0);
    refuse(debt.fetch_optional(&mut **transaction).await?.is_some(), ResultCode::DebtOpen)?;
    sqlx::query!("DELETE FROM balances WHERE user_id = ?", user.0).execute(&mut **transaction).await?;
    Ok(())
}

/// Nothing that is left names the person. The names are ones that nobody can sign up with.
async fn pseudonymise(transaction: &mut Open<'_>, user: UserId, now: UnixMs) -> Result<(), Failure> {
    let name = format!("~{user}");
    sqlx::query!(
        "UPDATE users SET login_id = ?, nickname = ?, password_hash = NULL, role = 'user', withdrawn_at_ms = ?
         WHERE user_id = ?",
        name,
        name,
        now.0,
        user.0
    )
    .execute(&mut **transaction)
    .await?;
    sqlx::query!("DELETE FROM kakao_accounts WHERE user_id = ?", user.0).execute(&mut **transaction).await?;
    sqlx::query!("DELETE FROM likes WHERE user_id = ?", user.0).execute(&mut **transaction).await?;
    sqlx::query!("DELETE FROM sessions WHERE user_id = ?", user.0).execute(&mut **transaction).await?;
    Ok(())
}

fn refuse(stands_in_the_way: bool, code: ResultCode) -> Result<(), Failure> {
    if stands_in_the_way { Err(code.into()) } else { Ok(()) }
}
