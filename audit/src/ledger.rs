//! Double entry: what the ledger and the balances say must agree, to the won.

use super::{
    report::Check,
    snapshot::{Snapshot, check},
    span::{Commands, Users},
};

/// Every check of ledger and balances.
pub(super) async fn checks(snapshot: &mut Snapshot) -> Result<Vec<Check>, sqlx::Error> {
    let mut checks = checks_of_commands(snapshot, &Commands::all()).await?;
    checks.push(entries_are_on_known_accounts(snapshot).await?);
    checks.extend(checks_of_users(snapshot, &Users::ALL).await?);
    Ok(checks)
}

pub(super) async fn checks_of_commands(
    snapshot: &mut Snapshot,
    commands: &Commands,
) -> Result<Vec<Check>, sqlx::Error> {
    Ok(vec![transfers_sum_to_zero(snapshot, commands).await?, movements_name_their_command(snapshot, commands).await?])
}

pub(super) async fn checks_of_users(snapshot: &mut Snapshot, users: &Users) -> Result<Vec<Check>, sqlx::Error> {
    Ok(vec![
        gifts_are_given_once(snapshot, users).await?,
        balances_equal_their_entries(snapshot, users).await?,
        balances_are_not_negative(snapshot, users).await?,
        debts_equal_their_entries(snapshot, users).await?,
        held_points_are_explained(snapshot, users).await?,
    ])
}

async fn transfers_sum_to_zero(snapshot: &mut Snapshot, commands: &Commands) -> Result<Check, sqlx::Error> {
    Ok(check!(
        snapshot,
        "transfers_sum_to_zero",
        "The entries of one transfer (command and number) sum to zero, and say one reason and reference.",
        examined: r#"SELECT COUNT(*) AS "n!: i64" FROM
            (SELECT 1 AS one FROM ledger_entries WHERE command_id > ? AND command_id <= ?
             GROUP BY command_id, transfer_no) AS transfers"# [commands.after, commands.upto],
        offenders: r#"
            SELECT CAST(CONCAT('command ', LOWER(HEX(command_id)), ' transfer ', transfer_no, ' sums to ', SUM(amount),
                               ', with ', COUNT(DISTINCT reason), ' reasons and ', COUNT(DISTINCT reference),
                               ' references') AS CHAR) AS "offender!: String"
            FROM ledger_entries WHERE command_id > ? AND command_id <= ?
            GROUP BY command_id, transfer_no
            HAVING SUM(amount) <> 0 OR COUNT(DISTINCT reason) <> 1 OR COUNT(DISTINCT reference) <> 1"# [commands.after, commands.upto]
    ))
}

async fn entries_are_on_known_accounts(snapshot: &mut Snapshot) -> Result<Check, sqlx::Error> {
    Ok(check!(
        snapshot,
        "entries_are_on_known_accounts",
        "Available, held and owed points belong to a user that exists; every other account belongs to the market.",
        examined: r#"SELECT COUNT(*) AS "n!: i64" FROM ledger_entries"#,
        offenders: r#"
            SELECT CAST(CONCAT('entry ', e.entry_id, ' on ', e.account, ' of user ', e.user_id) AS CHAR)
                   AS "offender!: String"
            FROM ledger_entries e LEFT JOIN users u ON u.user_id = e.user_id
            WHERE NOT ((e.account IN ('available', 'held', 'receivable') AND u.user_id IS NOT NULL)
                OR (e.account IN ('toss_clearing', 'payout_clearing', 'coupon_cost', 'fee', 'gift') AND e.user_id = 0))"#
    ))
}

/// A rejected command may still have retired bids past their deadline that it met on its way.
async fn movements_name_their_command(snapshot: &mut Snapshot, commands: &Commands) -> Result<Check, sqlx::Error> {
    Ok(check!(
        snapshot,
        "movements_name_their_command",
        "Every movement names a command that is done; a rejected one may only have released stale holds.",
        examined: r#"SELECT COUNT(DISTINCT command_id) AS "n!: i64" FROM ledger_entries
            WHERE command_id > ? AND command_id <= ?"# [commands.after, commands.upto],
        offenders: r#"
            SELECT CAST(CONCAT('command ', LOWER(HEX(e.command_id)), ' moved ', COUNT(*), ' entries (', MIN(e.reason),
                               ') but is ', COALESCE(MIN(c.state), 'unknown')) AS CHAR) AS "offender!: String"
            FROM ledger_entries e LEFT JOIN commands c ON c.command_id = e.command_id
            WHERE e.command_id > ? AND e.command_id <= ?
              AND (c.command_id IS NULL OR NOT (c.state = 'done' OR (c.state = 'rejected' AND e.reason = 'release')))
            GROUP BY e.command_id"# [commands.after, commands.upto]
    ))
}

async fn gifts_are_given_once(snapshot: &mut Snapshot, users: &Users) -> Result<Check, sqlx::Error> {
    Ok(check!(
        snapshot,
        "gifts_are_given_once",
        "A user gets at most one sign-up gift.",
        examined: r#"SELECT COUNT(*) AS "n!: i64" FROM ledger_entries
            WHERE reason = 'gift' AND account = 'available' AND user_id > ? AND user_id <= ?"# [users.after, users.upto],
        offenders: r#"
            SELECT CAST(CONCAT('user ', user_id, ' got ', COUNT(*), ' gifts, ', SUM(amount), ' points') AS CHAR)
                   AS "offender!: String"
            FROM ledger_entries WHERE reason = 'gift' AND account = 'available' AND user_id > ? AND user_id <= ?
            GROUP BY user_id HAVING COUNT(*) > 1"# [users.after, users.upto]
    ))
}

