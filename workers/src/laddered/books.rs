//! Statements that both stores use inside their transactions: balances, debts, ledger entries, events, outcomes.

use super::{invalid, user_id};
use contracts::{
    CommandId, CommandState, Envelope, Event, Outcome, ResultCode, UnixMs, UserId, Won,
    event::Caused,
    topology::{COMMANDS_EXCHANGE, EVENTS_EXCHANGE, Role},
};
use domain::{
    ledger::{Balance, Transfer},
    refund::leg::KEY_LIFETIME_MS,
};
use platform::traces::TraceContext;
use sqlx::MySqlConnection;

/// How `envelope` ends: `done` with code 0, else `rejected`.
pub(crate) fn ended(envelope: &Envelope, code: ResultCode, data: serde_json::Value, now: UnixMs) -> Outcome {
    let state = if code == ResultCode::Ok { CommandState::Done } else { CommandState::Rejected };
    Outcome { id: envelope.id, fingerprint: envelope.fingerprint, state, code, data, finished_at: now }
}

/// Whether nobody wants it any more. What has begun is carried on nevertheless.
pub(crate) fn is_expired(envelope: &Envelope, now: UnixMs) -> bool {
    envelope.valid_until.is_some_and(|until| now >= until)
}

/// Whether it is so old that nobody can still mean it: a dead letter, replayed when no key at Toss protects any more.
pub(crate) fn is_stale(envelope: &Envelope, now: UnixMs) -> bool {
    now.ms_since(envelope.accepted_at) >= KEY_LIFETIME_MS
}

/// Locks and reads the points of a user whose money is in work, who therefore cannot have left.
pub(crate) async fn balance(connection: &mut MySqlConnection, user: UserId) -> Result<Balance, sqlx::Error> {
    find_balance(connection, user).await?.ok_or_else(|| invalid(format!("user {user} has no balance row")))
}

/// The same of a user who may have left.
pub(crate) async fn find_balance(
    connection: &mut MySqlConnection,
    user: UserId,
) -> Result<Option<Balance>, sqlx::Error> {
    let row = sqlx::query!("SELECT available, held FROM balances WHERE user_id = ? FOR UPDATE", user_id(user))
        .fetch_optional(connection)
        .await?;
    Ok(row.map(|row| Balance { available: Won(row.available), held: Won(row.held) }))
}

/// Writes a locked user's points.
pub(crate) async fn write_balance(
    connection: &mut MySqlConnection,
    user: UserId,
    points: &Balance,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE balances SET available = ?, held = ? WHERE user_id = ?",
        points.available.0,
        points.held.0,
        user_id(user)
    )
    .execute(connection)
    .await
    .map(drop)
}

/// What a user owes us. Stays so until the caller commits, where the caller holds the user's balance.
pub(crate) async fn debt(connection: &mut MySqlConnection, user: UserId) -> Result<Won, sqlx::Error> {
    let owed = sqlx::query_scalar!("SELECT amount FROM receivables WHERE user_id = ?", user_id(user))
        .fetch_optional(connection)
        .await?;
    Ok(owed.map_or(Won::ZERO, Won))
}

/// Changes what a user owes us by `more`, which is negative where they repaid.
pub(crate) async fn add_debt(
    connection: &mut MySqlConnection,
    user: UserId,
    more: Won,
    now: UnixMs,
) -> Result<(), sqlx::Error> {
    if more == Won::ZERO {
        return Ok(());
    }
    let change = if more > Won::ZERO {
        sqlx::query!(
            "INSERT INTO receivables (user_id, amount, updated_at_ms) VALUES (?, ?, ?)
             ON DUPLICATE KEY UPDATE amount = amount + VALUES(amount), updated_at_ms = VALUES(updated_at_ms)",
            user_id(user),
            more.0,
            now.0
        )
    } else {
        sqlx::query!(
            "UPDATE receivables SET amount = amount + ?, updated_at_ms = ? WHERE user_id = ?",
            more.0,
            now.0,
            user_id(user)
        )
    };
    change.execute(connection).await.map(drop)
}

/// Books a transfer's entries.
pub(crate) async fn insert_transfer(connection: &mut MySqlConnection, transfer: &Transfer) -> Result<(), sqlx::Error> {
    for entry in &transfer.entries {
        sqlx::query!(
            "INSERT INTO ledger_entries (command_id, transfer_no, reason, account, user_id, amount, reference,
                                         created_at_ms)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            &transfer.command.bytes()[..],
            i16::try_from(transfer.no).map_err(invalid)?,
            transfer.reason.as_str(),
            entry.account.as_str(),
            user_id(entry.user),
            entry.amount.0,
            transfer.reference,
            transfer.at.0
        )
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Leaves an event in the outbox.
pub(crate) async fn insert_event(
    connection: &mut MySqlConnection,
    command_id: CommandId,
    event: Event,
    now: UnixMs,
) -> Result<(), sqlx::Error> {
    let routing_key = event.routing_key();
    let payload = serde_json::to_string(&Caused { command_id, event }).map_err(invalid)?;
    insert_outbox(connection, EVENTS_EXCHANGE, routing_key, &payload, now).await
}

/// Puts a follow-up command for `role` into the outbox.
pub(crate) async fn insert_command(
    connection: &mut MySqlConnection,
    role: Role,
    command: &Envelope,
) -> Result<(), sqlx::Error> {
    let payload = String::from_utf8(command.encode()).map_err(invalid)?;
    insert_outbox(connection, COMMANDS_EXCHANGE, role.as_str(), &payload, command.accepted_at).await
}

/// Leaves a message in the outbox.
async fn insert_outbox(
    connection: &mut MySqlConnection,
    exchange: &str,
    routing_key: &str,
    payload: &str,
    now: UnixMs,
) -> Result<(), sqlx::Error> {
    let trace = TraceContext::current();
    sqlx::query!(
        "INSERT INTO outbox (exchange_name, routing_key, payload, created_at_ms, traceparent) VALUES (?, ?, ?, ?, ?)",
        exchange,
        routing_key,
        payload,
        now.0,
        trace.as_ref().map(TraceContext::traceparent)
    )
    .execute(connection)
    .await
    .map(drop)
}
