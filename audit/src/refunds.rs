//! Charges and refunds as the database tells them. Toss's side is compared in [`super::toss`].

use super::{
    report::Check,
    snapshot::{Snapshot, check},
    span::Users,
};

/// Every check of payments and refunds.
pub(super) async fn checks(snapshot: &mut Snapshot) -> Result<Vec<Check>, sqlx::Error> {
    let mut checks = checks_of_users(snapshot, &Users::ALL).await?;
    checks.push(legs_have_their_refund(snapshot).await?);
    Ok(checks)
}

pub(super) async fn checks_of_users(snapshot: &mut Snapshot, users: &Users) -> Result<Vec<Check>, sqlx::Error> {
    Ok(vec![
        charges_are_credited_once(snapshot, users).await?,
        refunds_are_held_and_paid(snapshot, users).await?,
        charges_are_cancelled_by_refunds(snapshot, users).await?,
    ])
}

async fn charges_are_credited_once(snapshot: &mut Snapshot, users: &Users) -> Result<Check, sqlx::Error> {
    Ok(check!(
        snapshot,
        "charges_are_credited_once",
        "A payment that is done was credited to its user, by its own command or one that followed it, with its amount less \
         what Toss took back; of any other payment nothing is left credited.",
        examined: r#"SELECT COUNT(*) AS "n!: i64" FROM payments WHERE user_id > ? AND user_id <= ?"# [users.after, users.upto],
        offenders: r#"
            SELECT CAST(CONCAT('payment ', p.order_id, ' (', p.state, ', ', p.amount, ' won, ', p.reversed_amount,
                               ' of it reversed): credited ', COALESCE(e.points, 0), ' points') AS CHAR)
                   AS "offender!: String"
            FROM payments p LEFT JOIN
                 (SELECT reference, user_id, SUM(amount) AS points FROM ledger_entries
                  WHERE reason IN ('charge', 'reversal') AND account IN ('available', 'receivable') AND user_id > ? AND user_id <= ?
                  GROUP BY reference, user_id) AS e
                 ON e.reference = p.order_id AND e.user_id = p.user_id
            WHERE p.user_id > ? AND p.user_id <= ?
              AND (COALESCE(e.points, 0) <> CASE WHEN p.state = 'done' THEN p.amount - p.reversed_amount ELSE 0 END
                   OR (p.state <> 'done' AND p.reversed_amount <> 0))
            UNION ALL
            SELECT CAST(CONCAT('entry ', e.entry_id, ' (', e.reason, ') is about ', e.reference, ', by command ',
                               LOWER(HEX(e.command_id)), ', which is at no payment of user ', e.user_id) AS CHAR)
            FROM ledger_entries e
                 LEFT JOIN payments p ON p.order_id = e.reference AND p.user_id = e.user_id
                 LEFT JOIN commands c ON c.command_id = e.command_id
            WHERE e.reason IN ('charge', 'reversal') AND e.account IN ('available', 'receivable')
              AND e.user_id > ? AND e.user_id <= ?
              AND (p.order_id IS NULL
                   OR NOT (COALESCE(c.kind, '') = 'follow_payment'
                           OR COALESCE(p.command_id, '') = e.command_id))"# [users.after, users.upto, users.after, users.upto, users.after, users.upto]
    ))
}

