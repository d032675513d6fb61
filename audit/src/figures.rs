//! Counts and sums for people, and what is still under way. No rule is held against them.

use super::{
    report::{Figures, Pending},
    snapshot::Snapshot,
};
use contracts::{CommandId, Kind, UnixMs, topology::Role};
use sqlx::MySqlPool;
use std::collections::BTreeMap;

/// The database's part of the figures.
pub(super) async fn figures(snapshot: &mut Snapshot, now: UnixMs) -> Result<Figures, sqlx::Error> {
    let mut figures = Figures::default();
    let counts = sqlx::query!(
        r#"SELECT kind, state, result_code, COUNT(*) AS "commands!: i64" FROM commands GROUP BY kind, state, result_code"#
    )
    .fetch_all(snapshot.connection())
    .await?;
    for row in counts {
        let commands = unsigned(row.commands);
        if row.state == "rejected" {
            *figures.rejected_by_code.entry(u32::try_from(row.result_code).unwrap_or(0)).or_default() += commands;
        }
        if row.state == "suspended"
            && let Ok(kind) = row.kind.parse::<Kind>()
        {
            *figures.suspended.entry(Role::of(kind).as_str().to_owned()).or_default() += commands;
        }
        *figures.commands.entry(row.kind).or_default().entry(row.state).or_default() += commands;
    }
    let trades = sqlx::query!(
        r#"SELECT COUNT(*) AS "trades!: i64", CAST(COALESCE(SUM(price), 0) AS SIGNED) AS "volume!: i64" FROM orders"#
    )
    .fetch_one(snapshot.connection())
    .await?;
    (figures.trades, figures.volume_won) = (unsigned(trades.trades), trades.volume);
    let charges = sqlx::query!(
        r#"SELECT CAST(COALESCE(SUM(amount), 0) AS SIGNED) AS "credited!: i64",
                  CAST(COALESCE(SUM(cancelled_amount), 0) AS SIGNED) AS "cancelled!: i64",
                  CAST(COALESCE(SUM(reversed_amount), 0) AS SIGNED) AS "reversed!: i64"
           FROM payments WHERE state = 'done'"#
    )
    .fetch_one(snapshot.connection())
    .await?;
    (figures.credited_won, figures.cancelled_won) = (charges.credited, charges.cancelled);
    figures.reversed_won = charges.reversed;
    let open = sqlx::query!(
        r#"SELECT (SELECT CAST(COALESCE(SUM(amount), 0) AS SIGNED) FROM receivables WHERE amount > 0) AS "owed!: i64",
                  (SELECT COUNT(*) FROM differences WHERE gone_at_ms IS NULL) AS "differences!: i64""#
    )
    .fetch_one(snapshot.connection())
    .await?;
    (figures.owed_won, figures.differences_open) = (open.owed, unsigned(open.differences));
    let oldest = sqlx::query_scalar!(r#"SELECT MIN(created_at_ms) AS "oldest: i64" FROM outbox"#)
        .fetch_one(snapshot.connection())
        .await?;
    figures.outbox_oldest_ms = oldest.map(|at| now.ms_since(UnixMs(at)));
    Ok(figures)
}

/// The database's part of what is under way.
pub(super) async fn pending(snapshot: &mut Snapshot, now: UnixMs) -> Result<Pending, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT
            (SELECT COUNT(*) FROM commands WHERE state IN ('executing', 'retrying')) AS "commands!: i64",
            (SELECT COUNT(*) FROM payments WHERE state = 'confirming') AS "payments!: i64",
            (SELECT COUNT(*) FROM refund_legs WHERE route = 'cancel' AND state IN ('planned', 'executing')) AS "cancels!: i64",
            (SELECT COUNT(*) FROM outbox) AS "outbox!: i64",
            (SELECT COUNT(*) FROM bids WHERE state = 'open' AND deadline_ms <= ?) AS "stale!: i64""#,
        now.0
    )
    .fetch_one(snapshot.connection())
    .await?;
    Ok(Pending {
        commands_under_way: unsigned(row.commands),
        payments_confirming: unsigned(row.payments),
        cancels_under_way: unsigned(row.cancels),
        outbox_rows: unsigned(row.outbox),
        stale_bids: unsigned(row.stale),
        ..Pending::default()
    })
}

/// Those of `ids` that have no row now, outside any snapshot.
pub(super) async fn without_row_now(pool: &MySqlPool, ids: &[CommandId]) -> Result<Vec<CommandId>, sqlx::Error> {
    let mut without = Vec::new();
    for id in ids {
        let bytes = id.bytes();
        let found =
            sqlx::query_scalar!(r#"SELECT COUNT(*) AS "n!: i64" FROM commands WHERE command_id = ?"#, bytes.as_slice())
                .fetch_one(pool)
                .await?;
        if found == 0 {
            without.push(*id);
        }
    }
    Ok(without)
}

/// Suspended commands by role now, outside any snapshot.
pub(super) async fn suspended_now(pool: &MySqlPool) -> Result<BTreeMap<Role, u64>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT kind, COUNT(*) AS "commands!: i64" FROM commands WHERE state = 'suspended' GROUP BY kind"#
    )
    .fetch_all(pool)
    .await?;
    let mut suspended = BTreeMap::new();
    for row in rows {
        if let Ok(kind) = row.kind.parse::<Kind>() {
            *suspended.entry(Role::of(kind)).or_default() += unsigned(row.commands);
        }
    }
    Ok(suspended)
}

fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}