async fn balances_equal_their_entries(snapshot: &mut Snapshot, users: &Users) -> Result<Check, sqlx::Error> {
    Ok(check!(
        snapshot,
        "balances_equal_their_entries",
        "Each user's available and held points are the sums of their ledger entries.",
        examined: r#"SELECT COUNT(*) AS "n!: i64" FROM balances WHERE user_id > ? AND user_id <= ?"# [users.after, users.upto],
        offenders: r#"
            SELECT CAST(CONCAT('user ', user_id, ': available is off by ', SUM(available), ', held by ', SUM(held)) AS CHAR)
                   AS "offender!: String"
            FROM (SELECT user_id, available, held FROM balances WHERE user_id > ? AND user_id <= ?
                  UNION ALL
                  SELECT user_id, CASE WHEN account = 'available' THEN -amount ELSE 0 END,
                         CASE WHEN account = 'held' THEN -amount ELSE 0 END
                  FROM ledger_entries WHERE user_id <> 0 AND user_id > ? AND user_id <= ?) AS told
            GROUP BY user_id HAVING SUM(available) <> 0 OR SUM(held) <> 0"# [users.after, users.upto, users.after, users.upto]
    ))
}

async fn balances_are_not_negative(snapshot: &mut Snapshot, users: &Users) -> Result<Check, sqlx::Error> {
    Ok(check!(
        snapshot,
        "balances_are_not_negative",
        "Each user has one balance, and neither part of it is negative; who has left has none.",
        examined: r#"SELECT COUNT(*) AS "n!: i64" FROM users WHERE user_id > ? AND user_id <= ?"# [users.after, users.upto],
        offenders: r#"
            SELECT CAST(CONCAT('user ', u.user_id, ': available ', COALESCE(b.available, 'missing'),
                               ', held ', COALESCE(b.held, 'missing')) AS CHAR) AS "offender!: String"
            FROM users u LEFT JOIN balances b ON b.user_id = u.user_id
            WHERE u.user_id > ? AND u.user_id <= ?
              AND ((b.user_id IS NULL) <> (u.withdrawn_at_ms IS NOT NULL) OR b.available < 0 OR b.held < 0)"# [users.after, users.upto]
    ))
}

async fn debts_equal_their_entries(snapshot: &mut Snapshot, users: &Users) -> Result<Check, sqlx::Error> {
    Ok(check!(
        snapshot,
        "debts_equal_their_entries",
        "What each user owes is the sum of their ledger entries on 'receivable', and nobody owes less than nothing.",
        examined: r#"SELECT COUNT(*) AS "n!: i64" FROM receivables WHERE user_id > ? AND user_id <= ?"# [users.after, users.upto],
        offenders: r#"
            SELECT CAST(CONCAT('user ', user_id, ': the debt of ', SUM(owed), ' is off by ', SUM(owed) + SUM(entries))
                        AS CHAR) AS "offender!: String"
            FROM (SELECT user_id, amount AS owed, 0 AS entries FROM receivables WHERE user_id > ? AND user_id <= ?
                  UNION ALL
                  SELECT user_id, 0, amount FROM ledger_entries WHERE account = 'receivable' AND user_id > ? AND user_id <= ?) AS told
            GROUP BY user_id HAVING SUM(owed) + SUM(entries) <> 0 OR SUM(owed) < 0"# [users.after, users.upto, users.after, users.upto]
    ))
}

async fn held_points_are_explained(snapshot: &mut Snapshot, users: &Users) -> Result<Check, sqlx::Error> {
    Ok(check!(
        snapshot,
        "held_points_are_explained",
        "A user's held points are what their open buy bids hold, and what of their refunds is neither paid nor returned yet.",
        examined: r#"SELECT COUNT(*) AS "n!: i64" FROM balances WHERE user_id > ? AND user_id <= ?"# [users.after, users.upto],
        offenders: r#"
            SELECT CAST(CONCAT('user ', user_id, ': ', SUM(points), ' held points belong to no open bid or refund') AS CHAR)
                   AS "offender!: String"
            FROM (SELECT user_id, held AS points FROM balances WHERE user_id > ? AND user_id <= ?
                  UNION ALL
                  SELECT user_id, -hold FROM bids WHERE side = 'buy' AND state = 'open' AND user_id > ? AND user_id <= ?
                  UNION ALL
                  SELECT user_id, -amount FROM refunds WHERE state IN ('requested', 'paying') AND user_id > ? AND user_id <= ?
                  UNION ALL
                  SELECT r.user_id, l.amount FROM refund_legs l JOIN refunds r ON r.refund_id = l.refund_id
                  WHERE l.state IN ('paid', 'returned') AND r.state IN ('requested', 'paying')
                    AND r.user_id > ? AND r.user_id <= ?) AS told
            GROUP BY user_id HAVING SUM(points) <> 0"# [users.after, users.upto, users.after, users.upto, users.after, users.upto, users.after, users.upto]
    ))
}