async fn refunds_are_held_and_paid(snapshot: &mut Snapshot, users: &Users) -> Result<Check, sqlx::Error> {
    Ok(check!(
        snapshot,
        "refunds_are_held_and_paid",
        "A refund held its amount once; approved, its legs sum to it; exactly its paid legs left the ledger, and exactly what \
         was returned of it is available again, each once; and its state is the one that follows from its legs'.",
        examined: r#"SELECT COUNT(*) AS "n!: i64" FROM refunds WHERE user_id > ? AND user_id <= ?"# [users.after, users.upto],
        offenders: r#"
            SELECT CAST(CONCAT('refund ', refund_id, ' (', MIN(state), ', ', SUM(amount), ' points): held ', SUM(held),
                               ', legs ', SUM(planned), ', of them paid ', SUM(paid), ' and returned ', SUM(returned),
                               ', booked as paid ', SUM(out_booked), ' and as returned ', SUM(back_booked))
                        AS CHAR) AS "offender!: String"
            FROM (SELECT refund_id, state, amount, 0 AS held, 0 AS planned, 0 AS paid, 0 AS returned, 0 AS out_booked,
                         0 AS back_booked FROM refunds WHERE user_id > ? AND user_id <= ?
                  UNION ALL
                  SELECT r.refund_id, r.state, 0, e.amount, 0, 0, 0, 0, 0
                  FROM refunds r JOIN ledger_entries e ON e.command_id = r.command_id
                  WHERE e.reason = 'refund_hold' AND e.account = 'held' AND e.user_id = r.user_id
                    AND r.user_id > ? AND r.user_id <= ?
                  UNION ALL
                  SELECT r.refund_id, r.state, 0, 0, l.amount, CASE WHEN l.state = 'paid' THEN l.amount ELSE 0 END,
                         CASE WHEN l.state = 'returned' THEN l.amount ELSE 0 END, 0, 0
                  FROM refunds r JOIN refund_legs l ON l.refund_id = r.refund_id WHERE l.state <> 'moved'
                    AND r.user_id > ? AND r.user_id <= ?
                  UNION ALL
                  SELECT r.refund_id, r.state, 0, 0, 0, 0, 0, CASE WHEN e.reason = 'refund_paid' THEN -e.amount ELSE 0 END,
                         CASE WHEN e.reason = 'refund_returned' THEN -e.amount ELSE 0 END
                  FROM (SELECT a.refund_id, a.command_id FROM refund_legs a JOIN refunds b ON b.refund_id = a.refund_id
                        WHERE b.user_id > ? AND b.user_id <= ?
                        UNION SELECT refund_id, decision_id FROM refunds WHERE decision_id IS NOT NULL AND user_id > ? AND user_id <= ?) AS l
                       JOIN refunds r ON r.refund_id = l.refund_id
                       JOIN ledger_entries e ON e.command_id = l.command_id
                  WHERE e.reason IN ('refund_paid', 'refund_returned') AND e.account = 'held'
                    AND e.user_id = r.user_id) AS told
            GROUP BY refund_id
            HAVING SUM(held) <> SUM(amount)
                OR SUM(planned) <> CASE WHEN MIN(state) IN ('requested', 'rejected') THEN 0 ELSE SUM(amount) END
                OR SUM(out_booked) <> SUM(paid)
                OR SUM(back_booked) <> CASE WHEN MIN(state) = 'rejected' THEN SUM(amount) ELSE SUM(returned) END
                OR MIN(state) <> CASE WHEN MIN(state) IN ('requested', 'rejected') THEN MIN(state)
                                      WHEN SUM(paid) + SUM(returned) <> SUM(amount) THEN 'paying'
                                      WHEN SUM(returned) = 0 THEN 'paid'
                                      WHEN SUM(paid) = 0 THEN 'returned' ELSE 'partly_paid' END
            UNION ALL
            SELECT CAST(CONCAT('entry ', e.entry_id, ' (', e.reason, ') is about ', e.reference, ', which is no refund of user ',
                               e.user_id) AS CHAR)
            FROM ledger_entries e LEFT JOIN
                 (SELECT command_id, user_id FROM refunds WHERE user_id > ? AND user_id <= ?
                  UNION SELECT decision_id, user_id FROM refunds WHERE decision_id IS NOT NULL AND user_id > ? AND user_id <= ?
                  UNION SELECT l.command_id, r.user_id FROM refund_legs l JOIN refunds r ON r.refund_id = l.refund_id
                  WHERE r.user_id > ? AND r.user_id <= ?) AS known ON known.command_id = e.command_id AND known.user_id = e.user_id
            WHERE e.reason IN ('refund_hold', 'refund_paid', 'refund_returned') AND e.account = 'held'
              AND known.command_id IS NULL AND e.user_id > ? AND e.user_id <= ?"# [users.after, users.upto, users.after, users.upto, users.after, users.upto, users.after, users.upto, users.after, users.upto, users.after, users.upto, users.after, users.upto, users.after, users.upto, users.after, users.upto]
    ))
}

async fn charges_are_cancelled_by_refunds(snapshot: &mut Snapshot, users: &Users) -> Result<Check, sqlx::Error> {
    Ok(check!(
        snapshot,
        "charges_are_cancelled_by_refunds",
        "What of a charge is cancelled is the sum of the paid refund legs that name it; only a credited charge is.",
        examined: r#"SELECT COUNT(*) AS "n!: i64" FROM payments WHERE cancelled_amount > 0 AND user_id > ? AND user_id <= ?"# [users.after, users.upto],
        offenders: r#"
            SELECT CAST(CONCAT('payment ', p.order_id, ' (', p.state, '): cancelled ', p.cancelled_amount,
                               ' of ', p.amount, ', by paid legs ', COALESCE(l.paid, 0)) AS CHAR) AS "offender!: String"
            FROM payments p LEFT JOIN
                 (SELECT l.order_id, SUM(l.amount) AS paid FROM refund_legs l JOIN refunds r ON r.refund_id = l.refund_id
                  WHERE l.route = 'cancel' AND l.state = 'paid' AND r.user_id > ? AND r.user_id <= ?
                  GROUP BY l.order_id) AS l ON l.order_id = p.order_id
            WHERE p.user_id > ? AND p.user_id <= ?
              AND (p.cancelled_amount <> COALESCE(l.paid, 0) OR p.cancelled_amount + p.reversed_amount > p.amount
                   OR (p.cancelled_amount > 0 AND p.state <> 'done'))
            UNION ALL
            SELECT CAST(CONCAT('leg ', l.leg_no, ' of refund ', l.refund_id, ' cancels ', COALESCE(l.order_id, 'nothing'))
                        AS CHAR)
            FROM refund_legs l JOIN refunds r ON r.refund_id = l.refund_id
                 LEFT JOIN payments p ON p.order_id = l.order_id AND p.user_id = r.user_id
            WHERE (l.route = 'cancel') <> (p.order_id IS NOT NULL) AND r.user_id > ? AND r.user_id <= ?"# [users.after, users.upto, users.after, users.upto, users.after, users.upto]
    ))
}

async fn legs_have_their_refund(snapshot: &mut Snapshot) -> Result<Check, sqlx::Error> {
    Ok(check!(
        snapshot,
        "legs_have_their_refund",
        "No leg is without its refund.",
        examined: r#"SELECT COUNT(*) AS "n!: i64" FROM refund_legs"#,
        offenders: r#"
            SELECT CAST(CONCAT('leg ', l.leg_no, ' of refund ', l.refund_id, ', which does not exist') AS CHAR)
                   AS "offender!: String"
            FROM refund_legs l LEFT JOIN refunds r ON r.refund_id = l.refund_id
            WHERE r.refund_id IS NULL"#
    ))
}
